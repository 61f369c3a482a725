"""Nobody is told to install the package of another project that has our import name."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = "asgiserver-py"
# "asgiserver" as what pip installs: alone, or with extras or a version.
FOREIGN = re.compile(
    r"\b(?:pip|pipx|uv|uvx|poetry|pdm|conda)\b[^\n`]*?\b(?:install|add|--with)\b"
    r"[^\n`]*?[\s\"']asgiserver(?![\w-]|\.\w|/)"
)


def texts() -> list[Path]:
    """Every text file of the repository that a person or pip reads."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = [ROOT / name for name in listed.stdout.split("\0") if name]
    kinds = {".md", ".py", ".toml", ".txt", ".yml", ".yaml", ".cfg", ".service", ""}
    return [path for path in found if path.suffix in kinds and path.is_file()]


def test_no_text_tells_to_install_the_package_of_others() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    told = {
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in texts()
        if path != Path(__file__)
        for found in FOREIGN.finditer(path.read_text(errors="replace"))
    }
    assert not told


@pytest.mark.parametrize("line", ["pip install asgiserver", 'pip install "asgiserver[wsgi]"'])
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert FOREIGN.search(line)


@pytest.mark.parametrize("line", ["pip install asgiserver-py", "pip install ./asgiserver/"])
def test_the_search_leaves_our_name_alone(line: str) -> None:
    assert not FOREIGN.search(line)


def test_the_distribution_has_our_name_in_its_own_extras_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION
    assert all(not one.startswith("asgiserver[") for one in project["optional-dependencies"]["all"])
