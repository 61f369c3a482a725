"""Event loops: a module that asks for both with ``pytest.mark.asyncio(loop_factories=...)`` runs
on each; everything else runs on the standard library's."""

import asyncio
import os

import pytest
import uvloop

LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(config, item):
    mark = item.get_closest_marker("asyncio")
    if mark is not None and "loop_factories" in mark.kwargs:
        return LOOPS
    return {"asyncio": asyncio.SelectorEventLoop}


@pytest.fixture
def duplicates(monkeypatch):
    """The descriptors that were duplicated to wait for a socket; all closed again at the end."""
    dup, close = os.dup, os.close
    taken, still_open = [], set()

    def taking(fd):
        taken.append(dup(fd))
        still_open.add(taken[-1])
        return taken[-1]

    def closing(fd):
        still_open.discard(fd)
        close(fd)

    monkeypatch.setattr("asgiserver.wire.sendfile.os.dup", taking)
    monkeypatch.setattr("asgiserver.wire.sendfile.os.close", closing)
    yield taken
    assert not still_open
