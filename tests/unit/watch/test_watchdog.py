"""The watchdog: what it takes for a blocked loop, and what it excuses."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from bisect import bisect_left
from types import SimpleNamespace

import pytest
from fakes import until

from asgiserver.config.fields import Config
from asgiserver.metrics.figures import Counters
from asgiserver.metrics.histogram import BOUNDS, BUCKETS
from asgiserver.watch import collector, stall, watchdog
from asgiserver.watch.notice import MOST, Notices
from asgiserver.watch.watchdog import Watchdog, WatchedLoop


class FakeLoop:
    """A loop that calls what it was asked to when the test says so."""

    def __init__(self):
        self.asked = []

    def call_soon_threadsafe(self, callback):
        self.asked.append(callback)

    def turn(self):
        for callback in self.asked:
            callback()
        self.asked.clear()


def wait_for(condition):
    """Wait, without an event loop, for what another thread does."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def context(monkeypatch):
    monkeypatch.setattr(stall.Stall, "notices", Notices("loop_stall", "blocked event loops"))
    return SimpleNamespace(
        config=Config("app:app", loop_stall_warn=0.5), loop=FakeLoop(), running={}, stats=Counters()
    )


@pytest.fixture
def watched(context):
    watched = WatchedLoop(context)
    watched.warn = context.config.loop_stall_warn
    return watched


def test_a_loop_that_answers_is_asked_again(watched, context):
    now = time.monotonic()
    for look in range(4):
        assert not watched.look(now + look)
        context.loop.turn()
    assert watched.stall is None
    assert context.stats.stalls == 0
    assert sum(context.stats.lag[:BUCKETS]) == 3  # the fourth answer was not looked at yet


def test_a_loop_that_does_not_answer_is_named_once_and_at_its_end(watched, context, caplog):
    now = time.monotonic()
    watched.look(now)
    assert watched.look(now + 0.25)
    assert watched.blocked(now + 0.25) == 0
    assert not caplog.records
    for late in (0.5, 0.6, 1.0):
        assert watched.look(now + late)
    assert watched.blocked(now + 1) == 1
    assert context.stats.stalls == 1
    watched.answered_at = now + 1.05
    watched.look(now + 1.1)
    assert context.stats.stalled_seconds == pytest.approx(1.05)
    assert context.stats.lag[BUCKETS] == pytest.approx(1.05)
    begun, ended = caplog.records
    assert begun.event == "loop_stall"
    assert begun.duration == pytest.approx(0.5)
    assert "test_watchdog.py" in begun.frame
    assert ended.event == "loop_stall_end"
    assert "was blocked for" in ended.getMessage()


def test_a_process_that_did_not_run_is_excused(watched, context, caplog):
    dog = Watchdog()
    dog.loops = [watched]
    now = time.monotonic()
    watched.look(now)
    dog.on_late(30.0, used=0.01)
    assert watched.look(now + 30.2)
    assert context.stats.stalls == 0
    (record,) = caplog.records
    assert record.event == "not_running"
    assert "did not run for 30.0 s" in record.getMessage()


def test_an_answer_that_came_late_for_the_pause_is_excused(watched, context, caplog):
    """The loop's thread may run before the watchdog's does."""
    dog = Watchdog()
    dog.loops = [watched]
    now = time.monotonic()
    watched.look(now - 30.3)
    watched.look(now - 30.1)
    context.loop.turn()
    dog.on_late(30.0, used=0.01)
    watched.look(time.monotonic())
    assert context.stats.stalls == 0
    assert [record.event for record in caplog.records] == ["not_running"]


@pytest.mark.parametrize("others", [0, 1], ids=["the last", "one of two"])
def test_the_end_of_a_stall_is_told_when_its_loop_leaves(context, caplog, others):
    """The loop leaves in the very turn that was blocked, so it has not answered yet."""
    dog = Watchdog()
    other = SimpleNamespace(config=Config("app:app"), loop=FakeLoop(), running={}, stats=Counters())
    if others:
        dog.watch(other)
    context.config = Config("app:app", loop_stall_warn=0.02)
    dog.watch(context)
    dog.heed(context)
    wait_for(lambda: caplog.records)
    dog.leave(context)
    wait_for(lambda: len(caplog.records) == 2)
    assert [record.event for record in caplog.records] == ["loop_stall", "loop_stall_end"]
    assert context.stats.stalled_seconds >= 0.02
    dog.leave(other)


def test_a_process_that_computed_meanwhile_has_blocked_its_loop(watched, context, caplog):
    dog = Watchdog()
    dog.loops = [watched]
    context.loop.turn()
    dog.on_late(3.0, used=2.9)
    watched.look(time.monotonic())
    assert context.stats.stalls == 1
    assert caplog.records[0].duration == pytest.approx(3.0, abs=0.5)


def test_lines_of_one_kind_are_bounded(caplog):
    notices = Notices("event", "events")
    allowed = [notices.allows() for _ in range(MOST + 5)]
    assert allowed == [True] * MOST + [False] * 5
    assert [record.getMessage() for record in caplog.records] == [
        "Further events are not logged for a minute"
    ]


async def test_the_thread_ends_with_what_it_watches():
    before = set(threading.enumerate())  # what another test has left
    dog = Watchdog()
    context = SimpleNamespace(
        config=Config("app:app", loop_stall_warn=0.05),
        loop=asyncio.get_running_loop(),
        running={},
        stats=Counters(),
    )
    dog.watch(context)
    dog.heed(context)
    (watched,) = dog.loops
    await until(lambda: watched.asked_at > 0)
    await until(lambda: watched.answered_at is not None)
    (thread,) = set(threading.enumerate()) - before
    assert thread.name == "asgiserver watchdog"
    dog.leave(context)
    dog.leave(context)  # again: nothing
    # `leave` waits for the end, but not for ever: the thread may just be naming a blocked loop.
    await until(lambda: not thread.is_alive())


def test_the_collector_is_measured_while_a_server_runs(caplog):
    pauses = collector.Pauses()
    context = SimpleNamespace(stats=Counters())
    pauses.measure(context)
    try:
        assert pauses in gc.callbacks
        pauses._began = None
        pauses._long.clear()
        pauses("start", {})
        pauses._began -= 0.2
        assert pauses.seconds > 0.2  # of a collection that goes on
        pauses("stop", {"generation": 2})
    finally:
        pauses.leave(context)
        pauses.leave(context)
    assert pauses not in gc.callbacks
    pauses.tell(context)
    assert context.stats.gc_pauses == 1
    assert context.stats.gc[BUCKETS] > 0.2
    assert context.stats.gc[bisect_left(BOUNDS, 0.2)] == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("The garbage collector has paused this process for 2")


def test_what_the_start_up_has_made_is_frozen():
    before = gc.get_threshold()
    try:
        collector.spare("freeze")
        assert gc.get_freeze_count() > 1000
        assert gc.get_threshold() == before
        collector.spare("tuned")
        assert gc.get_threshold()[0] == collector.THRESHOLDS[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_the_dump_of_a_process_without_a_server():
    found = watchdog.take_dump()
    assert found["pid"] == os.getpid()
    assert found["servers"] == []
    assert any("test_watchdog" in line for thread in found["threads"] for line in thread["stack"])
