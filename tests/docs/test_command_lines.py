"""Every command line of ours in a page is one that the server takes."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from recipes import DOCS, ROOT

from asgiserver.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = [
    ROOT / "README.md",
    *(page for page in sorted(DOCS.rglob("*.md")) if "adr" not in page.parts),
]
FENCED = re.compile(r"^( *)```\w*\n(.*?)^\1```$|^((?:    .*\n)+)", re.MULTILINE | re.DOTALL)
# What stands in front of the command in units, Procfiles and shells.
FRONT = (
    r"^\s*(?:ExecStart=|web: |\$ |app = \")?(?P<rest>(?:[A-Z_]+=\S+ )*(?:\S*/)?asgiserver .*?)\"?$"
)
OTHERS = ("dump", "exec", "migrate", "top")


def command_lines() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for _, fenced, indented in FENCED.findall(page.read_text()):
            text = (fenced or indented).replace("\\\n", " ")
            for found in re.finditer(FRONT, text, re.MULTILINE):
                rest = re.sub(r"\s+#.*$|\s*[>|&].*$", "", found["rest"])
                command = rest.partition("asgiserver ")[2].split(" ")[0]
                if command not in OTHERS and not re.search(r"[{\[]|\.\.\.", rest):
                    yield page, rest


LINES = sorted({(str(page.relative_to(ROOT)), rest) for page, rest in command_lines()})


def test_the_pages_have_command_lines() -> None:
    assert len(LINES) > 15


@pytest.mark.parametrize(("page", "rest"), LINES)
def test_the_server_takes(
    page: str, rest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(rest.replace("$PORT", "80"))
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    try:
        code: Any = main(words[1:], run=lambda _options, _reread: 0)
    except SystemExit as end:
        code = end.code
    assert code == 0, f"{page}: {capsys.readouterr().err}"
