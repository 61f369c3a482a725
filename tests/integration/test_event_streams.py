"""Server-sent events: raw, of Starlette and of sse-starlette, on both event loops."""

from __future__ import annotations

import asyncio
import select
import socket

import pytest
from fakes import WAIT, FakePeer, until
from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

START = {"type": "http.response.start", "status": 200, "headers": []}


class TestEvents:
    """Server-sent events."""

    async def test_starlettes_are_at_the_client_one_turn_later(self, serve, tmp_path):
        """Over a unix socket: what has been written there is at the other end at once."""
        seen = []

        async def events():
            for number in range(4):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0)  # uvloop writes at the end of a turn
                seen.append(peer.recv(65536, socket.MSG_DONTWAIT))

        async def endpoint(request):
            return StreamingResponse(events(), media_type="text/event-stream")

        path = str(tmp_path / "socket")
        server = await serve(Starlette(routes=[Route("/", endpoint)]), uds=path)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            await until(lambda: len(seen) == 4 and not server.context.running)
        assert seen[0].startswith(b"HTTP/1.1 200 ")
        assert [part.count(b"data: ") for part in seen] == [1] * 4
        assert [part[-13:] for part in seen] == [b"\r\ndata: %d\n\n\r\n" % n for n in range(4)]

    async def test_each_leaves_in_the_same_turn(self, connect):
        events = asyncio.Queue()
        writes = []

        async def app(scope, receive, send):
            await send(START)
            for number in range(4):
                event = b"data: %d\n\n" % number
                await send({"type": "http.response.body", "body": event, "more_body": True})
                writes.append(list(peer.transport.writes))
                await events.get()
            await send({"type": "http.response.body"})

        peer: FakePeer = connect(app)
        peer.get()
        for number in range(4):
            await until(lambda number=number: len(writes) == number + 1)
            # Within the dispatch it waits for the application to suspend, then it is one write.
            assert len(peer.transport.writes) == number + 1
            assert b"data: %d\n\n" % number in peer.transport.writes[-1]
            events.put_nowait(None)
        assert [len(seen) for seen in writes[1:]] == [2, 3, 4]
        assert (await peer.reply()).body == b"".join(b"data: %d\n\n" % n for n in range(4))

    @pytest.fixture
    def ticks(self):
        """A Starlette application with endless events, and what became of them."""
        state = asyncio.Event()

        async def generate():
            try:
                number = 0
                while True:
                    yield {"event": "tick", "data": str(number)}
                    number += 1
                    await asyncio.sleep(0.01 if number < 3 else 60)
            finally:
                state.set()

        async def endpoint(request):
            return EventSourceResponse(generate())

        app = Starlette(routes=[Route("/events", endpoint)])
        app.state.ended = state
        return app

    async def test_sse_starlette_hears_that_the_client_left(self, serve, dial, ticks, caplog):
        server = await serve(ticks)
        peer = await dial(server)
        await peer.get(b"/events")
        await peer.read_until(b"data: 2\r\n")
        peer.reset()
        await asyncio.wait_for(ticks.state.ended.wait(), WAIT)
        await until(lambda: not server.context.running)
        assert "Exception" not in caplog.text

    async def test_sse_starlette_stops_at_shutdown_by_itself(self, serve, dial, ticks, caplog):
        server = await serve(ticks)
        peer = await dial(server)
        await peer.get(b"/events")
        await peer.read_until(b"data: 2\r\n")
        await asyncio.wait_for(server.stop(timeout=30), 10)
        assert ticks.state.ended.is_set()
        assert not AppStatus.should_exit  # its patch of another server took no part
        assert not [record for record in caplog.records if record.levelname != "INFO"]


@pytest.mark.skipif(not hasattr(select, "POLLRDHUP"), reason="the system does not tell")
@pytest.mark.parametrize("sends", ["requests", "body"])
@pytest.mark.parametrize("leaves", ["send_eof", "reset"])
async def test_who_leaves_is_noticed_though_nothing_is_read(serve, dial, sends, leaves):
    """What the client has sent before waits for the application, and so does its FIN."""
    streaming, stopped = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        streaming.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    server = await serve(app, on_disconnect="cancel")
    peer = await dial(server)
    length = 4 << 20 if sends == "body" else 0
    await peer.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % length)
    await peer.read_until(b"first")
    await streaming.wait()
    if sends == "body":
        await peer.send(b"x" * (1 << 17))  # more than is kept for the application
    else:
        await peer.send(b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n")
    (connection,) = server.context.connections
    await until(lambda: connection.paused)
    getattr(peer, leaves)()
    async with asyncio.timeout(WAIT):
        await stopped.wait()
