"""`WebSocketSession` against a channel that only remembers: every cell of its state table."""

from __future__ import annotations

import asyncio
import logging
import zlib

import pytest
from fakes import WAIT
from hypothesis import given, settings
from hypothesis import strategies as st
from ws_peer import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame, server_frames

from asgiserver.asgi.inbox import CREDIT, MAX_PONGS, MAX_WAITING
from asgiserver.asgi.websocket import CLOSED, CLOSING, CONNECTING, OPEN, WebSocketSession
from asgiserver.config.fields import Config
from asgiserver.context import ServerContext
from asgiserver.errors import ApplicationError, ClientDisconnected
from asgiserver.http.message import RequestHead
from asgiserver.ws.handshake import Offer

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}


class FakeClock:
    now = 1000.0
    date = b""


class FakeChannel:
    def __init__(self):
        self.writable = True
        self.fields = None
        self.heads = []
        self.body = b""
        self.sent = b""
        self.taken = 0
        self.finished = False
        self.aborted = None
        self.writable_again = asyncio.Event()

    async def wait_writable(self):
        await self.writable_again.wait()

    def send_head(self, head, body, end):
        self.heads.append(head)
        self.body += body

    def send_body(self, data, end):
        self.body += data

    def open_tunnel(self, fields):
        self.fields = fields

    def send_tunnel(self, data, more=b""):
        assert self.fields is not None
        assert not self.finished
        self.sent += data + more

    def consumed(self, size):
        self.taken += size

    def finish(self):
        self.finished = True

    def abort(self, reason):
        self.aborted = reason

    @property
    def frames(self):
        return server_frames(self.sent)


class Peer:
    """One session with its channel and its application, which runs as the server would run it."""

    def __init__(self, app, subprotocols=(), extensions=(), **options):
        self.channel = FakeChannel()
        self.clock = FakeClock()
        self.records = []
        config = Config(app=app, **options)
        context = ServerContext(config, app, asyncio.get_running_loop(), self.clock)
        context.access = self.records.append
        head = RequestHead("GET", b"/chat?x=1", "1.1", [(b"host", b"example.com")])
        scope = {"type": "websocket", "client": ("127.0.0.1", 9), "scheme": "ws", "extensions": {}}
        offer = Offer(list(subprotocols), list(extensions), b"accept")
        self.session = WebSocketSession(context, self.channel, head, scope, offer)
        self.session.feed_end()  # the request is complete
        self.context = context
        self.session.task = self.task = asyncio.get_running_loop().create_task(self.session.run())

    async def settle(self):
        for _ in range(10):
            await asyncio.sleep(0)

    async def feed(self, data):
        self.session.feed(data)
        await self.settle()

    async def tick(self, count=1, seconds=1.0):
        for _ in range(count):
            self.clock.now += seconds
            self.session.on_tick(self.clock.now)
        await self.settle()

    async def end(self):
        """Lose the connection and let the application end."""
        self.session.disconnect("client_gone")
        await asyncio.wait_for(self.task, WAIT)


class App:
    """Accepts, notes what it receives, and does what the test puts into `calls`."""

    def __init__(self, accept=True):
        self.received = []
        self.accept = accept
        self.reading = asyncio.Event()
        self.reading.set()
        self.scope = self.receive = self.send = None

    async def __call__(self, scope, receive, send):
        self.scope, self.receive, self.send = scope, receive, send
        self.received.append(await receive())
        if self.accept:
            await send(ACCEPT)
        while True:
            await self.reading.wait()
            message = await receive()
            self.received.append(message)
            if message["type"] == "websocket.disconnect":
                return


def disconnect(code, reason=""):
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


async def opened(app=None, **options):
    peer = Peer(app or App(), **options)
    await peer.settle()
    assert peer.session.state == OPEN
    return peer


# The handshake.


async def test_accept_with_subprotocol_and_headers():
    async def app(scope, receive, send):
        assert await receive() == CONNECT
        with pytest.raises(ApplicationError, match="not among those offered"):
            await send({**ACCEPT, "subprotocol": "other"})
        with pytest.raises(ApplicationError, match="CR, LF or NUL"):
            await send({**ACCEPT, "headers": [(b"x", b"a\nb")]})
        await send({**ACCEPT, "subprotocol": "chat", "headers": [(b"X-A", b"1")]})
        with pytest.raises(ApplicationError, match="unexpected message"):
            await send(ACCEPT)
        await receive()

    peer = await opened(app, subprotocols=["chat"])
    assert (b"sec-websocket-protocol", b"chat") in peer.channel.fields
    assert peer.channel.fields[-1] == (b"x-a", b"1")
    assert "OPEN" in repr(peer.session)
    assert peer.session.scope["extensions"]["websocket.http.response"] == {}
    await peer.end()


async def test_close_before_accept_is_403():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close"})
        assert await receive() == disconnect(1006, "handshake refused")

    peer = Peer(app)
    await peer.task
    assert [head.status for head in peer.channel.heads] == [403]
    assert peer.channel.finished
    assert peer.channel.fields is None
    [record] = peer.records
    assert (record.event, record.status, record.outcome) == ("request", 403, "ok")


async def test_denial_response_is_streamed(caplog):
    async def app(scope, receive, send):
        await receive()
        await send(
            {
                "type": "websocket.http.response.start",
                "status": 401,
                "headers": [(b"www-authenticate", b"Basic")],
            }
        )
        with pytest.raises(ApplicationError):
            await send(ACCEPT)
        await send({"type": "websocket.http.response.body", "body": b"a", "more_body": True})
        assert peer.channel.body == b"a"
        await send({"type": "websocket.http.response.body", "body": b"b"})

    peer = Peer(app)
    await peer.task
    [head] = peer.channel.heads
    assert (head.status, head.fields) == (401, [(b"www-authenticate", b"Basic")])
    assert peer.channel.body == b"ab"
    assert peer.channel.finished
    [record] = peer.records
    assert (record.status, record.sent) == (401, 2)
    assert not caplog.records


@pytest.mark.parametrize("begun", [False, True])
async def test_denial_response_left_unfinished(begun, caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        if begun:
            await send({"type": "websocket.http.response.body", "more_body": True})

    peer = Peer(app)
    await peer.task
    assert [head.status for head in peer.channel.heads] == [401 if begun else 500]
    assert peer.channel.aborted == ("app_error" if begun else None)
    assert "without the end of its response" in caplog.text


async def test_client_leaves_during_the_denial():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "more_body": True})
        assert (await receive())["code"] == 1006
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.http.response.body"})

    peer = Peer(app)
    await peer.settle()
    await peer.end()
    assert peer.records[0].outcome == "client_gone"


@pytest.mark.parametrize("how", ["raises", "returns"])
async def test_application_ends_before_accept(how, caplog):
    async def app(scope, receive, send):
        if how == "raises":
            raise ValueError("broken")

    peer = Peer(app)
    await peer.task
    assert [head.status for head in peer.channel.heads] == [500]
    assert peer.channel.finished
    [entry] = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert "/chat?x=1" in entry.getMessage()
    assert bool(entry.exc_info) == (how == "raises")
    assert peer.records[0].outcome == "app_error"


async def test_client_leaves_before_accept(caplog):
    async def app(scope, receive, send):
        assert await receive() == CONNECT
        assert await receive() == disconnect(1006, "connection lost")
        await send(ACCEPT)

    peer = Peer(app)
    await peer.settle()
    await peer.end()
    assert peer.channel.fields is None
    assert not [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert [(r.status, r.outcome) for r in peer.records] == [(499, "client_gone")]


async def test_bytes_after_the_handshake_are_not_lost():
    app = App(accept=False)
    peer = Peer(app)
    await peer.feed(frame(TEXT, b"early"))
    assert peer.session.buffered > 0
    await app.send(ACCEPT)
    await peer.settle()
    assert app.received[1:] == [{"type": "websocket.receive", "text": "early"}]
    assert peer.session.buffered == 0
    await peer.end()


@pytest.mark.parametrize("kind", ["websocket.send", "http.response.start", "nonsense"])
async def test_unexpected_messages_before_accept(kind):
    app = App(accept=False)
    peer = Peer(app)
    await peer.settle()
    with pytest.raises(ApplicationError, match="in state CONNECTING"):
        await app.send({"type": kind})
    assert peer.session.state == CONNECTING
    await peer.end()


# Messages.


async def test_text_and_binary_both_ways():
    app = App()
    peer = await opened(app)
    await peer.feed(frame(TEXT, "h\u00e9".encode()) + frame(2, b"\x00") + frame(TEXT) + frame(2))
    assert app.received[1:] == [
        {"type": "websocket.receive", "text": "h\u00e9"},
        {"type": "websocket.receive", "bytes": b"\x00"},
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive", "bytes": b""},
    ]
    await app.send({"type": "websocket.send", "text": "h\u00e9"})
    await app.send({"type": "websocket.send", "bytes": bytearray(b"\x01")})
    await app.send({"type": "websocket.send", "text": "", "bytes": None})
    await app.send({"type": "websocket.send", "bytes": b"", "text": None})
    assert peer.channel.frames == [
        (0x81, "h\u00e9".encode()),
        (0x82, b"\x01"),
        (0x81, b""),
        (0x82, b""),
    ]
    await peer.end()


@pytest.mark.parametrize("message", [{}, {"text": None}, {"text": b"x"}, {"bytes": "x"}])
async def test_malformed_send(message):
    app = App()
    peer = await opened(app)
    with pytest.raises(ApplicationError, match="either text"):
        await app.send({"type": "websocket.send", **message})
    assert peer.channel.sent == b""
    await peer.end()


async def test_unknown_message_when_open():
    app = App()
    peer = await opened(app)
    with pytest.raises(ApplicationError, match="in state OPEN"):
        await app.send({"type": "websocket.http.response.start", "status": 200, "headers": []})
    await peer.end()


async def test_compression():
    peer = await opened(extensions=[("permessage-deflate", [])], ws_compression="shared")
    assert peer.channel.fields[-1][0] == b"sec-websocket-extensions"
    await peer.session.send({"type": "websocket.send", "text": "a" * 1000})
    [(first, payload)] = peer.channel.frames
    assert first == 0xC1
    assert len(payload) < 50
    await peer.end()


async def test_receive_by_two_tasks():
    got = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)

        async def one():
            got.append(await receive())

        await asyncio.gather(one(), one())

    peer = await opened(app)
    await peer.feed(frame(TEXT, b"1"))
    await peer.feed(frame(TEXT, b"2"))
    await peer.task
    assert sorted(message["text"] for message in got) == ["1", "2"]


async def test_cancelled_receive_loses_nothing():
    app = App(accept=False)
    app.reading.clear()
    peer = Peer(app)
    await peer.settle()
    await app.send(ACCEPT)
    waiting = asyncio.ensure_future(app.receive())
    await peer.settle()
    waiting.cancel()
    app.reading.set()
    await peer.settle()
    await peer.feed(frame(TEXT, b"kept"))
    assert app.received[-1]["text"] == "kept"
    await peer.end()


async def test_receive_cancelled_at_the_moment_of_a_message_gives_it_back():
    """The message is handed to the waiting task, which is cancelled before it has run."""
    app = App()
    peer = await opened(app)
    app.reading.clear()
    await peer.feed(frame(TEXT, b"taken"))
    waiting = asyncio.create_task(peer.session.receive())
    other = asyncio.create_task(peer.session.receive())
    await peer.settle()
    peer.session.feed(frame(TEXT, b"first"))
    waiting.cancel()
    await peer.settle()
    assert waiting.cancelled()
    assert (await other)["text"] == "first"

    waiting = asyncio.create_task(peer.session.receive())
    await peer.settle()
    peer.session.feed(frame(TEXT, b"second") + frame(TEXT, b"third") + close_frame(1000))
    waiting.cancel()
    await peer.settle()
    app.reading.set()
    await peer.settle()
    assert [m.get("text") for m in app.received[2:]] == ["second", "third", None]
    assert peer.session.buffered == 0


# Bounds.


async def test_queue_is_bounded_and_goes_on():
    app = App()
    peer = await opened(app, ws_max_queue=4)
    app.reading.clear()
    await peer.feed(frame(TEXT, b"taken"))  # the application waits in receive for this one
    data = b"".join(frame(TEXT, b"%d" % number) for number in range(20))
    await peer.feed(data)
    assert peer.session._inbox.messages_received == 5
    assert peer.session.buffered > len(data) // 2
    app.reading.set()
    await peer.settle()
    assert [m["text"] for m in app.received[2:]] == [str(number) for number in range(20)]
    assert peer.session.buffered == 0
    await peer.end()


@pytest.mark.parametrize("codec", ["python", "wsproto", "websockets"])
async def test_queue_is_bounded_by_what_is_inflated(codec):
    """Messages of 2 MiB come in 2 KiB each: one at a time is inflated."""
    app = App()
    options = {"extensions": [("permessage-deflate", [])], "ws_compression": "shared"}
    peer = await opened(app, ws=codec, **options)
    app.reading.clear()
    await peer.feed(frame(TEXT, b"taken"))
    compressor = zlib.compressobj(wbits=-15)
    deflated = compressor.compress(bytes(2 * MAX_WAITING)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    await peer.feed(frame(BINARY, deflated[:-4], rsv=4) * 5)
    assert peer.session._inbox.messages_received == 2
    assert peer.session.buffered < 2 * MAX_WAITING + 5 * len(deflated)
    app.reading.set()
    await peer.settle()
    assert [len(m["bytes"]) for m in app.received[2:]] == [2 * MAX_WAITING] * 5
    assert peer.session.buffered == 0
    await peer.end()


async def test_channel_hears_what_was_taken():
    app = App()
    peer = await opened(app)
    app.reading.clear()
    await peer.feed(frame(TEXT, b"first"))
    message = frame(2, b"x" * 100_000)
    await peer.feed(message)
    assert peer.session.buffered == 100_000
    assert peer.channel.taken == 0
    app.reading.set()
    await peer.settle()
    assert peer.session.buffered == 0
    assert peer.channel.taken >= len(message)
    await peer.end()


async def test_fragments_without_end_are_credited():
    peer = await opened()
    begin = frame(2, b"x" * (CREDIT + 1), fin=False)
    await peer.feed(begin)
    assert peer.session.buffered == 0
    assert peer.channel.taken == len(begin)
    await peer.end()


async def test_one_turn_is_bounded():
    app = App()
    peer = await opened(app)
    peer.session.feed(frame(CONT, b"", fin=False) + frame(TEXT, b"x"))  # a violation
    await peer.settle()
    assert peer.session.state == CLOSED

    peer = await opened(App(), ws_max_queue=1000)
    flood = frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 1000 + frame(CONT, b"end")
    peer.session.feed(flood)
    assert peer.session._inbox.messages_received == 0
    assert peer.session.buffered > 0
    await peer.settle()
    assert peer.session._inbox.messages_received == 1
    assert peer.session.buffered == 0
    await peer.end()


async def test_pings_are_answered():
    peer = await opened()
    await peer.feed(frame(PING, b"1") + frame(PING, b"2") + frame(PONG, b"ignored"))
    assert peer.channel.frames == [(0x8A, b"1"), (0x8A, b"2")]
    await peer.end()


async def test_pong_goes_before_the_close_frame():
    peer = await opened()
    await peer.feed(frame(PING, b"1") + close_frame(1000))
    assert peer.channel.frames == [(0x8A, b"1"), (0x88, b"\x03\xe8")]
    await peer.task


async def test_what_comes_after_the_end_is_ignored():
    peer = await opened()
    peer.context.access = None
    await peer.feed(close_frame(1000))
    sent = peer.channel.sent
    await peer.feed(frame(PING) + frame(TEXT, b"late"))
    peer.session.feed_end()
    peer.session.disconnect("client_gone")
    peer.session.begin_drain()
    peer.session.cancel("shutdown")
    await peer.tick(100)
    assert peer.channel.sent == sent
    assert peer.session._inbox.messages_received == 0
    await peer.task


async def test_pings_of_a_peer_that_does_not_read():
    peer = await opened()
    peer.channel.writable = False
    for number in range(1000):
        peer.session.feed(frame(PING, b"%d" % number))
    await peer.settle()
    assert peer.channel.sent == b""
    peer.channel.writable = True
    await peer.tick()
    frames = peer.channel.frames
    assert len(frames) == MAX_PONGS
    assert frames[-1] == (0x8A, b"999")
    await peer.end()


async def test_send_waits_for_a_slow_reader():
    app = App()
    peer = await opened(app)
    peer.channel.writable = False
    sending = asyncio.ensure_future(app.send({"type": "websocket.send", "text": "x"}))
    await peer.settle()
    assert not sending.done()
    peer.channel.writable = True
    peer.channel.writable_again.set()
    await sending
    assert peer.channel.frames == [(0x81, b"x")]
    await peer.end()


async def test_send_that_waited_for_a_lost_peer():
    app = App()
    peer = await opened(app)
    peer.channel.writable = False
    sending = asyncio.ensure_future(app.send({"type": "websocket.send", "text": "x"}))
    await peer.settle()
    peer.session.disconnect("timeout")
    peer.channel.writable_again.set()
    with pytest.raises(ClientDisconnected):
        await sending
    await peer.task
    assert app.received[-1] == disconnect(1006, "send timeout")
    assert peer.records[-1].outcome == "timeout"


@pytest.mark.parametrize("codec", ["python", "wsproto", "websockets"])
async def test_too_big_a_message(codec):
    app = App()
    peer = await opened(app, ws_max_size=100, ws=codec)
    await peer.feed(frame(TEXT, b"x" * 100) + frame(TEXT, b"x" * 101)[:8])
    assert peer.channel.frames == [(0x88, b"\x03\xf1message too big")]
    assert peer.channel.finished
    assert app.received[2:] == [disconnect(1009, "message too big")]
    await peer.task


# Closing.


@pytest.mark.parametrize(
    ("payload", "code", "reason", "answer"),
    [
        (b"", 1005, "", b""),
        (b"\x03\xe8", 1000, "", b"\x03\xe8"),
        (b"\x0f\xa1see you", 4001, "see you", b"\x0f\xa1"),
    ],
)
async def test_peer_closes(payload, code, reason, answer):
    app = App()
    peer = await opened(app)
    await peer.feed(frame(TEXT, b"last") + frame(CLOSE, payload))
    assert app.received[1:] == [
        {"type": "websocket.receive", "text": "last"},
        disconnect(code, reason),
    ]
    assert peer.channel.frames == [(0x88, answer)]
    assert peer.channel.finished
    for message in ({"type": "websocket.send", "text": "x"}, {"type": "websocket.close"}):
        with pytest.raises(ClientDisconnected):
            await app.send(message)
    with pytest.raises(ApplicationError, match="after websocket"):
        await app.receive()
    await peer.task
    first, last = peer.records
    assert (first.event, first.status, first.target) == ("websocket_open", 101, b"/chat?x=1")
    assert (last.event, last.close_code, last.close_reason) == ("websocket_close", code, reason)
    assert (last.messages_received, last.messages_sent, last.outcome) == (1, 0, "ok")
    assert last.received > 0
    assert last.sent == len(peer.channel.sent)


async def test_application_closes():
    app = App()
    peer = await opened(app)
    await app.send({"type": "websocket.close", "code": 4000, "reason": "enough"})
    assert peer.channel.frames == [(0x88, b"\x0f\xa0enough")]
    assert peer.session.state == CLOSING
    with pytest.raises(ClientDisconnected):
        await app.send({"type": "websocket.send", "text": "x"})
    await peer.feed(frame(TEXT, b"dropped") + frame(PING) + close_frame(4000))
    assert app.received[1:] == [disconnect(4000)]
    assert peer.channel.finished
    await peer.task
    assert peer.records[-1].close_code == 4000


async def test_application_closes_with_a_full_queue():
    app = App()
    peer = await opened(app, ws_max_queue=2)
    app.reading.clear()
    await peer.feed(b"".join(frame(TEXT, b"x") for _ in range(10)) + close_frame(1000))
    assert not peer.channel.finished
    await app.send({"type": "websocket.close"})
    await peer.settle()
    assert peer.channel.finished
    app.reading.set()
    await peer.task
    assert app.received[-1] == disconnect(1000)


@pytest.mark.parametrize("code", [0, 999, 1006, 1015, 5000, "1000", None])
async def test_close_codes_that_may_not_be_sent(code):
    app = App()
    peer = await opened(app)
    with pytest.raises(ApplicationError, match="may not be sent"):
        await app.send({"type": "websocket.close", "code": code})
    assert peer.session.state == OPEN
    await peer.end()


async def test_peer_does_not_answer_the_close_frame():
    app = App()
    peer = await opened(app, ws_close_timeout=5)
    await app.send({"type": "websocket.close"})
    await peer.feed(frame(TEXT, b"chatter"))
    await peer.tick(4)
    assert not peer.channel.finished
    await peer.tick(1)
    assert peer.channel.finished
    assert app.received[-1] == disconnect(1006, "closing handshake timed out")
    await peer.task


async def test_peer_ends_the_stream_instead_of_closing():
    app = App()
    peer = await opened(app)
    await app.send({"type": "websocket.close"})
    peer.session.feed_end()
    await peer.task
    assert peer.channel.finished
    assert app.received[-1]["code"] == 1006


async def test_lost_connection():
    app = App()
    peer = await opened(app)
    peer.session.feed_end()
    assert peer.channel.aborted
    peer.session.disconnect("client_gone")
    await peer.task
    assert app.received[1:] == [disconnect(1006, "connection lost")]
    with pytest.raises(ClientDisconnected):
        await app.send({"type": "websocket.send", "text": "x"})
    assert [record.event for record in peer.records] == ["websocket_open", "websocket_close"]
    assert peer.records[-1].outcome == "client_gone"


async def test_protocol_violation():
    app = App()
    peer = await opened(app)
    await peer.feed(frame(TEXT, b"ok") + frame(TEXT, b"\xff") + frame(TEXT, b"late"))
    assert peer.channel.frames == [(0x88, b"\x03\xeftext is not UTF-8")]
    assert app.received[1:] == [
        {"type": "websocket.receive", "text": "ok"},
        disconnect(1007, "text is not UTF-8"),
    ]
    await peer.task
    assert peer.records[-1].outcome == "protocol_error"


async def test_violation_during_the_closing_handshake():
    app = App()
    peer = await opened(app)
    await app.send({"type": "websocket.close"})
    await peer.feed(frame(TEXT, b"", rsv=7))
    assert len(peer.channel.frames) == 1
    assert peer.channel.finished
    await peer.task
    assert app.received[-1]["code"] == 1002


async def test_application_returns_after_accept():
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)

    peer = Peer(app)
    await peer.task
    assert peer.channel.frames == [(0x88, b"\x03\xe8")]
    assert peer.session.state == CLOSING
    await peer.feed(close_frame(1000))
    assert peer.channel.finished


async def test_application_raises_after_accept(caplog):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        raise ValueError("broken")

    peer = Peer(app)
    await peer.task
    assert peer.channel.frames == [(0x88, b"\x03\xf3internal server error")]
    [entry] = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert "/chat?x=1" in entry.getMessage()
    assert entry.exc_info
    await peer.feed(close_frame(1011))
    assert (peer.records[-1].close_code, peer.records[-1].outcome) == (1011, "app_error")


class WebSocketDisconnect(Exception):
    """Starlette's, by its name."""


@pytest.mark.parametrize("how", ["send", "starlette", "group"])
async def test_no_traceback_for_a_client_that_left(how, caplog):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        message = await receive()
        if how == "send":
            await send({"type": "websocket.send", "text": "x"})
        error = WebSocketDisconnect(message["code"])
        raise ExceptionGroup("tasks", [error]) if how == "group" else error

    peer = await opened(app)
    await peer.end()
    assert not [entry for entry in caplog.records if entry.levelno >= logging.WARNING]


async def test_application_error_after_the_end_is_logged(caplog):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await receive()
        raise ValueError("broken")

    peer = await opened(app)
    await peer.end()
    assert [entry.levelno for entry in caplog.records if entry.levelno >= logging.WARNING] == [
        logging.ERROR
    ]


# Shutdown and cancellation.


async def test_drain_closes_with_1012():
    app = App()
    peer = await opened(app)
    peer.session.begin_drain()
    await peer.task
    assert peer.channel.frames == [(0x88, b"\x03\xf4server shutdown")]
    assert app.received[-1] == disconnect(1012, "server shutdown")
    assert not peer.channel.finished
    await peer.feed(close_frame(1012))
    assert peer.channel.finished
    assert (peer.records[-1].close_code, peer.records[-1].outcome) == (1012, "shutdown")


async def test_drain_during_the_handshake():
    app = App(accept=False)
    peer = Peer(app)
    await peer.settle()
    peer.session.begin_drain()
    await app.send(ACCEPT)
    await peer.task
    assert app.received == [CONNECT, disconnect(1012, "server shutdown")]
    peer.session.disconnect("client_gone")


@pytest.mark.parametrize("accepted", [False, True])
async def test_cancelled_by_the_server(accepted, caplog):
    app = App(accept=accepted)
    peer = Peer(app)
    await peer.settle()
    peer.session.cancel("shutdown")
    await peer.task
    if accepted:
        assert peer.channel.frames[0][1][:2] == b"\x03\xf4"
        peer.session.disconnect("client_gone")
    else:
        assert [head.status for head in peer.channel.heads] == [503]
    assert not [entry for entry in caplog.records if entry.levelno == logging.ERROR]


async def test_application_that_cancels_itself(caplog):
    async def app(scope, receive, send):
        raise asyncio.CancelledError

    peer = Peer(app)
    await peer.task
    assert [head.status for head in peer.channel.heads] == [500]
    assert "CancelledError" in caplog.text


# Keep-alive.


async def test_ping_after_silence_and_timeout():
    app = App()
    peer = await opened(app, ws_ping_interval=10, ws_ping_timeout=5)
    await peer.tick(9)
    assert peer.channel.sent == b""
    await peer.tick(1)
    assert peer.channel.frames == [(0x89, b"")]
    await peer.tick(4)
    assert not peer.channel.finished
    await peer.tick(1)
    assert peer.channel.frames[1:] == [(0x88, b"\x03\xf3ping timeout")]
    assert peer.channel.finished
    assert app.received[-1] == disconnect(1006, "ping timeout")
    await peer.task
    assert peer.records[-1].outcome == "timeout"


@pytest.mark.parametrize("data", [frame(PONG), frame(TEXT, b"x"), b"\x81"])
async def test_any_byte_is_a_sign_of_life(data):
    peer = await opened(ws_ping_interval=10, ws_ping_timeout=5)
    await peer.tick(14)
    await peer.feed(data)
    await peer.tick(9)
    assert len(peer.channel.frames) == 1
    assert not peer.channel.finished
    await peer.end()


async def test_nobody_is_dropped_because_our_loop_was_late():
    peer = await opened(ws_ping_interval=10, ws_ping_timeout=5)
    await peer.tick(10)
    for _ in range(20):
        await peer.tick(1, seconds=60)
    assert not peer.channel.finished
    await peer.tick(1)
    assert peer.channel.finished
    await peer.task


async def test_silence_while_the_application_is_behind_is_not_the_peers():
    app = App()
    peer = await opened(app, ws_ping_interval=10, ws_ping_timeout=5)
    app.reading.clear()
    await peer.feed(frame(TEXT, b"1"))
    await peer.feed(frame(TEXT, b"2"))
    await peer.tick(60)
    assert peer.channel.sent == b""
    app.reading.set()
    await peer.end()


async def test_keep_alive_switched_off():
    peer = await opened(ws_ping_interval=float("inf"))
    await peer.tick(1000)
    assert peer.channel.sent == b""
    await peer.end()


# Whatever the peer sends and the application does.

steps = st.one_of(
    st.binary(max_size=40).map(lambda data: ("feed", data)),
    st.lists(
        st.builds(frame, st.sampled_from([0, 1, 2, 8, 9, 10]), st.binary(max_size=20)), max_size=12
    ).map(lambda frames: ("feed", b"".join(frames))),
    st.text(max_size=5).map(lambda text: ("send", {"type": "websocket.send", "text": text})),
    st.just(("send", {"type": "websocket.close"})),
    st.sampled_from(["tick", "drain", "end", "lost", "read", "writable"]).map(lambda s: (s, None)),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(steps, max_size=12), st.sampled_from(["python", "wsproto", "websockets"]))
def test_invariants(steps, codec):
    async def play():
        app = App()
        peer = await opened(app, ws=codec, ws_max_queue=3, ws_ping_interval=1, ws_ping_timeout=1)
        session, channel = peer.session, peer.channel
        channel.writable_again.set()
        app.reading.clear()
        fed = 0
        for step, argument in steps:
            closed = session.state == CLOSED
            if step == "feed" and not closed:
                fed += len(argument)
                await peer.feed(argument)
            elif step == "send":
                try:
                    await app.send(argument)
                except ClientDisconnected:
                    assert session.state >= CLOSING
            elif step == "tick":
                await peer.tick()
            elif step == "drain":
                session.begin_drain()
            elif step == "end" and not closed:
                session.feed_end()
            elif step == "lost":
                session.disconnect("client_gone")
            elif step == "read":
                app.reading.set()
                await peer.settle()
                app.reading.clear()
            elif step == "writable":
                channel.writable = not channel.writable
            assert 0 <= session.buffered <= fed
            assert channel.taken <= fed
        session.disconnect("client_gone")
        app.reading.set()
        await asyncio.wait_for(peer.task, WAIT)
        kinds = [message["type"] for message in app.received]
        assert kinds.count("websocket.connect") == kinds.count("websocket.disconnect") == 1
        assert kinds[-1] == "websocket.disconnect"
        assert len([first for first, _ in channel.frames if first == 0x88]) <= 1
        assert [record.event for record in peer.records] == ["websocket_open", "websocket_close"]

    asyncio.run(play())
