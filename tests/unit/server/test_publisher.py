"""What a server publishes of itself."""

from __future__ import annotations

import asyncio

import pytest
from fakes import FakePeer, FakeServer, turns, until

from asgiserver.log.record import unlogged
from asgiserver.metrics.histogram import BUCKETS
from asgiserver.server.board import HALF
from asgiserver.server.publisher import Publisher, read_board
from asgiserver.server.view import ServerView


async def app(scope, receive, send):
    if scope["path"] == "/wait":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await send({"type": "http.response.body", "body": b"hello"})


class PublishingServer(FakeServer):
    """A server with its publisher."""

    def __init__(self, app):
        super().__init__(app)
        self.publisher = Publisher()


@pytest.fixture
async def server():
    server = PublishingServer(app)
    server.publisher.begin(server.context, ServerView(server.context))
    yield server
    server.publisher.board.close()
    await server.finish()


def published(server):
    server.publisher.publish()
    return read_board(server.publisher.board)


async def test_nothing_is_published_before_the_server_serves():
    publisher = Publisher()
    publisher.publish()
    assert read_board(publisher.board) is None
    publisher.board.close()
    assert read_board(publisher.board) is None


@pytest.mark.parametrize("logged", [True, False])
async def test_requests_that_have_ended_are_counted_logged_or_not(server, logged):
    if not logged:
        server.context.access = unlogged
    peer = FakePeer(None, server=server)
    for _ in range(3):
        peer.get()
        await peer.reply()
    peer.get(b"/stream")
    await peer.reply()
    await turns()
    assert len(server.records) == (4 if logged else 0)
    figures = published(server).figures
    assert list(figures["ended"]) == ["GET 2xx ok"]
    assert sum(figures["ended"]["GET 2xx ok"][:BUCKETS]) == 4
    assert figures["requests"] == 4
    assert figures["early"][BUCKETS] < 0  # the stream's head came before its end
    assert figures["states"] == {"http/1.1 idle": 1}
    assert figures["rss"] > 0


async def test_what_has_been_running_for_longest_is_named(server):
    peers = [FakePeer(None, server=server) for _ in range(25)]
    for number, peer in enumerate(peers):
        peer.get(b"/wait?number=%d" % number)
    await until(lambda: len(server.context.running) == 25)
    shown = published(server)
    assert shown.figures["in_flight"] == 25
    assert len(shown.running) == 20
    assert shown.running[0]["method"] == "GET"
    assert shown.running[0]["path"] == "/wait"
    ages = [one["age"] for one in shown.running]
    assert ages == sorted(ages, reverse=True)


async def test_refusals_are_counted_and_logged_when_requests_are_only_counted(server):
    refused = []
    server.context.access = unlogged
    server.context.on_refused = lambda client, error: refused.append(error.reason)
    peer = FakePeer(None, server=server)
    peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
    await peer.closed()
    assert len(refused) == 1


async def test_the_ticks_of_the_clock_are_the_sign_of_life(server):
    server.publisher.tick()
    first = read_board(server.publisher.board).at
    server.publisher.tick()
    again = read_board(server.publisher.board)
    assert again.at >= first > 0
    assert published(server).at == again.at  # not by what a watching thread publishes


async def test_too_much_to_publish_leaves_out_what_runs(server, monkeypatch):
    monkeypatch.setattr(ServerView, "oldest", lambda self, most: [{"path": "x" * HALF}])
    shown = published(server)
    assert shown.running == []
    assert shown.figures["requests"] == 0


async def test_after_the_end_nothing_changes(server):
    server.publisher.end()
    before = read_board(server.publisher.board)
    server.context.stats.requests += 1
    server.publisher.publish()
    assert read_board(server.publisher.board) == before


async def test_another_thread_does_not_mind_that_a_set_changes_meanwhile(server, monkeypatch):
    def changed(self, rss=0):
        raise RuntimeError("Set changed size during iteration")

    before = published(server)
    monkeypatch.setattr(ServerView, "snapshot", changed)
    assert published(server) == before
