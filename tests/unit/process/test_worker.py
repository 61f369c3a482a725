"""How a worker leaves: what it waits for before its server begins to stop."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest
from fakes import WAIT

from asgiserver.config.fields import Config
from asgiserver.metrics.figures import Counters
from asgiserver.process.control import Beat, Lines, Setup, Stop
from asgiserver.process.worker import Worker
from asgiserver.server.view import ServerView


class Served:
    """A server in which the last accepted connection appears one turn late, as uvloop has it."""

    def __init__(self):
        self.announced = False
        self.has_clients = False
        self.taken = None
        self.stopped = asyncio.Event()

    def announce_stop(self):
        self.announced = True

    def stop_accepting(self, *, take_waiting=False):
        self.taken = take_waiting
        asyncio.get_running_loop().call_soon(setattr, self, "has_clients", True)

    def request_stop(self, *, timeout=None, reason="stop"):
        self.stopped.set()


@pytest.fixture
async def served():
    return Served()


@pytest.fixture
async def worker(served):
    ours, theirs = socket.socketpair()
    worker = Worker(Setup(Config("app:app"), 0), theirs, -1, lambda setup: served)
    worker._loop, worker._server = asyncio.get_running_loop(), served
    yield worker
    ours.close()
    theirs.close()


@pytest.mark.parametrize("last", [True, False])
async def test_what_was_just_accepted_is_waited_for(worker, served, last):
    worker._on_order(Stop("restart", delay=60, last=last))
    assert served.announced
    while not served.has_clients:
        await asyncio.sleep(0)
    assert served.taken is last
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(served.stopped.wait(), 0.1)
    served.has_clients = False
    await asyncio.wait_for(served.stopped.wait(), WAIT)


async def test_nobody_is_waited_for_longer_than_ordered(worker, served):
    worker._on_order(Stop("restart", delay=0.05))
    await asyncio.wait_for(served.stopped.wait(), WAIT)
    assert served.has_clients


async def test_a_beat_carries_what_may_be_a_reason_to_recycle_the_worker(served):
    stats = Counters(connections=3, requests=2)
    served.view = ServerView(SimpleNamespace(stats=stats, connections={1, 2}, running={1: 1}))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        setup = Setup(Config("app:app", timeout_worker_stuck="off"), 0)
        worker = Worker(setup, theirs, -1, lambda setup: served)
        worker._loop, worker._server = asyncio.get_running_loop(), served
        worker._beat()
        (beat,) = Lines().feed(ours.recv(65536))
    assert isinstance(beat, Beat)
    assert beat.rss > 0
    assert beat == Beat(beat.rss, requests=2)
