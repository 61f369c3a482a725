"""What CONTRIBUTING.md says of the repository is true."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import tokenize
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from asgiserver.log.record import AccessRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
PACKAGE = ROOT / "asgiserver"

MAX_LINES = 450


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a module; to make those of all modules takes seconds."""
    return ast.parse(path.read_text())


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def test_no_file_of_the_package_is_long() -> None:
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in sources()}
    too_long = {name: count for name, count in lines.items() if count > MAX_LINES}
    assert not too_long, f"more than {MAX_LINES} lines: {too_long}"


def test_few_modules_lie_loose_at_the_root() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 9


def test_functions_are_short() -> None:
    lengths = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in sources()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[len(lengths) * 95 // 100] <= 24


def test_the_common_vocabulary_holds_no_text_of_one_wire() -> None:
    """`http/` is what all wires share; the syntax of HTTP/1 stands in `h1/`."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((PACKAGE / "http").glob("*.py"))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, bytes)
        and re.search(rb"HTTP/[0-9]|chunked|0\r\n", node.value)
    ]
    assert not found


MAX_ATTRIBUTES = 20


def attributes_set(node: ast.ClassDef) -> set[str]:
    """Names of `__slots__`, and those that a method or the class itself sets on `self`."""
    names = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            if isinstance(inner.value, ast.Name) and inner.value.id == "self":
                names.add(inner.attr)
        elif isinstance(inner, ast.Assign) and ast.unparse(inner.targets[0]) == "__slots__":
            names |= set(ast.literal_eval(inner.value))
    return names


def test_no_class_is_a_namespace() -> None:
    """Attributes of a class and its bases are counted; options are no state."""
    classes = {
        node.name: node
        for path in sources()
        if path.parent.name != "config"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef)
    }

    def attributes(name: str) -> set[str]:
        if name not in classes:
            return set()
        node = classes[name]
        names = attributes_set(node)
        return names.union(*(attributes(ast.unparse(base)) for base in node.bases))

    found = {name: attributes(name) for name in classes}
    wide = {name: len(names) for name, names in found.items() if len(names) > MAX_ATTRIBUTES}
    assert not wide, f"more than {MAX_ATTRIBUTES} attributes: {wide}"


def calls(path: Path, name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def test_only_sessions_know_their_kind() -> None:
    """What others want of a session, they tell it; see docs/adr/0022."""
    asked = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sources()
        if path.parent.name != "asgi"
        for call in calls(path, "isinstance")
        if "session" in ast.unparse(call.args[0]).lower()
        or {"Exchange", "WebSocketSession"} & set(re.findall(r"\w+", ast.unparse(call.args[1])))
    ]
    assert not asked


def test_access_records_are_made_in_one_place_and_by_name() -> None:
    """The attributes are set one by one, which is faster, so none of them may be forgotten."""
    made = [
        str(path.relative_to(PACKAGE))
        for path in sources()
        if "AccessRecord.__new__(" in path.read_text() or calls(path, "AccessRecord")
        if path.name != "access_format.py"  # a sample
    ]
    assert made == ["asgi/session.py"]
    named = re.findall(r"^ +record\.(\w+) = ", (PACKAGE / made[0]).read_text(), re.MULTILINE)
    asked = [field.name for field in dataclasses.fields(AccessRecord) if field.init]
    assert named == asked


def test_there_are_no_rooms_for_anything() -> None:
    names = {part for path in sources() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not names & {"util", "utils", "common", "helper", "helpers", "misc"}


def test_folders_of_unit_tests_are_rooms_of_the_package() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    folders = {path.parent.name for path in (TESTS / "unit").glob("*/test_*.py")}
    assert folders <= rooms, f"no such room: {folders - rooms}"


def test_names_of_test_files_are_unique() -> None:
    names = Counter(path.name for path in TESTS.rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []


def comments(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.string


def test_marks_of_what_was_done_for_speed_have_their_form() -> None:
    marks = [
        (str(path.relative_to(ROOT)), text)
        for path in sources()
        for text in comments(path)
        if "HOT" in text
    ]
    assert len(marks) > 10
    form = re.compile(r"# HOT \d+(\.\d+)? %: \S")
    assert [mark for mark in marks if not form.match(mark[1])] == []


class SleepsToWait(ast.NodeVisitor):
    """Finds a sleep after which a test takes for granted that something has happened.

    Allowed are: a turn of the loop, ``sleep(0)``; a sleep within a loop that asks again; one in a
    function within the test, which is an application that takes its time.
    """

    def __init__(self) -> None:
        self.found: list[int] = []

    def visit_While(self, node: ast.While) -> None:
        pass

    def visit_Call(self, node: ast.Call) -> None:
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        if name == "sleep" and ast.unparse(node.args[0]) != "0":
            self.found.append(node.lineno)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        pass

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815
    visit_Lambda = visit_FunctionDef  # type: ignore[assignment]  # noqa: N815


def cases_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The tests of a module, those of its classes too."""
    nodes = list(parsed(path).body)
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            nodes += node.body
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[:5] == "test_":
            yield node


def test_no_test_sleeps_to_wait() -> None:
    found = []
    for path in sorted(TESTS.rglob("test_*.py")):
        for test in cases_of(path):
            finder = SleepsToWait()
            for statement in test.body:
                finder.visit(statement)
            found += [f"{path.relative_to(ROOT)}:{line} {test.name}" for line in finder.found]
    assert not found, "wait for the event instead, with a deadline:\n" + "\n".join(found)


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert numbers == list(range(len(numbers)))


def test_what_make_installs_is_locked() -> None:
    def name_of(requirement: str) -> str:
        found = re.match(r"[\w.-]+", requirement)
        assert found, requirement
        return re.sub(r"[-_.]+", "-", found[0]).lower()

    def names(group: list[str | dict[str, str]]) -> Iterator[str]:
        for entry in group:
            if isinstance(entry, dict):
                yield from names(groups[entry["include-group"]])
            else:
                yield name_of(entry)

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = {*names(project["project"]["dependencies"]), *names(groups["test"])}
    wanted |= {*names(groups["lint"]), *names(groups["applications"])}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    locked = {name_of(line) for line in lines if not line.startswith("#")}
    assert wanted <= locked, f"run make lock PYTHON=python3.11, for {wanted - locked}"
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", line) for line in lines[1:]), "versions only"


def imports_of(path: Path, modules: set[str]) -> set[str]:
    """What a module imports of the package: lazily and for types alone, too."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in modules else node.module)
    return found & modules


def test_no_module_imports_itself_in_a_circle() -> None:
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sources()
    }
    imports = {name: imports_of(path, set(names)) - {name} for name, path in names.items()}
    while leaves := [name for name, found in imports.items() if not found & imports.keys()]:
        for name in leaves:
            del imports[name]
    # What is left is in a circle, or imports what is.
    in_circles = {name for name in imports if any(name in found for found in imports.values())}
    assert not in_circles
