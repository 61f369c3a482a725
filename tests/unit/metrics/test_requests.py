"""Requests that have ended, as Python counts them; see `test_core_tally` for the compiled core."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from asgiserver.metrics import requests
from asgiserver.metrics.histogram import BOUNDS, BUCKETS, Histogram
from asgiserver.metrics.requests import OTHER, RECEIVED, SECONDS, SENT, RequestTally

BEGUN = now = 100.0


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that says what `count` wants."""
    monkeypatch.setattr(requests, "_CoreTally", None)
    monkeypatch.setattr(requests, "perf_counter", lambda: now)


def count(tally, method="GET", status=200, duration=0.003, first=0.0, **changes):
    global now
    given = {"outcome": "ok", "sent": 10, "received": 0, **changes}
    request, first_byte = SimpleNamespace(method=method), first and BEGUN + first
    ended = SimpleNamespace(request=request, begun=BEGUN, first_byte=first_byte, **given)
    now = BEGUN + duration
    assert tally.count(ended, status) == pytest.approx(duration)


def test_requests_are_counted_by_method_class_of_status_and_outcome():
    tally = RequestTally()
    count(tally)
    count(tally, status=299, sent=5, received=7)
    count(tally, method="POST", status=503, outcome="refused")
    rows = tally.rows()
    assert set(rows) == {"GET 2xx ok", "POST 5xx refused"}
    row = rows["GET 2xx ok"]
    assert sum(row[:BUCKETS]) == 2
    assert (row[SENT], row[RECEIVED]) == (15, 7)
    assert row[SECONDS] == pytest.approx(0.006)


def test_a_method_that_a_client_has_invented_makes_no_row_of_its_own():
    tally = RequestTally()
    for number in range(50):
        count(tally, method=f"BREW{number}")
    assert list(tally.rows()) == [f"{OTHER} 2xx ok"]
    assert sum(tally.rows()[f"{OTHER} 2xx ok"][:BUCKETS]) == 50


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (BOUNDS[0], 0), (0.0011, 1), (BOUNDS[-1], BUCKETS - 2), (61.0, BUCKETS - 1)],
)
def test_a_bucket_includes_its_upper_bound(seconds, bucket):
    histogram = Histogram()
    histogram.add(seconds)
    assert [at for at, number in enumerate(histogram.numbers[:BUCKETS]) if number] == [bucket]
    assert histogram.numbers[BUCKETS] == seconds


def test_the_time_to_the_first_byte_is_the_duration_but_for_what_came_early():
    tally = RequestTally()
    count(tally, duration=0.002)
    count(tally, duration=40.0, first=0.002)
    duration = tally.rows()["GET 2xx ok"]
    first = [a + b for a, b in zip(duration, tally.early.numbers, strict=False)]
    assert first[1] == 2
    assert sum(first[:BUCKETS]) == 2
    assert first[SECONDS] == pytest.approx(0.004)


def test_rows_are_a_copy():
    tally = RequestTally()
    count(tally)
    before = tally.rows()
    count(tally)
    assert sum(before["GET 2xx ok"][:BUCKETS]) == 1


def test_what_is_counted_can_be_looked_at():
    tally = RequestTally()
    count(tally)
    tally.early.add(1.0)
    assert repr(tally) == "<RequestTally rows=1>"
    assert repr(tally.early) == "<Histogram 1 times>"
