"""The README as an index shows it: its links lead somewhere there, too."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
LINK = re.compile(r"\]\(([^)]+)\)")

pytest.importorskip("setuptools", reason="setup.py needs setuptools, which Python 3.12 left out")
description = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")["description"]


def test_links_lead_into_the_repository_where_its_address_is_known() -> None:
    shown = LINK.findall(description(README, "https://host/name"))
    assert len(shown) == len(LINK.findall(README))
    assert "https://host/name/blob/main/docs/index.md" in shown
    assert all(link.startswith(("https://", "#")) for link in shown)


def test_without_an_address_the_words_stay() -> None:
    text = description("See [the docs](docs/a.md) and [x](https://x.test/).", None)
    assert text == "See the docs and [x](https://x.test/)."
