"""Takes recipes out of the pages in docs/: fenced blocks that begin with the name of a file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language in a page, such as `deployment/nginx.md`."""
    found = []
    for indent, name, text in FENCE.findall((DOCS / page).read_text()):
        if name == language:
            found.append(re.sub(f"^{indent}", "", text, flags=re.MULTILINE))
    return found


def recipe(page: str, language: str, name: str) -> str:
    """The block whose first line names the file that it is, as a comment."""
    found = [text for text in blocks(page, language) if name in text.partition("\n")[0]]
    assert len(found) == 1, f"{len(found)} recipes for {name} in {page}"
    return found[0]


def program(name: str) -> str:
    """The path of a program that a recipe is for; without it the test is skipped."""
    folders = (
        f"{Path(sys.executable).parent}:/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin"
    )
    path = shutil.which(name, path=folders)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a checker; its output is in `stdout`."""
    return subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
        **options,  # type: ignore[call-overload]
    )
