"""What others may see of a server."""

from __future__ import annotations

import json

import pytest
from fakes import FakePeer, FakeServer, turns, until

from asgiserver.metrics.figures import FIGURES
from asgiserver.server.view import ServerView


async def waits(scope, receive, send):
    await receive()
    await receive()


@pytest.fixture
async def server():
    server = FakeServer(waits)
    yield server
    await server.finish()


async def test_a_view_shows_connections_and_what_runs(server):
    view = ServerView(server.context)
    peer, gone = FakePeer(None, server=server), FakePeer(None, server=server)
    gone.transport.lose()
    await turns()
    assert (view.open, view.accepted, view.running) == (1, 2, 0)
    peer.get()
    await until(lambda: view.running)
    assert (view.open, view.accepted, view.running) == (1, 2, 1)


async def test_a_snapshot_has_every_figure_as_plain_json(server):
    view = ServerView(server.context)
    FakePeer(None, server=server).get()
    FakePeer(None, server=server).send(b"GET / HTTP/1.1\r\n\r\n")
    await until(lambda: view.running)
    figures = view.snapshot(rss=4096).values()
    assert json.loads(json.dumps(figures)) == figures
    assert list(figures) == [figure.name for figure in FIGURES]
    assert figures["requests"] == 1
    assert figures["connections"] == 2
    assert figures["refused"] == {"missing Host": 1}
    assert figures["running"] == 1
    assert figures["rss"] == 4096


async def test_a_snapshot_stays_as_it_was(server):
    view = ServerView(server.context)
    before = view.snapshot()
    server.context.stats.count_refused("missing Host")
    assert before.refused == {}
    assert view.snapshot().refused == {"missing Host": 1}
