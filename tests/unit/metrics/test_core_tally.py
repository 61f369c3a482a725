"""Requests counted by the compiled core: the same sums that Python makes."""

from __future__ import annotations

import gc
import math
import sys
from bisect import bisect_left
from time import perf_counter

import pytest
from debug_malloc import printed_by
from hypothesis import given
from hypothesis import strategies as st

from asgiserver import speedups
from asgiserver.metrics import requests
from asgiserver.metrics.histogram import BOUNDS, BUCKETS
from asgiserver.metrics.requests import SECONDS, RequestTally

if speedups.is_used:
    from asgiserver.speedups import _core
else:
    pytest.skip(f"the compiled core is {speedups.about}", allow_module_level=True)

OK = sys.intern("ok")


def opened(*rows):
    tally = _core.Tally(BOUNDS, OK)
    for row in rows or [("GET", 200, OK)]:
        tally.open(*row)
    return tally


def counted(tally):
    """How many requests its rows have."""
    return sum(sum(numbers[:BUCKETS]) for *_, numbers in tally.rows())


def test_only_what_was_opened_is_counted():
    tally = opened(("GET", 200, OK), ("PUT", 200, "timeout"))
    assert tally.count("GET", 200, perf_counter(), 13)
    assert tally.add("PUT", 200, "timeout", 0.1, 13, 7)
    for method, status in (("POST", 200), ("GET", 201), ("PUT", 200)):
        assert not tally.count(method, status, perf_counter(), 13)
        assert not tally.add(method, status, OK, 0.1, 13, 0)
    (*key, numbers), (*other, more) = tally.rows()
    assert (key, sum(numbers[:BUCKETS])) == (["GET", 200, "ok"], 1)
    assert (other, more[BUCKETS:]) == (["PUT", 200, "timeout"], [0.1, 13, 7])


def test_the_seconds_are_those_of_perf_counter():
    tally = opened()
    begun = perf_counter()
    assert tally.count("GET", 200, begun, 0)
    assert 0 <= tally.rows()[0][3][SECONDS] <= perf_counter() - begun


ODD_NUMBERS = (-1, 2**63, 1.0, None, True)


@pytest.mark.parametrize(
    "odd",
    [
        *(("GET", status, OK, 1.0, 0, 0) for status in (-1, 200.0, None, 2**64)),
        *(("GET", 200, OK, seconds, 0, 0) for seconds in (1, None, "1")),
        *(("GET", 200, OK, 1.0, sent, 0) for sent in ODD_NUMBERS),
        *(("GET", 200, OK, 1.0, 0, received) for received in ODD_NUMBERS),
        *((method, 200, OK, 1.0, 0, 0) for method in (b"GET", None, 5)),
        # Texts are compared by identity: Python has to intern them.
        ("".join(["G", "ET"]), 200, OK, 1.0, 0, 0),
    ],
)
def test_what_is_odd_is_left_to_python(odd):
    tally = opened()
    method, status, _, seconds, sent, received = odd
    assert not tally.add(*odd)
    assert received != 0 or not tally.count(method, status, seconds, sent)
    assert counted(tally) == 0


def test_there_is_room_for_64_rows():
    tally = opened(*(("GET", status, OK) for status in range(200, 300)))
    assert tally.count("GET", 263, 1.0, 0)
    assert not tally.count("GET", 264, 1.0, 0)
    assert len(tally.rows()) == 64


def test_a_row_is_opened_once():
    assert len(opened(*[("GET", 200, OK)] * 3).rows()) == 1


def test_what_makes_no_tally_and_no_row():
    for odd in ((), ([0.1], OK), (("a",), OK), (BOUNDS,), (BOUNDS, 1), (BOUNDS, OK, 1)):
        with pytest.raises(TypeError):
            _core.Tally(*odd)
    with pytest.raises(ValueError, match="more than 15 bounds"):
        _core.Tally((1.0,) * 16, OK)
    with pytest.raises(TypeError):
        type("Other", (_core.Tally,), {})
    for odd in ((), ("GET", 200), (b"GET", 200, OK), ("GET", -1, OK), ("GET", 200, None)):
        with pytest.raises(TypeError):
            opened().open(*odd)
    with pytest.raises(TypeError, match="4 arguments"):
        opened().count("GET")
    with pytest.raises(TypeError, match="6 arguments"):
        opened().add("GET")


class Request:
    def __init__(self, method):
        self.method = method


class Ended:
    first_byte = 0.0

    def __init__(self, method, outcome, age, sent, received):
        self.request = Request(method)
        self.outcome = outcome
        self.begun = perf_counter() - age
        self.sent = sent
        self.received = received


numbers = st.integers(0, 2**40)
endings = st.tuples(
    st.builds(
        Ended,
        st.sampled_from(["GET", "POST", "MKCOL", "BREW"]),
        st.sampled_from(["ok", "timeout", "client_gone"]),
        # Far enough from each bound for the time that the test itself takes.
        st.sampled_from([0.0, *(bound * 1.2 for bound in BOUNDS[3:])]),
        numbers | st.just(2**63),
        numbers,
    ),
    st.sampled_from([0, 200, 204, 404, 500]),
)


@given(st.lists(endings))
def test_the_sums_are_those_of_python(ended):
    tally = RequestTally()
    assert tally.count_usual is not None
    taken = [tally.count(one, status) for one, status in ended]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "_CoreTally", None)
        twin = RequestTally()
        for (one, status), seconds in zip(ended, taken, strict=True):
            patch.setattr(requests, "perf_counter", lambda at=one.begun + seconds: at)
            twin.count(one, status)
    assert set(tally.rows()) == set(twin.rows())
    for key, row in tally.rows().items():
        other = twin.rows()[key]
        assert row[SECONDS] == pytest.approx(other[SECONDS])
        assert row[:SECONDS] + row[SECONDS + 1 :] == other[:SECONDS] + other[SECONDS + 1 :]


@given(st.floats(0, 100) | st.sampled_from(BOUNDS), st.integers(0, 15))
def test_every_time_has_the_bucket_that_python_finds(seconds, least):
    bounds = BOUNDS[least:]
    tally = _core.Tally(bounds, OK)
    tally.open("GET", 200, OK)
    assert tally.add("GET", 200, OK, seconds, 0, 0)
    buckets = tally.rows()[0][3][: len(bounds) + 1]
    assert buckets.index(1) == bisect_left(bounds, seconds)
    assert sum(buckets) == 1


@pytest.mark.parametrize("begun", [math.nan, math.inf, -math.inf, 1e300])
def test_a_clock_that_is_mad_harms_nothing(begun):
    tally = opened()
    assert tally.count("GET", 200, begun, 0)
    assert tally.add("GET", 200, OK, begun, 0, 0)
    assert counted(tally) == 2


def test_most_requests_are_not_left_to_python():
    tally = RequestTally()
    for _ in range(3):
        tally.count(Ended("GET", "ok", 0.0, 13, 0), 200)
    assert tally.count_usual("GET", 200, perf_counter(), 13)
    [row] = tally._rows.values()
    assert sum(row[:BUCKETS]) == 1  # the first; its row was opened then
    assert sum(tally.rows()["GET 2xx ok"][:BUCKETS]) == 4


def test_nothing_stays_behind():
    def run(rounds):
        for number in range(rounds):
            tally = opened(("GET", 200, OK), (f"M{number}", 200, f"o{number}"))
            tally.count("GET", 200, 1.0, 2**40)
            tally.add("GET", 200, OK, 1.0, 2**40, 2**40)
            tally.rows()

    gc.collect()
    run(5)
    before = sys.getallocatedblocks()
    run(200)
    assert sys.getallocatedblocks() - before < 100


SCRIPT = """
from asgiserver.metrics.histogram import BOUNDS
from asgiserver.speedups import _core
import _testcapi

failures = 0

def failing(start, function, *args):
    global failures
    _testcapi.set_nomemory(start, start + 1)
    try:
        return function(*args)
    except MemoryError:
        failures += 1
    finally:
        _testcapi.remove_mem_hooks()

for start in range(80):
    failing(start, _core.Tally, BOUNDS, "ok")
    tally = _core.Tally(BOUNDS, "ok")
    failing(start, tally.open, "GET", 200, "ok")
    tally.open("GET", 200, "ok")
    assert failing(start, tally.count, "GET", 200, 1.0, 2**50)
    assert failing(start, tally.add, "GET", 200, "ok", 1.0, 2**50, 2**40)
    rows = failing(start, tally.rows)
    assert rows is None or rows == tally.rows()
assert failures > 5, failures
print("done")
"""


def test_every_allocation_may_fail():
    pytest.importorskip("_testcapi")
    assert printed_by(SCRIPT) == "done\n"


def test_a_finalizer_that_counts_while_rows_are_read():
    """Python code may run within a call only where the collector runs there (CPython 3.11)."""
    tally = opened()
    seen = []

    class Late:
        def __init__(self):
            self.itself = self

        def __del__(self):
            tally.open("GET", 201 + len(seen) % 80, OK)
            seen.append(tally.count("GET", 201, 1.0, 0))

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(200):
            Late()
            assert all(len(row) == 4 for row in tally.rows())
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert len(seen) == 200
