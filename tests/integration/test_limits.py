"""Limits and deadlines: what is refused, with which answer, and who waits for whom."""

import asyncio
import os
import socket

import pytest
from fakes import FakePeer, turns, until

from asgiserver.h1 import connection as h1
from asgiserver.server import limits
from asgiserver.wire.waiting import LINGER_TIME

START = {"type": "http.response.start", "status": 200}
LAST = {"type": "http.response.body", "body": b"last"}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def hello(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": scope["path"].encode()})


class Gate:
    """An application that waits to be let on; `entered` holds the paths that have come in."""

    def __init__(self):
        self.entered = []
        self._gates = {}

    def open(self, path):
        self._gate(path).set()

    def _gate(self, path):
        return self._gates.setdefault(path, asyncio.Event())

    async def __call__(self, scope, receive, send):
        self.entered.append(scope["path"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        await self._gate(scope["path"]).wait()
        if scope["type"] == "http":
            await hello(scope, receive, send)


class Reader:
    """An application that reads the body; `sizes` are those of the parts."""

    def __init__(self):
        self.sizes = []
        self.calls = 0

    async def __call__(self, scope, receive, send):
        self.calls += 1
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.sizes.append(len(message["body"]))
            if not message["more_body"]:
                break
        await hello(scope, receive, send)


def peers(connect, app, count, **options):
    """`count` clients of one server."""
    first = connect(app, **options)
    return [first, *(FakePeer(app, server=first.server) for _ in range(count - 1))]


# The size of a body


@pytest.mark.parametrize("expect", [b"", b"expect: 100-continue\r\n"])
async def test_content_length_above_the_limit_never_reaches_the_application(connect, expect):
    app = Reader()
    peer = connect(app, limit_request_body=100)
    peer.send(POST + expect + b"content-length: 101\r\n\r\n")
    reply = await peer.reply()
    assert (reply.status, reply.value(b"connection")) == (413, b"close")
    assert not app.calls
    peer.send(bytes(101))
    await peer.closed()
    assert not peer.transport.aborted
    assert peer.context.stats.refused == {"request body too large": 1}
    (record,) = peer.records
    assert (record.status, record.outcome) == (413, "refused")
    assert (record.method, record.target) == ("POST", b"/")


class Lines:
    """What the server's own log would say of refusals."""

    def __init__(self, peer):
        self.said = []
        peer.context.on_refused = lambda client, error: self.said.append(str(error))


@pytest.mark.parametrize("logged", [True, False], ids=["access log", "no access log"])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (POST + b"content-length: 101\r\n\r\n", 413),
        (CHUNKED + b"65\r\n", 413),
        (CHUNKED + b"z\r\n", 400),
    ],
)
async def test_a_request_that_can_be_read_has_one_line(connect, data, status, logged):
    """In the access log, where that is wanted, else in the server's own; never in both."""
    peer = connect(Reader(), limit_request_body=100)
    lines = Lines(peer)
    if not logged:
        peer.context.access = None
    peer.send(data)
    assert (await peer.reply()).status == status
    assert [record.status for record in peer.records] == [status] * logged
    assert len(lines.said) == (not logged)


@pytest.mark.parametrize(
    "data", [b"GET  / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /%b" % (b"a" * 9000)]
)
async def test_what_cannot_be_read_as_a_request_has_one_line(connect, data):
    """There is nothing that an access log could say of it."""
    peer = connect(Reader())
    lines = Lines(peer)
    peer.send(data)
    assert (await peer.reply()).status in (400, 414)
    assert len(lines.said) == 1
    assert not peer.records


async def test_a_request_refused_for_overload_has_one_line(connect):
    gate = Gate()
    peer = connect(gate, limit_concurrency=1)
    other = FakePeer(gate, server=peer.server)
    lines = Lines(peer)
    peer.get(b"/1")
    await until(lambda: gate.entered == ["/1"])
    other.get(b"/2")
    assert (await other.reply()).status == 503
    assert [(record.target, record.status) for record in peer.records] == [(b"/2", 503)]
    assert not lines.said
    gate.open("/1")
    assert (await peer.reply()).status == 200


async def test_chunks_above_the_limit(connect, task_start):
    app = Reader()
    peer = connect(app, limit_request_body=100)
    peer.send(CHUNKED + b"64\r\n" + bytes(100) + b"\r\n")
    await until(lambda: app.sizes == [100])
    peer.send(b"1\r\n")
    reply = await peer.reply()
    assert (reply.status, reply.value(b"connection")) == (413, b"close")
    await until(lambda: not peer.context.running)
    assert app.sizes == [100]
    (record,) = peer.records
    assert (record.status, record.outcome) == (413, "refused")


@pytest.mark.parametrize("pieces", ["whole", "bytes"])
async def test_the_limit_itself_is_allowed(connect, pieces):
    peer = connect(Reader(), limit_request_body=100)
    data = POST + b"content-length: 100\r\n\r\n" + bytes(100)
    data += CHUNKED + b"32\r\n" + bytes(50) + b"\r\n32;x=y\r\n" + bytes(50) + b"\r\n0\r\n\r\n"
    for part in [data] if pieces == "whole" else [bytes([byte]) for byte in data]:
        peer.send(part)
    for _ in range(2):
        assert (await peer.reply()).status == 200


async def test_a_limit_of_0_allows_no_body(connect):
    peer = connect(Reader(), limit_request_body=0)
    peer.get()
    assert (await peer.reply()).status == 200
    peer.send(POST + b"content-length: 1\r\n\r\n")
    assert (await peer.reply()).status == 413


async def test_without_the_limit_any_size_is_allowed(connect):
    peer = connect(Reader())
    peer.send(POST + b"content-length: 9999999999999\r\n\r\n")
    await turns()
    assert not peer.received


async def test_a_client_sees_the_refusal_while_it_sends(serve, dial):
    """On a real socket: what it still sends is drained, so the answer is not destroyed."""
    server = await serve(Reader(), limit_request_body=1000)
    client = await dial(server)
    await client.send(POST + b"content-length: 8000000\r\n\r\n")
    for _ in range(80):
        await client.send(bytes(100_000))
    assert (await client.reply()).status == 413
    await client.ended()


# How slowly a client may send


async def test_head_drips(connect):
    """Slowloris: one field line every 5 seconds."""
    peer = connect(hello)
    peer.send(b"GET / HTTP/1.1\r\n")
    for number in range(3):
        peer.advance(5)
        peer.send(b"x-%d: y\r\n" % number)
    assert not peer.received
    peer.advance(5)
    assert (await peer.reply()).status == 408
    await peer.closed()


@pytest.mark.parametrize("framing", ["length", "chunked", "extensions"])
async def test_body_drips(connect, framing):
    """A byte now and then holds a connection no longer than silence does."""
    peer = connect(Reader(), timeout_request_body=30)
    drip = {"length": b"x", "chunked": b"1\r\nx\r\n", "extensions": b"1;a=b\r\nx\r\n"}[framing]
    peer.send(CHUNKED if framing != "length" else POST + b"content-length: 1000000\r\n\r\n")
    await turns()
    for _ in range(6):
        peer.advance(5)
        peer.send(drip)
        await turns()
    peer.advance(1)
    assert (await peer.reply()).status == 408


async def test_a_steady_slow_body_is_allowed(connect):
    peer = connect(Reader(), timeout_request_body=30)
    peer.send(POST + b"content-length: 100000\r\n\r\n")
    for _ in range(100):
        peer.advance(4)
        peer.send(bytes(1000))
        await turns(1)
    assert (await peer.reply()).status == 200


async def test_a_fast_beginning_is_no_credit_for_hours(connect):
    peer = connect(Reader(), timeout_request_body=30)
    peer.send(POST + b"content-length: 10000000\r\n\r\n")
    for _ in range(90):
        peer.send(bytes(100_000))
        await turns(1)
    for _ in range(31):
        peer.advance(1)
        peer.send(b"x")
        await turns(1)
    assert (await peer.reply()).status == 408


async def test_the_rate_does_not_count_while_the_application_is_slow(connect):
    app = Gate()

    async def slow_reader(scope, receive, send):
        await app(scope, receive, send)

    peer = connect(slow_reader, timeout_request_body=30)
    peer.send(POST + b"content-length: 1000000\r\n\r\n" + bytes(h1.BODY_BUFFER + 1))
    for _ in range(20):
        peer.advance(100)
    assert not peer.received
    app.open("/")
    assert (await peer.reply()).status == 200


async def test_no_rate_without_the_timeout(connect):
    peer = connect(Reader(), timeout_request_body="off")
    peer.send(POST + b"content-length: 10\r\n\r\n")
    for _ in range(10):
        peer.advance(10_000)
        peer.send(b"x")
    assert (await peer.reply()).status == 200


async def test_a_slow_application_meets_no_deadline_of_the_client(connect):
    app = Gate()
    peer = connect(app)
    peer.get()
    for _ in range(100):
        peer.advance(1000)
    app.open("/")
    assert (await peer.reply()).status == 200


# Connections


async def test_the_longest_idle_gives_way(connect):
    first, second, third = peers(connect, hello, 3, limit_connections=3)
    for peer in (second, first, third):
        peer.advance(1)
        peer.get()
        await peer.reply()
    new = FakePeer(hello, server=first.server)
    await second.closed()
    await turns()
    assert not first.transport.closing
    assert not third.transport.closing
    new.get()
    assert (await new.reply()).status == 200


async def test_each_new_one_takes_the_place_of_another(connect):
    old = peers(connect, hello, 4, limit_connections=4)
    for peer in old:
        peer.get()
        await peer.reply()
    for count in range(1, 5):
        FakePeer(hello, server=old[0].server)
        await turns()
        assert sum(peer.transport.eof_written for peer in old) == count


async def test_a_place_is_free_as_soon_as_a_connection_lingers(connect):
    first, *_ = peers(connect, hello, 2, limit_connections=2)
    first.send(b"nonsense\r\n\r\n")
    assert (await first.reply()).status == 400
    assert not first.transport.lost
    assert first.context.stats.lingering == 1
    new = FakePeer(hello, server=first.server)
    new.get()
    assert (await new.reply()).status == 200
    first.send_eof()
    await turns()
    assert first.context.stats.lingering == 0


async def test_busy_and_fresh_connections_do_not_give_way(connect):
    app = Gate()
    busy, fresh = peers(connect, app, 2, limit_connections=2)
    busy.get(b"/1")
    new = FakePeer(app, server=busy.server)
    reply = await new.reply()
    assert (reply.status, reply.value(b"connection")) == (503, b"close")
    assert reply.value(b"retry-after") == b"1"
    await new.closed()
    assert not new.transport.aborted
    await turns()
    assert not busy.transport.closing
    assert not fresh.transport.eof_written
    app.open("/1")
    assert (await busy.reply()).status == 200


async def test_a_request_that_came_keeps_an_idle_connection(connect):
    old, *_ = peers(connect, hello, 1, limit_connections=1)
    old.get(b"/1")
    await old.reply()
    new = FakePeer(hello, server=old.server)
    old.get(b"/2")
    reply = await old.reply()
    assert reply.body == b"/2"
    new.get(b"/3")
    assert (await new.reply()).body == b"/3"


async def test_a_flood_above_the_limit_is_reset(connect):
    app = Gate()
    (busy,) = peers(connect, app, 1, limit_connections=1)
    busy.get()
    flood = [FakePeer(app, server=busy.server) for _ in range(limits.REFUSED_CONNECTIONS + 10)]
    answered = [peer for peer in flood if peer.received]
    assert len(answered) == limits.REFUSED_CONNECTIONS
    assert sum(peer.transport.aborted for peer in flood) == 10
    busy.advance(LINGER_TIME + 1)
    await until(lambda: len(busy.context.connections) == 1)
    assert busy.context.stats.lingering == 0


async def test_looking_for_idle_ones_is_bounded(connect, monkeypatch):
    """However many come in one turn: all are looked through once in `count / LOOKS` new ones."""
    app = Gate()
    looks = 0

    class Counted(h1.H1Connection):
        @property
        def idle(self):
            nonlocal looks
            looks += 1
            return super().idle

    monkeypatch.setattr("asgiserver.server.wires.H1Connection", Counted)
    old = peers(connect, app, 500, limit_connections=500)
    for peer in old:
        peer.get()
    for _ in range(100):
        FakePeer(app, server=old[0].server)
    assert looks <= 100 * limits.LOOKS * 1.5


async def test_the_longest_idle_gives_way_on_sockets(serve, dial):
    server = await serve(hello, limit_connections=2)
    clients = [await dial(server) for _ in range(2)]
    for client in clients:
        await client.get()
        assert (await client.reply()).status == 200
    third = await dial(server)
    await third.get()
    assert (await third.reply()).status == 200
    # Which of the two was idle for longer is not to be told: the clock is coarse.
    ends = [asyncio.ensure_future(client.ended()) for client in clients]
    done, rest = await asyncio.wait(ends, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    for end in rest:
        end.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


# Requests that run


async def test_idle_connections_and_quick_requests_do_not_count(connect, task_start):
    app = Gate()
    (busy, *others) = peers(connect, app, 5, limit_concurrency=2)
    app.open("/")
    busy.get(b"/1")
    for peer in others:
        peer.get()
        assert (await peer.reply()).status == 200
        await turns()


@pytest.mark.parametrize("limit", [1, 3])
async def test_shed(connect, task_start, limit):
    app = Gate()
    busy = peers(connect, app, limit, limit_concurrency=limit)
    for number, peer in enumerate(busy):
        peer.get(b"/%d" % number)
    other = FakePeer(app, server=busy[0].server)
    other.get(b"/other")
    reply = await other.reply()
    assert (reply.status, reply.value(b"retry-after")) == (503, b"1")
    assert reply.value(b"connection") == b"close"
    await until(lambda: len(app.entered) == limit)
    assert other.records[-1].status == 503
    app.open("/0")
    assert (await busy[0].reply()).status == 200
    await until(lambda: len(busy[0].context.running) == limit - 1)
    busy[0].get(b"/0")
    assert (await busy[0].reply()).status == 200


async def test_websockets_are_counted_by_themselves(connect, task_start):
    app = Gate()
    first, second, third, fourth = peers(connect, app, 4, limit_concurrency=1, limit_websockets=1)
    first.send(UPGRADE)
    await until(lambda: first.received.startswith(b"HTTP/1.1 101"))
    second.get(b"/1")
    await until(lambda: "/1" in app.entered)
    third.send(UPGRADE)
    reply = await third.reply()
    assert (reply.status, reply.value(b"retry-after")) == (503, b"1")
    assert third.context.stats.refused == {"too many WebSockets are open": 1}
    app.open("/ws")
    await until(lambda: len(first.context.running) == 1)
    fourth.send(UPGRADE)
    await until(lambda: fourth.received.startswith(b"HTTP/1.1 101"))


async def test_queue_in_order(connect, task_start):
    app = Gate()
    clients = peers(connect, app, 5, limit_concurrency=2, overload="queue")
    for number, peer in enumerate(clients):
        peer.get(b"/%d" % number)
    await until(lambda: app.entered == ["/0", "/1"])
    await turns()
    for number, (done, next_one) in enumerate([("/1", "/2"), ("/0", "/3"), ("/3", "/4")], 3):
        app.open(done)
        await until(lambda number=number: len(app.entered) == number)
        assert app.entered[-1] == next_one
    for path in ("/2", "/4"):
        app.open(path)
    for number, peer in enumerate(clients):
        assert (await peer.reply()).body == b"/%d" % number


async def test_a_place_in_the_queue_times_out(connect, task_start):
    app = Gate()
    busy, early, late = peers(
        connect, app, 3, limit_concurrency=1, overload="queue", timeout_queue=5
    )
    busy.get(b"/0")
    early.get(b"/1")
    busy.advance(3)
    late.get(b"/2")
    busy.advance(2)
    reply = await early.reply()
    assert (reply.status, reply.value(b"retry-after")) == (503, b"1")
    assert not late.received
    app.open("/0")
    app.open("/2")
    assert (await late.reply()).body == b"/2"
    assert "/1" not in app.entered


async def test_the_queue_is_bounded(connect, monkeypatch, task_start):
    monkeypatch.setattr(limits, "QUEUE_LENGTH", 3)
    app = Gate()
    clients = peers(connect, app, 5, limit_concurrency=1, overload="queue")
    for number, peer in enumerate(clients):
        peer.get(b"/%d" % number)
    assert (await clients[4].reply()).status == 503
    assert not any(peer.received for peer in clients[:4])


async def test_who_leaves_the_queue_never_runs(connect, task_start):
    app = Gate()
    busy, gone, patient = peers(connect, app, 3, limit_concurrency=1, overload="queue")
    busy.get(b"/0")
    gone.get(b"/1")
    patient.get(b"/2")
    gone.reset()
    app.open("/0")
    app.open("/2")
    assert (await patient.reply()).body == b"/2"
    assert app.entered == ["/0", "/2"]
    assert [record.status for record in busy.records if record.target == b"/1"] == [499]


async def test_what_waits_is_buffered_within_bounds(connect, task_start):
    app = Gate()
    busy, waiting = peers(connect, app, 2, limit_concurrency=1, overload="queue")
    busy.get(b"/0")
    waiting.send(POST + b"content-length: 10000000\r\n\r\n")
    for _ in range(10):
        waiting.send(bytes(65536))
    assert not waiting.transport.reading
    waiting.advance(1000)  # it waits for us
    assert (await waiting.reply()).status == 503


async def test_the_queue_is_answered_at_the_end_of_the_server(connect, task_start):
    app = Gate()
    busy, waiting = peers(connect, app, 2, limit_concurrency=1, overload="queue")
    busy.get(b"/0")
    waiting.get(b"/1")
    busy.server.request_limit.close()
    assert (await waiting.reply()).status == 503
    app.open("/0")
    await busy.reply()
    assert app.entered == ["/0"]


async def test_stop_with_a_queue(serve, dial):
    app = Gate()
    server = await serve(app, limit_concurrency=1, overload="queue")
    busy, waiting = await dial(server), await dial(server)
    await busy.get(b"/0")
    await until(lambda: app.entered)
    await waiting.get(b"/1")
    await until(
        lambda: len(server.context.stats.refused) == 0 and server.context.stats.requests == 2
    )
    await server.stop(timeout=0.05)
    assert (await busy.reply()).status == 503
    assert (await waiting.reply()).status == 503
    assert app.entered == ["/0"]


# The time of a request


@pytest.fixture
def age(monkeypatch):
    """``age(peer, seconds)`` lets time pass for requests and for the server's clock."""
    passed = 0.0

    def counter():
        return passed

    monkeypatch.setattr("asgiserver.asgi.exchange.perf_counter", counter)
    monkeypatch.setattr("asgiserver.asgi.session.perf_counter", counter)

    def age(peer, seconds):
        nonlocal passed
        passed += seconds
        peer.advance(seconds)

    return age


async def test_late_without_an_answer_is_504(connect, age, caplog):
    cancelled = []

    async def app(scope, receive, send):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            cancelled.append(error.args)
            raise

    peer = connect(app, timeout_request=30)
    peer.get(b"/slow")
    await turns()
    age(peer, 29)
    await turns()
    assert not peer.received
    age(peer, 1)
    reply = await peer.reply()
    assert (reply.status, reply.value(b"connection")) == (504, b"close")
    await until(lambda: not peer.context.running)
    assert cancelled == [("timeout",)]
    (record,) = peer.records
    assert (record.status, record.outcome) == (504, "timeout")
    (line,) = [entry.getMessage() for entry in caplog.records if entry.name == "asgiserver"]
    assert line == "Timed out: GET /slow (30.0 s)"


async def test_late_within_the_response_is_cut(connect, age, task_start):
    async def app(scope, receive, send):
        await send(START)
        await send(PART)
        await asyncio.Event().wait()

    peer = connect(app, timeout_request=30)
    peer.get()
    await turns()
    age(peer, 31)
    await peer.closed()
    assert peer.transport.aborted
    await until(lambda: not peer.context.running)
    (record,) = peer.records
    assert (record.status, record.outcome) == (200, "timeout")


async def test_an_application_that_ignores_it_does_not_keep_the_client(connect, age):
    go = asyncio.Event()
    sent = []

    async def app(scope, receive, send):
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                pass
        try:
            await hello(scope, receive, send)
        except OSError as error:
            sent.append(error)

    peer = connect(app, timeout_request=30)
    peer.get()
    await turns()
    age(peer, 31)
    assert (await peer.reply()).status == 504
    age(peer, 31)
    go.set()
    await until(lambda: not peer.context.running)
    assert sent
    assert len(peer.records) == 1


async def test_work_after_a_complete_response_may_take_longer(connect, age):
    go = asyncio.Event()

    async def app(scope, receive, send):
        await hello(scope, receive, send)
        await go.wait()

    peer = connect(app, timeout_request=30)
    peer.get()
    assert (await peer.reply()).status == 200
    age(peer, 40)
    await turns()
    assert len(peer.context.running) == 1
    go.set()
    await until(lambda: not peer.context.running)


async def test_work_for_a_client_that_left_may_not(connect, age):
    peer = connect(Gate(), timeout_request=30)
    peer.get()
    await turns()
    peer.reset()
    await turns()
    assert len(peer.context.running) == 1
    age(peer, 31)
    await until(lambda: not peer.context.running)


async def test_websockets_may_take_longer(connect, age):
    app = Gate()
    peer = connect(app, timeout_request=30, ws_ping_interval="off")
    peer.send(UPGRADE)
    await until(lambda: peer.received)
    age(peer, 1000)
    await turns()
    assert not peer.transport.closing
    app.open("/ws")
    await until(lambda: not peer.context.running)


async def test_late_on_a_server(serve, dial, monkeypatch):
    server = await serve(Gate(), timeout_request=0.1)
    client = await dial(server)
    await client.get()
    assert (await client.reply()).status == 504
    await client.ended()


# No mystery 502


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_idle_expiry_serves_what_is_in_the_socket(serve, dial):
    """The request came before the expiry was acted on: it is answered, not reset."""
    server = await serve(hello)
    client = await dial(server)
    await client.get(b"/1")
    await client.reply()
    (connection,) = server.context.connections
    sock = client._writer.get_extra_info("socket")
    os.write(sock.fileno(), b"GET /2 HTTP/1.1\r\nhost: a\r\n\r\n")  # the server has yet to read it
    connection.on_deadline(server.context.clock.now + 100)
    assert (await client.reply()).body == b"/2"


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_request_after_the_expiry_meets_no_reset(serve, dial):
    """It was on its way: our side is closed in good order, and the other is still read."""
    server = await serve(hello)
    client = await dial(server)
    await client.get(b"/1")
    await client.reply()
    (connection,) = server.context.connections
    connection.on_deadline(server.context.clock.now + 100)
    await client.ended()
    await client.get(b"/2")
    await turns(20)
    sock = client._writer.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert client.received == b""
