"""Fixtures of the tests over real sockets."""

import os

import pytest


@pytest.fixture(autouse=True)
def unwatched(monkeypatch):
    """No line about pauses: the objects of a whole test run take the collector long, and the cores
    are shared."""
    monkeypatch.setattr("asgiserver.watch.notice.Notices.allows", lambda self: False)


@pytest.fixture
def duplicates(monkeypatch):
    """The descriptors duplicated to wait for a socket; all of them must be closed at the end."""
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
