"""Many exchanges on one connection: each is alone, and the connection ends in good order."""

import asyncio
import gc

import pytest
from fakes import WAIT, FakePeer, FakeServer, turns, until
from h2_client import H2Client
from ws_peer import TEXT

from asgiserver.errors import ClientDisconnected
from asgiserver.h2 import connection
from asgiserver.h2.channel import H2Channel
from asgiserver.h2.codec import H2Codec
from asgiserver.h2.faults import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
)

START = {"type": "http.response.start", "status": 200}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
LAST = {"type": "http.response.body", "body": b"last"}
LAST_ID = 2**31 - 1
RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 3, 4, 6, 8


@pytest.fixture
async def client_of(task_start):
    """``client_of(app, window=None, **options)`` is a client of a server of its own."""
    servers = []

    def client_of(app, *, window=None, **options):
        server = FakeServer(app, **options)
        servers.append(server)
        return H2Client(server, window=window)

    yield client_of
    for server in servers:
        await server.finish()


async def hello(scope, receive, send):
    await send(START)
    await send(LAST)


class Gate:
    """An application that waits, at the path /wait, until the test opens the gate."""

    def __init__(self):
        self.open = asyncio.Event()
        self.begun = 0
        self.heard = []

    async def __call__(self, scope, receive, send):
        self.begun += 1
        if scope["path"] == "/wait":
            await self.open.wait()
        elif scope["path"] == "/listen":
            await receive()
            self.heard.append((await receive())["type"])
            return
        await hello(scope, receive, send)


# Streams beside each other.


async def test_requests_are_answered_as_they_become_ready(client_of):
    gate = Gate()
    client = client_of(gate)
    slow, fast = client.request(target="/wait"), client.request()
    assert (await fast.reply()).body == b"last"
    assert not slow.over
    gate.open.set()
    assert (await slow.reply()).body == b"last"
    assert client.is_open


async def test_a_stream_that_is_not_read_stops_only_itself(client_of):
    sent = []

    async def app(scope, receive, send):
        await send(START)
        for number in range(20):
            await send({**PART, "body": bytes(16384)})
            if scope["path"] == "/held":
                sent.append(number)
        await send(LAST)

    client = client_of(app)
    held = client.request(target="/held")
    client.held.add(held.id)
    others = [client.request() for _ in range(5)]
    for other in others:
        assert len((await other.reply()).body) == 20 * 16384 + 4
    assert len(sent) <= 4
    assert not held.over


async def test_a_client_that_reads_slowly_but_reads_is_not_cut(client_of):
    async def app(scope, receive, send):
        await send(START)
        await send({**LAST, "body": bytes(100_000)})

    client = client_of(app, window=1000, timeout_write=5)
    stream = client.request()
    client.held.add(stream.id)
    for _ in range(5):
        client.advance(4)
        client.h2.increment_flow_control_window(1000, stream.id)
        client.flush()
        await turns()
    assert not client.resets
    client.advance(7)
    assert client.resets == {stream.id: CANCEL}


# How a stream ends early.


async def test_a_reset_is_a_disconnect_of_this_request_alone(client_of):
    gate = Gate()
    client = client_of(gate)
    given_up, other = client.request(target="/listen"), client.request(target="/wait")
    await until(lambda: gate.begun == 2)
    given_up.reset()
    await until(lambda: gate.heard)
    assert gate.heard == ["http.disconnect"]
    (record,) = client.server.records
    assert (record.status, record.outcome) == (499, "client_gone")
    gate.open.set()
    assert (await other.reply()).body == b"last"


async def test_send_raises_after_a_reset(client_of):
    raised = []

    async def app(scope, receive, send):
        await send(START)
        try:
            while True:
                await send(PART)
                await asyncio.sleep(0)
        except OSError as error:
            raised.append(error)
            raise

    client = client_of(app)
    stream = client.request()
    await turns()
    stream.reset()
    await until(lambda: raised)
    assert isinstance(raised[0], ClientDisconnected)


async def test_a_waiting_send_raises_after_a_reset(client_of):
    raised = asyncio.Event()

    async def app(scope, receive, send):
        await send(START)
        try:
            await send({**PART, "body": bytes(1_000_000)})
        except ClientDisconnected:
            raised.set()
            raise

    client = client_of(app, window=10)
    stream = client.request()
    client.held.add(stream.id)
    await turns()
    assert not raised.is_set()
    stream.reset()
    async with asyncio.timeout(WAIT):
        await raised.wait()


async def test_a_request_that_is_reset_in_the_same_read_is_never_started(client_of):
    gate = Gate()
    client = client_of(gate)
    client.transport.reading = False
    stream = client.request()
    stream.reset()
    client.transport.arriving = [b"".join(client.transport.arriving)]
    client.transport.resume_reading()
    await until(lambda: client.server.records)
    await turns()
    assert gate.begun == 0
    assert client.server.records[0].outcome == "client_gone"


async def test_running_tasks_count_after_their_streams_are_reset(client_of):
    """CVE-2023-44487: a reset frees no place while the application runs on."""
    gate = Gate()
    client = client_of(gate, h2_max_concurrent_streams=3)
    for _ in range(3):
        client.request(target="/wait").reset()
        await turns()
    refused = client.request()
    await turns()
    assert client.resets == {refused.id: REFUSED_STREAM}
    gate.open.set()
    await until(lambda: not client.context.running)
    assert (await client.request().reply()).body == b"last"


async def test_an_answer_before_the_end_of_the_upload_stops_it(client_of):
    client = client_of(hello)
    upload = client.request("POST", body=b"begin", end=False)
    assert (await upload.reply()).body == b"last"
    await until(lambda: client.resets)
    assert client.resets == {upload.id: NO_ERROR}
    assert (await client.request().reply()).body == b"last"


async def test_an_application_that_fails_within_its_response_resets_the_stream(client_of, caplog):
    async def app(scope, receive, send):
        await send(START)
        await send(PART)
        raise LookupError("a bug")

    client = client_of(app)
    stream = client.request()
    assert not (await stream.reply()).complete
    assert client.resets == {stream.id: INTERNAL_ERROR}
    assert client.is_open
    assert "a bug" in caplog.text


async def test_both_sides_stream_at_the_same_time(client_of):
    async def app(scope, receive, send):
        await send(START)
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({**PART, "body": message["body"].upper(), "more_body": more})

    client = client_of(app, timeout_request_body=5)
    stream = client.request("POST", end=False)
    for text in (b"one", b"two", b"three"):
        stream.send_body(text)
        await until(lambda text=text: stream.body == text.upper())
        stream.body = b""
        client.advance(20)  # silence is part of such a talk
    stream.send_body(b"", end=True)
    assert (await stream.reply()).complete


# Bodies.


async def test_a_body_that_nobody_reads_is_bounded_and_stops_only_itself(client_of):
    gate = Gate()
    client = client_of(gate)
    unread = client.request("POST", "/wait", body=bytes(1_000_000))
    await turns(20)
    (session,) = client.context.running.values()
    assert session.buffered == 65_535
    for _ in range(3):
        assert (await client.request("POST", body=bytes(1000)).reply()).body == b"last"
    gate.open.set()
    assert (await unread.reply()).body == b"last"


async def test_a_hundred_bodies_that_nobody_reads_leave_room_for_another(client_of):
    gate = Gate()
    client = client_of(gate)
    for _ in range(100):
        client.request("POST", "/wait", body=bytes(100_000))
    await turns(50)
    assert sum(session.buffered for session in client.context.running.values()) <= 100 * 65_535
    assert (await client.request("POST", body=bytes(50_000)).reply()).body == b"last"
    gate.open.set()


async def test_too_large_a_body_is_413(client_of):
    gate = Gate()
    client = client_of(gate, limit_request_body=1000)
    announced = client.request("POST", "/wait", [(b"content-length", b"1001")], bytes(1001))
    assert (await announced.reply()).status == 413
    assert gate.begun == 0
    streamed = client.request("POST", "/wait", body=bytes(1001), end=False)
    assert (await streamed.reply()).status == 413
    assert streamed.records[-1].outcome == "refused"
    assert client.is_open


async def test_the_application_asks_for_a_body_that_waits_for_100(client_of):
    async def app(scope, receive, send):
        body = (await receive())["body"]
        await send(START)
        await send({**LAST, "body": body})

    client = client_of(app)
    stream = client.request("POST", fields=[(b"expect", b"100-continue")], end=False)
    assert (await stream.reply()).status == 100
    stream.send_body(b"the body", end=True)
    assert (await stream.reply()).body == b"the body"


# Heads.


async def test_fields_of_http_1_connections_are_left_out(client_of):
    fields = [(b"connection", b"keep-alive, x-hop"), (b"upgrade", b"h2c"), (b"keep-alive", b"5")]

    async def app(scope, receive, send):
        await send({**START, "headers": [*fields, (b"x-a", b"1")]})
        await send(LAST)

    reply = await client_of(app).request().reply()
    assert reply.value(b"x-a") == b"1"
    assert not {name for name, _ in fields} & {name for name, _ in reply.fields}


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        pytest.param("CONNECT", [], None, id="CONNECT"),
        ("FOO", [], 501),
        ("POST", [(b"expect", b"the unexpected")], 417),
        ("GET", [(b"x-a", b"1")] * 200, 431),
    ],
)
async def test_what_is_refused_is_answered_on_its_stream(client_of, method, fields, status):
    client = client_of(hello)
    stream = client.request(method, fields=fields)
    if status is None:  # without :protocol it may have neither :scheme nor :path
        await until(lambda: client.resets)
        assert client.resets == {stream.id: PROTOCOL_ERROR}
    else:
        assert (await stream.reply()).status == status
    assert (await client.request().reply()).status == 200
    assert sum(client.context.stats.refused.values()) == 1


# Limits.


async def test_streams_count_against_the_limit_of_requests(client_of):
    gate = Gate()
    client = client_of(gate, limit_concurrency=2)
    running = [client.request(target="/wait") for _ in range(2)]
    await until(lambda: gate.begun == 2)
    assert (await client.request(target="/wait").reply()).status == 503
    gate.open.set()
    for stream in running:
        assert (await stream.reply()).status == 200


async def test_a_connection_too_many_is_told_to_go_away(client_of):
    gate = Gate()
    client = client_of(gate, limit_connections=1)
    client.request(target="/wait")
    await turns()
    other = client.another()
    await other.closed()
    other.read()
    assert other.goaways[0] == (NO_ERROR, 0)
    assert client.is_open
    assert client.context.stats.refused == {"too many connections": 1}


async def test_an_idle_connection_makes_room(client_of):
    client = client_of(hello, limit_connections=1)
    await client.request().reply()
    client.advance(2)
    other = client.another()
    await client.closed()
    assert (await other.request().reply()).status == 200


# The end of a connection.


async def test_the_drain_finishes_what_runs_and_takes_what_is_on_its_way(client_of):
    gate = Gate()
    client = client_of(gate)
    client.answers_pings = False
    running = client.request(target="/wait")
    await until(lambda: gate.begun)
    client.drain()
    await until(lambda: client.goaways)
    assert client.goaways == [(NO_ERROR, LAST_ID)]
    on_its_way = client.request()
    assert (await on_its_way.reply()).body == b"last"
    client.send_frame(PING, 1, 0, client.pings[-1])
    await until(lambda: len(client.goaways) == 2)
    assert client.goaways[1] == (NO_ERROR, on_its_way.id)
    client.request()
    await turns()
    assert gate.begun == 2  # the client sends it again elsewhere
    assert not client.transport.eof_written
    gate.open.set()
    assert (await running.reply()).body == b"last"
    await client.closed()


async def test_the_drain_does_not_wait_for_a_client_that_is_deaf(client_of, monkeypatch):
    monkeypatch.setattr(connection, "GOAWAY_TIME", 0.01)
    client = client_of(hello)
    client.answers_pings = False
    await client.request().reply()
    client.drain()
    await client.closed()
    assert [last for _, last in client.goaways] == [LAST_ID, 1]


async def test_an_idle_connection_ends_at_once_before_a_reload(client_of):
    client = client_of("app:app", reload=True)
    client.context.app = hello
    await client.request().reply()
    client.context.announce_stop()
    client.drain()
    await client.closed()
    assert client.goaways == [(NO_ERROR, 1)]


async def test_the_first_request_of_the_drain_delay_announces_the_end(client_of):
    client = client_of(hello)
    await client.request().reply()
    client.context.announce_stop()
    assert client.is_open
    assert (await client.request().reply()).status == 200
    await client.closed()
    assert client.goaways == [(NO_ERROR, LAST_ID), (NO_ERROR, 3)]


async def test_websockets_are_told_of_the_drain(client_of):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    client = client_of(app)
    socket = client.websocket()
    assert (await socket.handshake()).accepted
    client.drain()
    opcode, payload = await socket.frame()
    assert (opcode, payload[:2]) == (8, (1012).to_bytes(2, "big"))
    socket.send_close(1012)
    await client.closed()


async def test_a_ping_of_the_client_is_answered_and_does_not_prolong_its_idleness(client_of):
    client = client_of(hello, timeout_keep_alive=5)
    await client.request().reply()
    for _ in range(3):
        client.advance(2)
        client.h2.ping(b"12345678")
        client.flush()
        await turns()
    client.advance(2)
    await client.closed()


async def test_a_silent_client_is_pinged_and_left_when_it_does_not_answer(client_of):
    gate = Gate()
    client = client_of(gate, h2_ping_interval=10)
    client.request(target="/wait")
    await until(lambda: gate.begun)
    client.advance(12)
    await turns()
    assert len(client.pings) == 1  # and the library has answered
    client.advance(5)
    client.answers_pings = False
    client.advance(9)
    await turns()
    assert len(client.pings) == 2
    assert client.is_open
    client.advance(25)
    assert client.broken
    assert client.context.stats.refused == {"ping timeout": 1}


async def test_half_a_head_has_a_deadline(client_of):
    client = client_of(hello, timeout_request_head=5)
    await client.request().reply()
    client.advance(2)
    client.send_frame(1, 0, 3, b"\x82")  # HEADERS without END_HEADERS
    client.advance(4)
    assert client.is_open
    client.advance(3)
    await client.closed()
    assert client.goaways[-1][0] == PROTOCOL_ERROR
    assert client.context.stats.refused == {"request head timed out": 1}


async def test_a_client_that_has_left_ends_all_its_requests(client_of):
    gate = Gate()
    client = client_of(gate)
    for _ in range(3):
        client.request(target="/listen")
    await until(lambda: gate.begun == 3)
    client.leave()
    await until(lambda: len(gate.heard) == 3)
    await until(lambda: not client.context.running)
    assert not client.context.connections
    assert {record.outcome for record in client.server.records} == {"client_gone"}


@pytest.mark.parametrize("path", ["/", "/wait", "/listen"])
async def test_nothing_is_left_of_a_connection_for_the_garbage_collector(client_of, path):
    gc.collect()
    others = {id(kept) for kept in gc.get_objects() if isinstance(kept, (H2Codec, H2Channel))}
    gate = Gate()
    client = client_of(gate)
    client.request()
    client.request(target=path)
    await until(lambda: gate.begun == 2)
    gc.collect()
    gc.disable()
    try:
        client.leave()
        gate.open.set()
        await until(lambda: not client.context.running)
        client.connection = client.transport.protocol = None
        await turns()
        left = [kept for kept in gc.get_objects() if isinstance(kept, (H2Codec, H2Channel))]
        assert {id(kept) for kept in left} <= others  # those of other tests
    finally:
        gc.enable()


# Floods.


@pytest.mark.parametrize(
    ("kind", "stream_id", "payload", "name"),
    [
        (PING, 0, bytes(8), "pings"),
        (SETTINGS, 0, b"", "settings"),
        (WINDOW_UPDATE, 0, b"\0\0\0\1", "window updates"),
    ],
)
async def test_a_flood_ends_its_connection_and_no_other(client_of, kind, stream_id, payload, name):
    gate = Gate()
    client = client_of(gate)
    other = client.another()
    running, others = client.request(target="/listen"), other.request(target="/wait")
    await until(lambda: gate.begun == 2)
    for _ in range(5000):
        if not client.is_open:
            break
        client.send_frame(kind, 0, stream_id, payload)
    await client.closed()
    client.read()
    assert client.goaways[-1][0] == ENHANCE_YOUR_CALM
    await until(lambda: gate.heard)
    assert running.records[0].outcome == "client_gone"
    (reason,) = client.context.stats.refused
    assert name in reason
    gate.open.set()
    assert (await others.reply()).body == b"last"


async def test_heads_that_are_not_read_stop_the_reading(client_of):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": [(b"x", b"y" * 8000)]})
        await send({"type": "http.response.body"})

    client = client_of(app, h2_max_concurrent_streams=1000)
    client.stall()
    for _ in range(200):
        client.request()
        await turns(1)
    assert client.transport.unread < connection.MOST_UNREAD + 200_000
    assert not client.transport.reading
    client.read_all()
    await until(lambda: client.transport.reading)
    await until(lambda: len(client.server.records) == 200)


# Where HTTP/2 begins.


@pytest.mark.parametrize("size", [1, 10, 1000])
async def test_a_connection_without_tls_is_http_2_by_its_preface(size):
    server = FakeServer(hello)
    peer = FakePeer(hello, server=server)
    block = b"\x82\x86\x84\x41\x01a"  # GET, http, / and the authority a
    data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    data += b"\0\0%c\1\5\0\0\0\1" % len(block) + block  # HEADERS with both ends
    for start in range(0, len(data), size):
        peer.send(data[start : start + size])
    await until(lambda: server.records)
    assert server.records[0].http_version == "2"
    assert (server.context.stats.connections, len(server.context.connections)) == (1, 1)
    await server.finish()


async def test_without_the_option_the_preface_is_refused():
    server = FakeServer(hello, http2=False)
    peer = FakePeer(hello, server=server)
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert (await peer.reply()).status == 505
    await server.finish()


async def test_a_websocket_echo(client_of):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    client = client_of(app)
    sockets = [client.websocket() for _ in range(10)]
    for socket in sockets:
        assert (await socket.handshake()).accepted
    for number, socket in enumerate(sockets):
        socket.send_text(f"{number}")
    for number, socket in enumerate(sockets):
        assert await socket.frame() == (TEXT, b"%d" % number)
    assert client.context.stats.connections == 1
