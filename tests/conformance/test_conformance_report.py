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
