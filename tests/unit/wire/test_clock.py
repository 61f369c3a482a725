"""The coarse clock: one tick for all deadlines, and no blame for a loop that was blocked."""

import re

import pytest

from asgiserver.wire.clock import TICK, CoarseClock, http_date


class FakeLoop:
    """Time and one timer, both moved by the test."""

    def __init__(self):
        self.now = 100.0
        self.timer = None

    def time(self):
        return self.now

    def call_later(self, delay, callback):
        self.timer = self
        self._callback, self._delay = callback, delay
        return self

    def cancel(self):
        self.timer = None

    def tick(self, late=0.0):
        self.now += self._delay + late
        self._callback()


class FakeConnection:
    def __init__(self, deadline):
        self.deadline = deadline
        self.called = []

    def extend(self, seconds):
        self.deadline += seconds

    def on_deadline(self, now):
        self.called.append(now)
        self.deadline = float("inf")


@pytest.fixture
def loop():
    return FakeLoop()


def test_deadlines_are_noticed_once(loop):
    connections = [FakeConnection(101.0), FakeConnection(102.5)]
    clock = CoarseClock(loop, lambda: connections)
    clock.start()
    for _ in range(4):
        loop.tick()
    assert connections[0].called == [101.0]
    assert connections[1].called == [103.0]
    assert clock.now == 104.0


def test_a_blocked_loop_is_not_the_clients_fault(loop):
    connections = [FakeConnection(103.0)]
    clock = CoarseClock(loop, lambda: connections)
    clock.start()
    loop.tick(late=30.0)
    assert not connections[0].called
    assert connections[0].deadline == 133.0
    for _ in range(3):
        loop.tick()
    assert connections[0].called


def test_a_connection_may_end_during_the_sweep(loop):
    connections = set()

    class Ending(FakeConnection):
        def on_deadline(self, now):
            connections.clear()

    connections |= {Ending(100.0), Ending(100.0)}
    clock = CoarseClock(loop, lambda: connections)
    clock.start()
    loop.tick()
    assert not connections


def test_callbacks_run_now_and_at_each_tick(loop):
    calls = []
    clock = CoarseClock(loop, lambda: ())
    clock.call_each_tick(lambda: calls.append(clock.now))
    assert len(calls) == 1
    clock.start()
    loop.tick()
    loop.tick()
    assert calls[1:] == [100.0 + TICK, 100.0 + 2 * TICK]
    clock.stop()
    assert loop.timer is None
    clock.stop()


def test_date_is_that_of_rfc_9110(loop):
    pattern = rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    assert re.fullmatch(pattern, http_date())
    clock = CoarseClock(loop, lambda: ())
    assert re.fullmatch(pattern, clock.date)
    assert "GMT" in repr(clock)
