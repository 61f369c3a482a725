"""What ``asgiserver top`` makes of two statuses of a server."""

from __future__ import annotations

import copy

import pytest

from asgiserver.cli.top_model import events_between, percentile, reading_of

BOUNDS = [0.01, 0.1, 1.0]


def status(**changes):
    given = {
        "health": {"ready": {"passed": True, "reason": "ready"}},
        "began": 1000.0,
        "workers_wanted": 1,
        "workers": [worker()],
        "running": [],
        "restarts": {},
        "bounds": BOUNDS,
        "totals": {
            "ended": {"GET 2xx ok": row(100, 0, 0, 0)},
            "refused": {"missing Host": 1},
            "in_flight": 3,
            "queued": 1,
            "open": 9,
            "websockets_open": 2,
        },
        "versions": {"asgiserver": "1.2"},
    }
    return copy.deepcopy({**given, **changes})


def row(*counts):
    return [*map(float, counts), 1.0, 2.0, 3.0]


def worker(**changes):
    figures = {"requests": 100, "cpu": 10.0, "rss": 1 << 20, "running": 3, "open": 9}
    given = {
        "index": 0,
        "pid": 7,
        "phase": "ready",
        "age": 60.0,
        "silence": 0.0,
        "reason": "",
        "figures": figures,
    }
    return {**given, **changes}


def later():
    after = status()
    after["totals"]["ended"] = {
        "GET 2xx ok": row(110, 10, 0, 0),
        "POST 5xx app_error": row(0, 0, 4, 0),
    }
    after["totals"]["refused"] = {"missing Host": 3}
    after["workers"] = [worker(figures={**worker()["figures"], "requests": 124, "cpu": 11.0})]
    return after


def test_the_first_status_has_no_rates():
    reading = reading_of(status(), None, 0.0, 1090.0)
    assert reading.requests is None
    assert reading.age == 90.0
    assert (reading.in_flight, reading.queued, reading.connections) == (3, 1, 9)
    assert reading.workers[0].requests == 0.0


def test_rates_are_the_differences_by_the_second():
    reading = reading_of(later(), status(), 2.0, 1090.0)
    assert (reading.requests, reading.errors, reading.refused) == (12.0, 2.0, 1.0)
    (row,) = reading.workers
    assert (row.requests, row.cpu) == (12.0, 0.5)
    p50, p95, p99 = reading.percentiles
    assert 0.01 < p50 < 0.1 < p95 < p99 <= 1.0


def test_a_server_that_was_started_anew_has_no_rates_yet():
    assert reading_of(later(), status(began=900.0), 2.0, 1090.0).requests is None


def test_a_worker_that_is_new_has_no_rates_yet():
    after = later()
    after["workers"][0]["pid"] = 8
    assert reading_of(after, status(), 2.0, 1090.0).workers[0].requests == 0.0


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0, 0], 0.5, None),
        ([10, 0, 0, 0], 0.5, 0.005),
        ([0, 10, 0, 0], 0.5, 0.055),
        ([0, 0, 0, 5], 0.5, 1.0),  # longer than the last bound: at least that
        ([5, 0, 0, 5], 0.99, 1.0),
    ],
)
def test_percentiles(counts, share, expected):
    assert percentile(counts, BOUNDS, share) == pytest.approx(expected)


def test_what_happens_is_said():
    before = status(workers=[worker(), worker(index=1, pid=8, reason="restart")])
    after = status(
        health={"ready": {"passed": False, "reason": "no worker is ready"}},
        workers=[worker(phase="stalled"), worker(index=1, pid=9, phase="starting")],
        restarts={"died": 2, "restart": 1},
    )
    after["totals"]["stalls"] = 1
    assert events_between(after, before) == [
        "no worker is ready",
        "worker 0 (pid 7) is stalled",
        "worker 1 (pid 9) is starting",
        "worker 1 (pid 8) has ended: restart",
        "2 restarts, cause: died",
        "1 stall of an event loop",
    ]
    assert events_between(before, None) == []
    assert events_between(before, before) == []


def test_it_is_said_when_all_is_well_again():
    before = status(health={"ready": {"passed": False, "reason": "starting"}})
    assert events_between(status(), before) == ["the server is ready"]
