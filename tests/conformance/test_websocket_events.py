"""WebSockets (ASGI www 2.5): handshake, messages, closing and refusals, on every wire."""

import asyncio

import pytest
from fakes import WAIT, until
from ws_peer import BINARY, CLOSE, CONT, PING, PONG, TEXT

from asgiserver.errors import ApplicationError, ClientDisconnected

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}


def disconnect(code, reason=""):
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


class App:
    """Accepts with `accept`, then notes what it receives; the test sends with `send`."""

    def __init__(self, accept=ACCEPT):
        self.accept = accept
        self.received = []
        self.scope = self.send = None
        self.ended = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.scope, self.send = scope, send
        assert await receive() == CONNECT
        await send(self.accept)
        while True:
            message = await receive()
            self.received.append(message)
            if message["type"] == "websocket.disconnect":
                self.ended.set()
                return

    async def has_received(self, count):
        await until(lambda: len(self.received) >= count)
        return self.received


async def opened(wire, app, **options):
    socket = wire.websocket(app, **options)
    assert (await socket.handshake()).accepted
    return socket


async def ended(event):
    async with asyncio.timeout(WAIT):
        await event.wait()


# The scope.


async def test_websocket_scope(wire):
    app = App()
    await opened(
        wire, app, target="/a%20b?q=1", subprotocols=["chat", "other"], fields=[(b"x-a", b"1")]
    )
    scope = app.scope
    assert type(scope) is dict
    assert (b"x-a", b"1") in scope["headers"]
    assert set(scope["extensions"]) >= {"websocket.http.response", "asgiserver.shutdown"}
    assert {key: scope[key] for key in sorted(set(scope) - {"headers", "extensions"})} == {
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "client": ("192.0.2.7", 50123),
        "http_version": wire.http_version,
        "path": "/a b",
        "query_string": b"q=1",
        "raw_path": b"/a%20b",
        "root_path": "",
        "scheme": "ws",
        "server": ("192.0.2.1", 8000),
        "subprotocols": ["chat", "other"],
        "type": "websocket",
    }


async def test_websocket_state_is_a_shallow_copy(wire):
    shared = {"pool": object()}

    def setup(context):
        context.state = shared

    app = App()
    await opened(wire, app, setup=setup)
    assert app.scope["state"] == shared
    assert app.scope["state"] is not shared


# The handshake.


async def test_accept_with_subprotocol_and_fields(wire):
    accept = {**ACCEPT, "subprotocol": "chat", "headers": [(b"X-A", b"1"), (b"x-a", b"2")]}
    socket = wire.websocket(App(accept), subprotocols=["chat", "other"])
    handshake = await socket.handshake()
    assert handshake.accepted
    assert handshake.value(b"sec-websocket-protocol") == b"chat"
    assert handshake.values(b"x-a") == [b"1", b"2"]


async def test_accept_without_subprotocol_names_none(wire):
    handshake = await wire.websocket(App(), subprotocols=["chat"]).handshake()
    assert handshake.accepted
    assert not handshake.values(b"sec-websocket-protocol")


async def test_nothing_is_answered_before_the_application_has_decided(wire):
    connected, go = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        connected.set()
        await go.wait()
        await send(ACCEPT)
        await receive()

    socket = wire.websocket(app)
    await ended(connected)
    answer = asyncio.create_task(socket.handshake())
    await asyncio.sleep(0)
    assert not answer.done()
    go.set()
    assert (await answer).accepted


@pytest.mark.parametrize(
    "accept",
    [
        {"subprotocol": "other"},
        {"headers": [(b"x", b"a\nb")]},
        {"headers": [(b"bad name", b"a")]},
        {"headers": [(b"sec-websocket-protocol", b"chat")]},
    ],
    ids=repr,
)
async def test_a_bad_accept_raises_and_another_may_follow(wire, accept):
    raised = []

    async def app(scope, receive, send):
        await receive()
        with pytest.raises(ApplicationError) as caught:
            await send({**ACCEPT, **accept})
        raised.append(caught.value)
        await send(ACCEPT)
        await receive()

    assert (await wire.websocket(app, subprotocols=["chat"]).handshake()).accepted
    assert raised


async def test_what_comes_before_the_accept_is_not_lost(wire):
    connected, go = asyncio.Event(), asyncio.Event()
    received = []

    async def app(scope, receive, send):
        await receive()
        connected.set()
        await go.wait()
        await send(ACCEPT)
        received.append(await receive())
        await receive()

    socket = wire.websocket(app)
    await ended(connected)
    socket.send_text("early")
    go.set()
    assert (await socket.handshake()).accepted
    await until(lambda: received)
    assert received == [{"type": "websocket.receive", "text": "early"}]


# Refusals.


async def test_close_before_accept_is_403(wire):
    heard = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close"})
        heard.append(await receive())

    socket = wire.websocket(app)
    reply = await socket.handshake()
    assert (reply.accepted, reply.status) == (False, 403)
    await until(lambda: heard)
    assert heard == [disconnect(1006, "handshake refused")]
    (record,) = socket.records
    assert (record.event, record.status, record.outcome) == ("request", 403, "ok")


DENIAL = {
    "type": "websocket.http.response.start",
    "status": 401,
    "headers": [(b"www-authenticate", b"Basic")],
}


def denial_body(body, more=False):
    return {"type": "websocket.http.response.body", "body": body, "more_body": more}


async def test_denial_response(wire, caplog):
    async def app(scope, receive, send):
        await receive()
        await send(DENIAL)
        with pytest.raises(ApplicationError):
            await send(ACCEPT)
        await send(denial_body(b"a", more=True))
        await send(denial_body(b"b"))
        answered.set()

    answered = asyncio.Event()
    socket = wire.websocket(app)
    reply = await socket.handshake()
    assert (reply.accepted, reply.status, reply.body, reply.complete) == (False, 401, b"ab", True)
    assert reply.value(b"www-authenticate") == b"Basic"
    await ended(answered)
    (record,) = socket.records
    assert (record.event, record.status, record.sent) == ("request", 401, 2)
    assert not caplog.records


async def test_a_denial_response_without_body_has_its_length(wire):
    async def app(scope, receive, send):
        await receive()
        await send(DENIAL)
        await send(denial_body(b""))

    reply = await wire.websocket(app).handshake()
    assert (reply.status, reply.body, reply.value(b"content-length")) == (401, b"", b"0")


@pytest.mark.parametrize("begun", [False, True])
async def test_a_denial_response_left_unfinished(wire, begun, caplog):
    async def app(scope, receive, send):
        await receive()
        await send(DENIAL)
        if begun:
            await send(denial_body(b"part", more=True))

    socket = wire.websocket(app)
    reply = await socket.handshake()
    assert "without the end of its response" in caplog.text
    assert socket.records[0].outcome == "app_error"
    if begun:
        assert (reply.status, reply.body, reply.complete) == (401, b"part", False)
        assert socket.broken
    else:
        assert (reply.status, reply.complete) == (500, True)


@pytest.mark.parametrize("how", ["raises", "returns"])
async def test_application_ends_before_accept(wire, how, caplog):
    async def app(scope, receive, send):
        if how == "raises":
            raise LookupError("a bug")

    socket = wire.websocket(app, target="/chat?x=1")
    reply = await socket.handshake()
    assert (reply.accepted, reply.status) == (False, 500)
    (entry,) = caplog.records
    assert "/chat?x=1" in entry.getMessage()
    assert bool(entry.exc_info) == (how == "raises")
    assert socket.records[0].outcome == "app_error"


async def test_client_leaves_before_accept(wire, caplog):
    connected = asyncio.Event()
    heard = []

    async def app(scope, receive, send):
        await receive()
        connected.set()
        heard.append(await receive())
        with pytest.raises(ClientDisconnected):
            await send(ACCEPT)
        heard.append("raised")

    socket = wire.websocket(app)
    await ended(connected)
    socket.leave()
    await until(lambda: len(heard) == 2)
    assert heard[0] == disconnect(1006, "connection lost")
    assert [(record.status, record.outcome) for record in socket.records] == [(499, "client_gone")]
    assert not caplog.records


async def test_a_server_that_has_too_many_refuses_with_503(wire):
    client = wire.connect(App(), limit_websockets=1)
    assert (await client.websocket().handshake()).accepted
    second = client.another().websocket()
    reply = await second.handshake()
    assert (reply.accepted, reply.status) == (False, 503)
    assert second.records[-1].outcome == "refused"


# Messages.


async def test_messages_both_ways(wire):
    app = App()
    socket = await opened(wire, app)
    socket.send(TEXT, "hé".encode())
    socket.send(BINARY, b"\x00")
    socket.send(TEXT)
    socket.send(BINARY)
    assert await app.has_received(4) == [
        {"type": "websocket.receive", "text": "hé"},
        {"type": "websocket.receive", "bytes": b"\x00"},
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive", "bytes": b""},
    ]
    await app.send({"type": "websocket.send", "text": "hé"})
    await app.send({"type": "websocket.send", "bytes": bytearray(b"\x01")})
    await app.send({"type": "websocket.send", "text": "", "bytes": None})
    await app.send({"type": "websocket.send", "bytes": b"", "text": None})
    expected = [(TEXT, "hé".encode()), (BINARY, b"\x01"), (TEXT, b""), (BINARY, b"")]
    assert [await socket.frame() for _ in range(4)] == expected


@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 1_000_000])
async def test_a_message_of_any_size_is_whole(wire, size):
    app = App()
    socket = await opened(wire, app)
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    socket.send(BINARY, content)
    assert (await app.has_received(1))[0]["bytes"] == content
    await app.send({"type": "websocket.send", "bytes": content})
    assert await socket.frame() == (BINARY, content)


async def test_a_message_in_parts_comes_whole(wire):
    app = App()
    socket = await opened(wire, app)
    socket.send(TEXT, b"one ", fin=False)
    socket.send(PING, b"between")
    socket.send(CONT, b"two ", fin=False)
    socket.send(CONT, b"three")
    assert await app.has_received(1) == [{"type": "websocket.receive", "text": "one two three"}]
    assert await socket.frame() == (PONG, b"between")


@pytest.mark.parametrize("message", [{}, {"text": None}, {"text": b"x"}, {"bytes": "x"}], ids=repr)
async def test_a_malformed_send_raises_and_harms_nothing(wire, message):
    app = App()
    socket = await opened(wire, app)
    with pytest.raises(ApplicationError, match="either text"):
        await app.send({"type": "websocket.send", **message})
    await app.send({"type": "websocket.send", "text": "fine"})
    assert await socket.frame() == (TEXT, b"fine")


async def test_send_waits_for_a_slow_reader_of_messages(wire):
    sent = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await receive()
        for number in range(100):
            await send({"type": "websocket.send", "bytes": bytes(16384)})
            sent.append(number)

    socket = await opened(wire, app)
    socket.stall()
    socket.send_text("go")
    await until(lambda: sent)
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(sent) < 20  # a few times the transport's mark, not all of it
    socket.read_all()
    for _ in range(100):
        assert await socket.frame() == (BINARY, bytes(16384))


async def test_what_is_received_ahead_is_bounded(wire):
    connected, go = asyncio.Event(), asyncio.Event()
    received = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        connected.set()
        await go.wait()
        for _ in range(100):
            received.append(await receive())

    socket = await opened(wire, app, ws_max_queue=4)
    await ended(connected)
    (session,) = socket.context.running.values()
    for _ in range(100):
        socket.send(BINARY, bytes(16384))
    assert session.buffered < 10 * 16384
    go.set()
    await until(lambda: len(received) == 100)


# The end.


async def test_too_large_a_message_is_1009(wire):
    app = App()
    socket = await opened(wire, app, ws_max_size=1000)
    socket.send(BINARY, bytes(1000))
    socket.send(BINARY, bytes(1001))
    opcode, payload = await socket.frame()
    assert (opcode, payload[:2]) == (CLOSE, (1009).to_bytes(2, "big"))
    await ended(app.ended)
    assert len(app.received) == 2
    assert app.received[1]["code"] == 1009
    assert socket.records[-1].outcome == "protocol_error"


async def test_a_broken_frame_is_1002(wire):
    app = App()
    socket = await opened(wire, app)
    socket.send(TEXT, b"x", rsv=2)
    opcode, payload = await socket.frame()
    assert (opcode, payload[:2]) == (CLOSE, (1002).to_bytes(2, "big"))
    await ended(app.ended)
    assert app.received[0]["code"] == 1002


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (1000, b"", (1000, "")),
        (1001, b"away", (1001, "away")),
        (4321, "schön".encode(), (4321, "schön")),
        (None, b"", (1005, "")),
    ],
)
async def test_peer_closes(wire, code, reason, told, caplog):
    app = App()
    socket = await opened(wire, app)
    socket.send_text("last")
    socket.send_close(code, reason)
    await ended(app.ended)
    assert app.received == [{"type": "websocket.receive", "text": "last"}, disconnect(*told)]
    assert await socket.frame() == (CLOSE, b"" if code is None else code.to_bytes(2, "big"))
    await socket.closed()
    opening, closing = socket.records
    assert (opening.event, opening.status) == ("websocket_open", wire.switch_status)
    assert (closing.event, closing.outcome, closing.close_code) == (
        "websocket_close",
        "ok",
        told[0],
    )
    assert not caplog.records


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        ({}, b"\x03\xe8"),
        ({"code": 1001, "reason": "away"}, b"\x03\xe9away"),
        ({"code": 4321, "reason": None}, b"\x10\xe1"),
        ({"code": 1005}, b""),
    ],
    ids=repr,
)
async def test_application_closes(wire, message, payload):
    app = App()
    socket = await opened(wire, app)
    await app.send({"type": "websocket.close", **message})
    assert await socket.frame() == (CLOSE, payload)
    with pytest.raises(ClientDisconnected):
        await app.send({"type": "websocket.send", "text": "late"})
    socket.send_close(1000)
    await ended(app.ended)
    assert app.received == [disconnect(1000)]
    await socket.closed()


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000, "1000", None])
async def test_close_codes_that_may_not_be_sent(wire, code):
    app = App()
    socket = await opened(wire, app)
    with pytest.raises(ApplicationError, match="may not be sent"):
        await app.send({"type": "websocket.close", "code": code})
    await app.send({"type": "websocket.close"})
    assert await socket.frame() == (CLOSE, b"\x03\xe8")


async def test_lost_connection_is_1006(wire, caplog):
    app = App()
    socket = await opened(wire, app)
    socket.send_text("before")
    socket.leave()
    await ended(app.ended)
    assert app.received[1:] == [disconnect(1006, "connection lost")]
    with pytest.raises(ClientDisconnected) as caught:
        await app.send({"type": "websocket.send", "text": "late"})
    assert isinstance(caught.value, OSError)
    assert socket.records[-1].outcome == "client_gone"
    assert not caplog.records


async def test_a_side_that_is_closed_without_a_close_frame_is_1006(wire):
    app = App()
    socket = await opened(wire, app)
    socket.end()
    await ended(app.ended)
    assert app.received[0]["code"] == 1006
    assert socket.records[-1].outcome == "client_gone"


@pytest.mark.parametrize(("how", "code"), [("returns", 1000), ("raises", 1011)])
async def test_application_ends_after_accept(wire, how, code, caplog):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        if how == "raises":
            raise LookupError("a bug")

    socket = await opened(wire, app)
    opcode, payload = await socket.frame()
    assert (opcode, payload[:2]) == (CLOSE, code.to_bytes(2, "big"))
    socket.send_close(code)
    await socket.closed()
    assert [record.levelname for record in caplog.records] == ["ERROR"] * (how == "raises")


async def test_drain_closes_with_1012(wire):
    app = App()
    socket = await opened(wire, app)
    socket.drain()
    opcode, payload = await socket.frame()
    assert (opcode, payload[:2]) == (CLOSE, (1012).to_bytes(2, "big"))
    await ended(app.ended)
    assert app.received == [disconnect(1012, "server shutdown")]
    socket.send_close(1012)
    await socket.closed()
    assert socket.records[-1].outcome == "shutdown"


# Keep-alive.


async def test_pings_are_answered(wire):
    socket = await opened(wire, App())
    socket.send(PING, b"are you there")
    assert await socket.frame() == (PONG, b"are you there")


async def test_a_silent_peer_is_pinged_then_dropped(wire):
    app = App()
    socket = await opened(wire, app, ws_ping_interval=10, ws_ping_timeout=5)
    socket.advance(11)
    assert await socket.frame() == (PING, b"")
    socket.send(PONG)
    socket.advance(11)
    assert await socket.frame() == (PING, b"")
    assert not app.received
    socket.advance(6)
    await ended(app.ended)
    assert app.received == [disconnect(1006, "ping timeout")]
    assert socket.records[-1].outcome == "timeout"


async def test_a_peer_that_does_not_answer_the_close_frame_is_dropped(wire):
    app = App()
    socket = await opened(wire, app, ws_close_timeout=5)
    await app.send({"type": "websocket.close"})
    assert await socket.frame() == (CLOSE, b"\x03\xe8")
    socket.advance(7)
    await ended(app.ended)
    assert app.received == [disconnect(1006, "closing handshake timed out")]
    await socket.closed()


async def test_a_peer_that_reads_nothing_is_dropped(wire):
    raised = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await receive()
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(65536)})
        except OSError as error:
            raised.append(error)

    socket = await opened(wire, app, ws_send_timeout=5)
    socket.stall()
    socket.send_text("go")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not raised
    socket.advance(12)
    await until(lambda: raised)
    assert socket.broken
    assert socket.records[-1].outcome == "timeout"
