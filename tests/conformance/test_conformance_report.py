"""The conformance report names tests that are there, and is up to date."""

import importlib.util
from pathlib import Path


def test_page_is_fresh():
    path = Path(__file__).with_name("report.py")
    spec = importlib.util.spec_from_file_location("conformance_report", path)
    report = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(report)
    text = "docs/ASGI.md is old: run python tests/conformance/report.py"
    assert report.PAGE.read_text() == report.page(), text


def test_only_the_wires_modules_know_a_wire():
    """Else the next wire could not pass the suite by one module."""
    for path in Path(__file__).parent.glob("test_*.py"):
        if path.name != Path(__file__).name:
            text = path.read_text()
            for word in ("HTTP/1", "asgiserver.h1", "FakePeer", ".transport", "written"):
                assert word not in text, f"{path.name}: {word}"
