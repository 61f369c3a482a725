"""How a worker leaves: what it waits for before its server begins to stop."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest

from asgiserver.config.fields import Config
from asgiserver.process.control import Setup, Stop
from asgiserver.process.worker import Worker


class Served:
    """A server in which the last accepted connection appears one turn late, as uvloop has it."""

    def __init__(self):
        self.context = SimpleNamespace(shutdown=SimpleNamespace(give=lambda: None), draining=False)
        self.has_clients = False
        self.taken = None
        self.stopped = asyncio.Event()

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
    assert served.context.draining
    while not served.has_clients:
        await asyncio.sleep(0)
    assert served.taken is last
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(served.stopped.wait(), 0.1)
    served.has_clients = False
    await asyncio.wait_for(served.stopped.wait(), 5)


async def test_nobody_is_waited_for_longer_than_ordered(worker, served):
    worker._on_order(Stop("restart", delay=0.05))
    await asyncio.wait_for(served.stopped.wait(), 5)
    assert served.has_clients
