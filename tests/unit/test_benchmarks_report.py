"""The benchmarks' output: table, Markdown, JSON, SVG."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from benchmarks.cases import Case, Target, targets
from benchmarks.charts import Bar, bar_chart, line_chart, nice, short
from benchmarks.report import Report, markdown, measurement_report, number, spread, write
from benchmarks.results import Measurement, Result, Round
from benchmarks.servers import Wanted

CONTEXT = {
    "date": "2026-01-01 00:00 UTC",
    "command": "python -m benchmarks plain",
    "versions": {"python": "3.13.0", "asgiserver": "v1-5-gabc"},
    "machine": {"cpu": "A & B", "cores": 2, "kernel": "Linux 6", "load_average": [0.1, 0.2, 0.3]},
}


def report() -> Report:
    case = Case("plain", "Plain <text>", Wanted("apps:plain"), targets=targets(0.5))
    ours = Result("asgiserver", "python -m asgiserver", [Round(10, 1e5, 5, math.nan, 0)] * 2)
    theirs = Result("uvicorn", "python -m uvicorn", [Round(25, 4e4, 9, math.nan, 1)] * 2)
    broken = Result("daphne", unavailable="did not start: a | b")
    return measurement_report(Measurement(case, [ours, theirs, broken]))


def test_the_table_shows_cost_ratio_errors_and_verdict():
    text = report().table()
    assert "10.0 ±0%" in text
    assert "0.40 (0.40-0.40)" in text
    assert "not measured: did not start" in text
    assert "met: 0.40 of uvicorn, target <= 0.5" in text


def test_columns_are_aligned():
    ours, theirs = report().table().splitlines()[2:4]
    assert ours.index("10.0 ±0%") == theirs.index("25.0 ±0%")
    assert ours.index("100,000") + len("100,000") == theirs.index("40,000") + len("40,000")


def test_markdown_says_how_to_repeat_it_and_escapes_bars():
    text = markdown(report(), CONTEXT)
    assert "Measured 2026-01-01 00:00 UTC with `python -m benchmarks plain`" in text
    assert "uvicorn: python -m uvicorn" in text
    assert "did not start: a \\| b" in text
    assert "Machine: A & B, 2 cores, Linux 6" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_write_leaves_valid_json_svg_and_a_summary(tmp_path):
    write(report(), tmp_path, CONTEXT)
    content = json.loads((tmp_path / "plain.json").read_text(), parse_constant=pytest.fail)
    assert content["data"][0]["rounds"][0]["p99_us"] is None
    assert content["verdicts"][0]["verdict"] == "met"
    ET.parse(tmp_path / "plain.svg")
    summary = (tmp_path / "README.md").read_text()
    assert "[Plain <text>](plain.md)" in summary
    assert "**met**: 0.40 of uvicorn" in summary
    assert "2026-01-01, v1-5-gabc" in summary
    assert "not measured yet: `python -m benchmarks plaintext`" in summary


def test_a_later_run_of_another_case_adds_to_the_summary(tmp_path):
    write(report(), tmp_path, CONTEXT)
    missed = replace(report(), name="tls", title="TLS")
    missed.verdicts = [{**missed.verdicts[0], "verdict": "missed"}]
    write(missed, tmp_path, {**CONTEXT, "date": "2026-02-02 00:00 UTC"})
    summary = (tmp_path / "README.md").read_text()
    assert "1 of the 2 targets that were measured are met." in summary
    assert "2026-01-01" in summary
    assert "2026-02-02" in summary
    assert {path.name for path in tmp_path.glob("*.md")} == {"README.md", "plain.md", "tls.md"}


def test_a_missed_target_says_what_the_limit_reaches():
    case = Case(
        "plain", "Plain", Wanted("apps:plain"), targets=(*targets(0.3), Target("limit", 1.5))
    )
    results = [
        Result(name, rounds=[Round(cost, 1e5, 5, 9, 0)])
        for name, cost in (("asgiserver", 10), ("uvicorn", 25), ("limit", 5))
    ]
    text = measurement_report(Measurement(case, results)).table()
    line = "missed: 0.40 of uvicorn, target <= 0.3 "
    assert line + "(the limit without any HTTP work: 0.20; ours is 2.00 of that limit)" in text
    assert text.rstrip().endswith("missed: 2.00 of limit, target <= 1.5")


def test_numbers_have_three_digits_and_no_exponent():
    assert [number(value) for value in (0.123, 12.34, 123.4, 1234567.8, math.nan)] == [
        "0.12", "12.3", "123", "1,234,568", "-",
    ]  # fmt: skip
    assert spread([10.0, 10.0, 10.0]) == "10.0 ±0%"
    assert spread([math.nan]) == "-"
    assert [short(value) for value in (0.5, 999, 2000, 3_500_000)] == ["0.5", "999", "2k", "3.5M"]


def test_charts_are_well_formed_and_hold_every_label():
    bars = bar_chart("A & B", "us", [Bar("ours", 1, 1, 2, ours=True), Bar("<other>", 2, 2, 3)])
    assert "&lt;other&gt;" in bars
    assert len(ET.fromstring(bars).findall("{*}rect")) == 3
    lines = line_chart("T", "x", "y", {"a": [(1, 2.0), (100, 3.0)], "b": [(1, 1.0)]})
    assert len(ET.fromstring(lines).findall("{*}polyline")) == 2


def test_charts_of_nothing_are_still_images():
    ET.fromstring(bar_chart("T", "us", []))
    ET.fromstring(line_chart("T", "x", "y", {"a": []}))
    ET.fromstring(line_chart("T", "x", "y", {"a": [(1, 0.0)]}))


def test_axes_end_at_a_round_number():
    assert [nice(value) for value in (0, 0.3, 7, 10, 41)] == [1.0, 0.4, 8.0, 10.0, 50.0]
