"""The pages name what exists: messages, attributes, options, and docstrings as they are."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import api_page
import pytest
from recipes import DOCS, ROOT

import asgiserver
from asgiserver.config.options import FIELDS, flag_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_the_python_api_is_that_of_the_docstrings() -> None:
    text = "docs/api.md is old: run python tests/api_page.py"
    assert api_page.PAGE.read_text() == api_page.report(), text


def literals() -> Iterator[str]:
    """All text in the package's code; the pieces of an f-string one by one."""
    for path in sorted((ROOT / "asgiserver").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"%[-.\d]*[a-z]", "\0", node.value)


TEXTS = list(literals())
TROUBLES = (DOCS / "troubleshooting.md").read_text()
# Headings that begin and end with a message; others describe a symptom in words.
MESSAGES = [
    message
    for message in re.findall(r"^### `(.+)`$", TROUBLES, re.MULTILINE)
    if not message.startswith("--")
]


def test_the_page_has_messages() -> None:
    assert len(MESSAGES) > 25


@pytest.mark.parametrize("message", MESSAGES)
def test_the_server_has_this_message(message: str) -> None:
    for piece in message.split("…"):
        words = piece.strip(" :;,()s")
        if words and words != "Address already in use":
            assert any(words in text for text in TEXTS), words


def test_uvicorns_attributes_have_the_names_that_the_table_gives() -> None:
    page = (DOCS / "migration" / "uvicorn.md").read_text()
    table = page.partition("attribute by attribute")[2].partition("\n\n")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    assert len(rows) > 10
    server = asgiserver.Server(asgiserver.Config("main:app", env_file=()))
    for _, ours in rows:
        for name in re.findall(r"`(?:await )?(\w+)(?:\(.*?\))?`", ours):
            known = hasattr(server, name) or name in ("view", "socket") or name in dir(asgiserver)
            assert known, name


# Options that are not configuration, and those of our other commands.
OWN = {"--config", "--help", "--help-all", "--json", "--print-config", "--token", "--version"}
# Options of other programs in our pages.
FOREIGN = {
    "--no-cache-dir",
    "--requirement",
    "--tag",
    "--publish",
    "--stop-timeout",
    "--init",
    "--source",
    "--use-http2",
    "--set-env-vars",
    "--now",
    "--append",
    "--groups",
    "--listen",
    "--wait-for-client",
    "--group",
    "--no-binary",
    "--quick",
    "--threads",
}
PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if not {"adr", "migration"} & set(page.parts)
    and page.name not in ("migration.md", "comparison.md", "benchmarks.md", "compat.md")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_in_a_page_exists(page: Path) -> None:
    known = {flag for name in FIELDS for flag in flag_names(name)}
    known |= {flag.replace("--", "--no-", 1) for flag in known}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+[a-z0-9](?![\w-])", page.read_text()))
    assert named - known - OWN - FOREIGN == set()
