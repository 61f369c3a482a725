"""What the documents name is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()


def names_in(path: Path) -> set[str]:
    """Functions, classes and methods (``Class.method``) of a module."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{member.name}"
                for member in ast.walk(node)
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return names


def test_architecture_names_what_exists() -> None:
    places = re.findall(r"`([a-z0-9_/]+\.py)(?:: ([\w.]+))?`", ARCHITECTURE)
    assert len(places) > 50
    for path, name in places:
        module = ROOT / "asgiserver" / path
        assert module.exists(), path
        assert not name or name in names_in(module), f"{path}: {name}"


def test_architecture_names_every_file_that_refuses_a_request() -> None:
    package = ROOT / "asgiserver"
    refusing = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "raise PeerError(" in path.read_text()
    }
    assert len(refusing) > 8
    table = ARCHITECTURE.partition("## If you want to change X")[2]
    assert [path for path in sorted(refusing) if f"`{path}" not in table] == []


def test_the_threat_model_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "THREAT_MODEL.md").read_text()
    places = re.findall(r"`([a-z0-9_/]+\.(?:py|toml))(?:: ([^`]+))?`", text)
    assert len(places) > 80
    for path, name in places:
        file = ROOT / "tests" / path
        assert file.exists(), path
        if file.suffix == ".py":
            assert not name or name in names_in(file), f"{path}: {name}"
        else:
            assert not name or f'name = "{name}"' in file.read_text(), f"{path}: {name}"


def test_the_first_commands_of_the_readme_are_tasks() -> None:
    commands = re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text()
    for command in commands:
        assert re.search(rf"^{command}: ", makefile, re.MULTILINE)


def test_contributing_names_tasks_that_exist() -> None:
    tasks = set(re.findall(r"`make (\w+)", (ROOT / "CONTRIBUTING.md").read_text()))
    makefile = (ROOT / "Makefile").read_text()
    assert tasks <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
