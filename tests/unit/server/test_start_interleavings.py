"""Told to stop at every moment of a start: a start-up that was completed gets its shutdown."""

import asyncio
import signal
import socket

import pytest

from asgiserver import Config, Server
from asgiserver.process.control import Setup
from asgiserver.process.worker import Worker
from asgiserver.server.runner import StopSignals, start_and_wait

TURNS = 40
"""More turns of the loop than the longest of these start-ups takes."""


class App:
    """Takes `steps` turns to start; `seen` tells what happened to it."""

    def __init__(self, steps=3, stubborn=False):
        self.steps = steps
        self.stubborn = stubborn
        self.seen = []

    async def __call__(self, scope, receive, send):
        await receive()
        self.seen.append("begun")
        try:
            for _ in range(self.steps):
                await self.step()
            await send({"type": "lifespan.startup.complete"})
            self.seen.append("complete")
            await receive()
            self.seen.append("shutdown")
            await self.step()
            await send({"type": "lifespan.shutdown.complete"})
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        self.seen.append("ended")

    async def step(self):
        """One turn of the loop, cancelled or not."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if not self.stubborn:
                raise

    def is_whole(self):
        """No start-up, or one that was unwound, or one that was followed by the shutdown."""
        allowed = ([], ["begun", "cancelled"], ["begun", "complete", "shutdown", "ended"])
        return self.seen in allowed


APPS = [
    pytest.param({}, id="slow"),
    pytest.param({"steps": 0}, id="at once"),
    pytest.param({"stubborn": True}, id="not to be cancelled"),
]


def config(app):
    return Config(app, port=0, access_log=False, log_config={"version": 1})


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("options", APPS)
@pytest.mark.parametrize("again", [0, 1, 3])
async def test_a_start_that_is_cancelled(options, again, caplog):
    """As embedding programs do; `again` turns later once more."""
    whole = set()
    for moment in range(TURNS):
        app = App(**options)
        server = Server(config(app))
        starting = asyncio.create_task(server.start())
        await turns(moment)
        starting.cancel()
        if again:
            await turns(again)
            starting.cancel()
        try:
            await starting
        except asyncio.CancelledError:
            pass
        async with asyncio.timeout(10):
            await server.stop()
        assert app.is_whole(), (moment, app.seen)
        assert not server.listeners
        whole.add(tuple(app.seen))
    assert ("begun", "complete", "shutdown", "ended") in whole
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("options", APPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_in_one_process(options, number, caplog):
    codes = set()
    for moment in range(-1, TURNS):
        app = App(**options)
        server = Server(config(app))
        loop = asyncio.get_running_loop()
        with StopSignals(loop, server) as signals:
            if moment < 0:
                signals._on_signal(number, None)
            serving = asyncio.create_task(start_and_wait(server, signals))
            if moment >= 0:
                await turns(moment)
                signals._on_signal(number, None)
            async with asyncio.timeout(10):
                code = await serving
        assert app.is_whole(), (moment, app.seen)
        assert code == (0 if server.started else 128 + number), moment
        codes.add(code)
    assert codes == {0, 128 + number}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("options", APPS)
async def test_a_signal_to_a_worker(options, caplog):
    for moment in range(-1, TURNS):
        app = App(**options)
        ours, theirs = socket.socketpair()
        worker = Worker(Setup(Config("app:app"), 0), theirs, -1, lambda setup: None)
        worker._loop = loop = asyncio.get_running_loop()
        if moment < 0:
            worker._on_sigterm(signal.SIGTERM, None)
        server = Server(config(app))
        serving = asyncio.create_task(worker._serve(loop, server))
        if moment >= 0:
            await turns(moment)
            worker._on_sigterm(signal.SIGTERM, None)
        async with asyncio.timeout(10):
            code = await serving
        assert code == (0 if server.started else 128 + signal.SIGTERM)
        assert app.is_whole(), (moment, app.seen)
        loop.remove_reader(theirs.fileno())
        ours.close()
        theirs.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
