"""The table of figures, and what counts them."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import asgiserver
from asgiserver.metrics.figures import (
    FIGURES,
    MAX_REASONS,
    OTHER_REASONS,
    Counters,
    Snapshot,
)


def test_each_figure_is_in_the_table_with_all_that_a_reader_needs():
    assert [figure.name for figure in FIGURES] == [
        field.name for field in dataclasses.fields(Snapshot)
    ]
    for figure in FIGURES:
        assert figure.kind in ("counter", "gauge")
        assert figure.help[0].isupper()
        assert not figure.help.endswith(".")
        assert isinstance(getattr(Snapshot(), figure.name), dict if figure.labels else int)


def test_counters_have_no_room_for_a_figure_that_the_table_lacks():
    assert not hasattr(Counters(), "__dict__")


def test_refusals_are_counted_by_reason():
    counters = Counters()
    for reason in ("missing Host", "invalid Host", "missing Host"):
        counters.count_refused(reason)
    assert counters.refused == {"missing Host": 2, "invalid Host": 1}


def test_reasons_beyond_the_limit_are_counted_as_one():
    counters = Counters()
    for number in range(MAX_REASONS + 10):
        counters.count_refused(f"reason {number}")
    counters.count_refused("reason 0")
    assert len(counters.refused) == MAX_REASONS + 1
    assert counters.refused[OTHER_REASONS] == 10
    assert counters.refused["reason 0"] == 2


def test_the_reasons_of_the_package_are_far_below_the_limit():
    reasons = {
        node.args[1].value
        for path in Path(asgiserver.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "PeerError"
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
    }
    assert 30 < len(reasons) < MAX_REASONS * 3 / 4
    assert max(map(len, reasons)) < 80
