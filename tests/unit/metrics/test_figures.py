"""The table of figures, and what counts them."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import asgiserver
from asgiserver.metrics.figures import (
    FIGURES,
    MAX_REASONS,
    OTHER_REASONS,
    Counters,
    Snapshot,
    add,
)

NO_FIGURES = {"tally", "count_usual"}


def test_each_figure_is_in_the_table_with_all_that_a_reader_needs():
    fields = [field.name for field in dataclasses.fields(Snapshot)]
    assert [figure.name for figure in FIGURES] == [
        name for name in fields if name not in NO_FIGURES
    ]
    types = {"counter": int, "gauge": int, "histogram": list, "rows": dict}
    for figure in FIGURES:
        assert figure.help[0].isupper()
        assert not figure.help.endswith(".")
        assert figure.merge in ("sum", "min", "worker")
        kind = dict if figure.labels else types[figure.kind]
        assert isinstance(getattr(Snapshot(), figure.name), kind)


def test_counters_have_no_room_for_a_figure_that_the_table_lacks():
    assert not hasattr(Counters(), "__dict__")


def test_the_values_of_a_snapshot_are_its_figures():
    values = Snapshot(connections=3, open=1).values()
    assert list(values) == [figure.name for figure in FIGURES]
    assert (values["connections"], values["open"]) == (3, 1)


def test_what_a_websocket_has_carried_is_added_up():
    counters = Counters()
    counters.count_websocket(10, 1, SimpleNamespace(received=20, messages_received=2))
    counters.count_websocket(1, 1, SimpleNamespace(received=1, messages_received=1))
    assert counters == Counters(
        websocket_bytes_sent=11,
        websocket_bytes_received=21,
        websocket_messages_sent=2,
        websocket_messages_received=3,
    )


ONE = {
    "requests": 3,
    "open": 2,
    "refused": {"missing Host": 1},
    "early": [],
    "lag": [1.0, 2.0],
    "cpu": 1.5,
    "rss": 100,
    "certificates": {"default": 20.0},
}
OTHER = {
    "requests": 4,
    "open": 1,
    "refused": {"missing Host": 2, "other": 1},
    "early": [1.0],
    "lag": [1.0, 1.0],
    "cpu": 2.0,
    "rss": 50,
    "certificates": {"default": 10.0},
}


def test_figures_of_workers_are_merged_each_in_its_own_way():
    total = {}
    add(total, ONE, 0)
    add(total, OTHER, 1)
    add(total, OTHER, 1)  # which replaces the one before
    assert total == {
        "requests": 11,
        "open": 4,
        "refused": {"missing Host": 5, "other": 2},
        "early": [2.0],
        "lag": [3.0, 4.0],
        "cpu": {"0": 1.5, "1": 4.0},
        "rss": {"0": 100, "1": 100},
        "certificates": {"default": 10.0},
    }
    assert ONE["refused"] == {"missing Host": 1}


def test_of_a_worker_that_is_gone_stays_what_grows():
    total = {}
    add(total, ONE, 0, gone=True)
    assert set(total) == {"requests", "refused", "early", "lag", "cpu"}


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
