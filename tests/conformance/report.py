"""Makes docs/ASGI.md of rules.toml: `python tests/conformance/report.py`."""

# ruff: noqa: E501  (a page)
from __future__ import annotations

import ast
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "ASGI.md"
INTRODUCTION = """# ASGI conformance

<!-- Made from tests/conformance/rules.toml by `python tests/conformance/report.py`. Do not edit. -->

This page lists what the [ASGI specification](https://asgi.readthedocs.io) demands (versions: http 2.3 with the `send` of 2.4,
websocket 2.5, lifespan 2.0), and the tests for each demand. The tests of the conformance suite run on every wire: {wires}. Other
tests drive the session itself, which is the same on all wires, or a server over sockets.

Two extensions are not advertised: `http.response.debug` is for test clients, and browsers have removed `http.response.push`.
"""


def wires() -> list[str]:
    """The names of the wires that the suite runs on."""
    for node in ast.parse((HERE / "conftest.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WIRES":
            assert isinstance(node.value, ast.Dict)
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise LookupError("conftest.py has no WIRES")


def tests_by_name(
    files: set[str],
) -> dict[str, tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every test in these files of the project as ``file:name``, methods too."""
    found = {}
    paths = [path for path in (ROOT / "tests").rglob("test_*.py") if path.stem in files]
    for path in sorted(paths):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[f"{path.stem}:{node.name}"] = path, node
    return found


def wire_of(path: Path, fixtures: set[str]) -> str:
    """What a test runs on: all wires, a socket with HTTP/1.1, or the session itself."""
    if "wire" in fixtures:
        return "every"
    over_socket = fixtures & {"serve", "dial", "client_of"} or "integration" in path.parts
    return "h1" if over_socket else "session"


def page() -> str:
    """The text of docs/ASGI.md. Raises `KeyError` for a test that does not exist."""
    rules = tomllib.loads((HERE / "rules.toml").read_text())
    named = [
        test for section in rules["section"] for _, _, tests in section["rules"] for test in tests
    ]
    known = tests_by_name({test.partition(":")[0] for test in named})
    lines = [INTRODUCTION.format(wires=", ".join(wires()))]
    for section in rules["section"]:
        lines += [f"## {section['title']}", "", f"Specification: {section['spec']}", ""]
        lines += ["| Rule | Strength | Wire | Test |", "|---|---|---|---|"]
        for rule, strength, tests in section["rules"]:
            cells, on = [], []
            for test in tests:
                path, node = known[test]
                link = f"../{path.relative_to(ROOT).as_posix()}"
                cells.append(f"[{node.name}]({link})")
                on.append(wire_of(path, {argument.arg for argument in node.args.args}))
            wire = ", ".join(dict.fromkeys(on))
            lines.append(f"| {rule} | {strength} | {wire} | {'<br>'.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
