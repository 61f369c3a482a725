"""Fixtures for every test: servers, peers, parsers, and the ways to start an application."""

import asyncio
import importlib
import logging
import os
import signal
import sys
from pathlib import Path

import pytest
import uvloop
from fakes import FakePeer, FakeServer
from raw_client import RawClient

from asgiserver import Config, Server, speedups
from asgiserver.context import ServerContext
from asgiserver.log.loggers import ACCESS_LOGGER, LOGGER

# The watchdog imports it in its thread, and pytest rewrites what is imported with `ast`, in which
# two threads at a time are too many for Python 3.11.
importlib.import_module("asgiserver.watch.stall")

# With the compiled core first, when it is used.
READERS = [pytest.param("auto", id="core")] if speedups.is_used else []

# Tests of whole processes and of other programs: `make test-all` runs them, `make test` does not.
TESTS = Path(__file__).parent
LONG = ("browser/", "e2e/test_process", "field/", "frameworks/", "system/")

# Whose coverage is measured; a measured process counts more bytecodes than the budget allows.
COVERED = ("conformance/", "unit/")
NOT_COVERED = "unit/test_budget.py"

# A process passes on which signals it ignores: nohup and a shell's background jobs ignore some, and
# then the servers of the tests would rightly survive them.
for name, handler in (("SIGHUP", signal.SIG_DFL), ("SIGINT", signal.default_int_handler)):
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# A module that asks for both with ``pytest.mark.asyncio(loop_factories=...)`` runs on each;
# everything else runs on the standard library's loop.
LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(config, item):
    mark = item.get_closest_marker("asyncio")
    if mark is not None and "loop_factories" in mark.kwargs:
        return LOOPS
    return {"asyncio": asyncio.SelectorEventLoop}


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items):
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        if path.startswith(LONG):
            item.add_marker("long")
        if path.startswith(COVERED) and path != NOT_COVERED:
            item.add_marker("covered")


@pytest.fixture(autouse=True)
def _no_options_from_outside(monkeypatch):
    """Nothing of the environment is meant for the server, nor to measure what a test starts; but
    whether the compiled core is used is asked of the whole run."""
    for name in list(os.environ):
        if name.startswith(("ASGISERVER_", "UVICORN_", "COVERAGE_")) and name != speedups.VARIABLE:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_before():
    """What a test leaves of levels and handlers is no concern of the next one."""
    loggers = [logging.getLogger(name) for name in (None, LOGGER, ACCESS_LOGGER)]
    before = [
        (each, each.level, each.propagate, each.handlers[:], each.filters[:]) for each in loggers
    ]
    yield
    for each, level, propagate, handlers, filters in before:
        each.setLevel(level)
        each.propagate = propagate
        each.handlers[:] = handlers
        each.filters[:] = filters


@pytest.fixture(params=[*READERS, "httptools", "h11"])
def parser(request):
    """What reads heads; what is tested must not depend on which it is."""
    return request.param


@pytest.fixture(params=["eager", "scheduled"] if sys.version_info >= (3, 12) else ["scheduled"])
def task_start(request, monkeypatch):
    """Both ways to start an application: at once (from Python 3.12 on), and in the next turn."""
    if request.param == "scheduled":
        monkeypatch.setattr(ServerContext, "start_now", ServerContext.start_soon)
    return request.param


@pytest.fixture
async def connect(parser):
    """``connect(app, **options)`` is a `FakePeer` connected to a server of its own."""
    servers = []

    def connect(app, *, extra=None, **options):
        server = FakeServer(app, parser, **options)
        servers.append(server)
        return FakePeer(app, server=server, extra=extra)

    yield connect
    for server in servers:
        await server.finish()


@pytest.fixture
async def serve():
    """``await serve(app, **options)`` is a running `Server` on a free port."""
    servers = []

    async def serve(app, **options):
        options = {"port": 0, "access_log": False, "lifespan": "off", **options}
        server = Server(Config(app, **options))
        await server.start()
        servers.append(server)
        return server

    yield serve
    for server in servers:
        await server.stop(timeout=0)


@pytest.fixture
async def dial():
    """``await dial(server)`` is a `RawClient` connected to it."""
    clients = []

    async def dial(server, **options):
        client = await RawClient.connect(server, **options)
        clients.append(client)
        return client

    yield dial
    for client in clients:
        await client.close()
