"""HTTP/1 connections: framing, persistence, pipelining, backpressure, deadlines, ends."""

import asyncio
import dataclasses
import gc
import socket

import pytest
from fakes import FakePeer, FakeServer, turns, until

from asgiserver.errors import ClientDisconnected
from asgiserver.h1.connection import H1Connection

START = {"type": "http.response.start", "status": 200}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
LAST = {"type": "http.response.body", "body": b"last"}
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
EXPECT = POST + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n"


async def hello(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def echo(scope, receive, send):
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    await send(START)
    await send({"type": "http.response.body", "body": body})


async def chunks(scope, receive, send):
    await send(START)
    await send(PART)
    await send(LAST)


async def large(scope, receive, send):
    await send(START)
    await send({**LAST, "body": bytes(1_000_000)})


async def endless(scope, receive, send):
    await send(START)
    while True:
        await send({**PART, "body": bytes(65536)})


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
        await self._gate(scope["path"]).wait()
        await hello(scope, receive, send)


# Persistence


async def test_keep_alive(connect):
    peer = connect(hello)
    for target in (b"/1", b"/2", b"/3"):
        peer.get(target)
        reply = await peer.reply()
        assert (reply.status, reply.body, reply.rest) == (200, target, b"")
        assert not reply.values(b"connection")
    assert not peer.transport.closing
    assert len(peer.records) == 3


@pytest.mark.parametrize("value", [b"close", b"Close", b"x, close"])
async def test_connection_close_of_the_client(connect, value):
    peer = connect(hello)
    peer.get(fields=[(b"connection", value)])
    assert (await peer.reply()).value(b"connection") == b"close"
    await peer.closed()


async def test_connection_close_of_the_application(connect):
    async def app(scope, receive, send):
        await send({**START, "headers": [(b"Connection", b"Close")]})
        await send(LAST)

    peer = connect(app)
    peer.get()
    assert (await peer.reply()).value(b"connection") == b"close"
    await peer.closed()


@pytest.mark.parametrize(("app", "body"), [(hello, b"/x"), (chunks, b"partlast")])
async def test_http_1_0_closes_and_has_no_chunks(connect, app, body):
    peer = connect(app)
    peer.get(b"/x", version=b"1.0")
    reply = await peer.reply()
    assert reply.value(b"connection") == b"close"
    assert not reply.values(b"transfer-encoding")
    assert reply.body == body
    await peer.closed()
    assert peer.records[0].http_version == "1.0"


async def test_http_1_0_keep_alive_is_echoed(connect):
    peer = connect(hello)
    for _ in range(2):
        peer.get(version=b"1.0", fields=[(b"connection", b"Keep-Alive")])
        reply = await peer.reply()
        assert reply.value(b"connection") == b"keep-alive"
        assert reply.value(b"content-length") == b"1"
    assert not peer.transport.closing


async def test_http_1_0_keep_alive_ends_with_a_body_of_unknown_length(connect):
    peer = connect(chunks)
    peer.get(version=b"1.0", fields=[(b"connection", b"keep-alive")])
    reply = await peer.reply()
    assert reply.value(b"connection") == b"close"
    assert reply.body == b"partlast"


async def test_a_cut_body_without_framing_is_reset(connect, caplog):
    """The end of the connection is the end of such a body: only a reset says that it is not."""
    options = []

    class Socket:
        family = socket.AF_INET

        def setsockopt(self, level, option, value):
            options.append(option)

    async def app(scope, receive, send):
        await send(START)
        await send(PART)
        raise LookupError("a bug")

    for version, expected in [(b"1.1", []), (b"1.0", [socket.SO_LINGER])]:
        peer = connect(app, extra={"socket": Socket()})
        peer.get(version=version)
        await peer.closed()
        assert peer.transport.aborted
        assert options == expected


# Pipelining


@pytest.mark.parametrize("count", [2, 16, 17, 100])
async def test_pipelined_requests_are_answered_in_order(connect, task_start, count):
    peer = connect(hello)
    peer.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % n for n in range(count)))
    for number in range(count):
        assert (await peer.reply()).body == b"/%d" % number
    assert [record.target for record in peer.records] == [b"/%d" % n for n in range(count)]
    assert peer.transport.reading


async def test_pipelined_requests_run_one_at_a_time(connect, task_start):
    app = Gate()
    peer = connect(app)
    for target in (b"/1", b"/2", b"/3"):
        peer.get(target)
    for target in ("/1", "/2", "/3"):
        await until(lambda target=target: app.entered[-1:] == [target])
        await turns()
        assert app.entered[-1] == target
        app.open(target)
        assert (await peer.reply()).body == target.encode()


@pytest.mark.parametrize("size", [1, 7, 20])
async def test_a_pipelined_request_in_pieces(connect, task_start, size):
    """What came of it while the first was answered must not stop the rest from being read."""
    app = Gate()
    peer = connect(app)
    peer.get(b"/1")
    second = b"GET /2 HTTP/1.1\r\nhost: a\r\n\r\n"
    peer.send(second[:size])
    app.open("/1")
    app.open("/2")
    assert (await peer.reply()).body == b"/1"
    await turns()
    peer.send(second[size:])
    assert (await peer.reply()).body == b"/2"


async def test_a_pipelined_upload_in_pieces(connect, task_start):
    app = Gate()

    async def both(scope, receive, send):
        await (echo if scope["method"] == "POST" else app)(scope, receive, send)

    peer = connect(both)
    peer.get(b"/1")
    peer.send(POST + b"content-length: 6\r\n\r\nabc")
    app.open("/1")
    assert (await peer.reply()).body == b"/1"
    await turns()
    peer.send(b"def")
    assert (await peer.reply()).body == b"abcdef"
    assert peer.transport.reading


async def test_reading_pauses_while_requests_wait(connect):
    app = Gate()
    peer = connect(app)
    peer.get(b"/1")
    peer.get(b"/2")
    assert not peer.transport.reading
    app.open("/1")
    app.open("/2")
    await peer.reply()
    await peer.reply()
    assert peer.transport.reading


async def test_after_a_close_nothing_more_is_answered(connect):
    peer = connect(hello)
    peer.get(b"/1", fields=[(b"connection", b"close")])
    peer.get(b"/2")
    reply = await peer.reply()
    assert (reply.body, reply.rest) == (b"/1", b"")
    await turns()
    assert len(peer.records) == 1


async def test_a_bad_request_after_a_good_one(connect, task_start):
    peer = connect(hello)
    peer.send(b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n")
    assert (await peer.reply()).body == b"/1"
    reply = await peer.reply()
    assert (reply.status, reply.rest) == (400, b"")
    await peer.closed()


async def test_a_client_that_never_reads_cannot_pile_up_answers(connect, task_start):
    """The next request waits until the answers before it are on their way."""
    started = []

    async def app(scope, receive, send):
        started.append(scope["path"])
        await send(START)
        await send({**LAST, "body": bytes(100_000)})

    peer = connect(app)
    peer.transport.stall()
    for number in range(50):
        peer.get(b"/%d" % number)
    await turns(20)
    assert len(started) <= 2
    assert peer.transport.unread < 300_000
    peer.transport.read_all()
    for _ in range(50):
        assert len((await peer.reply()).body) == 100_000
    assert peer.transport.reading


async def test_pipelined_in_one_read_they_cannot_pile_up_either(connect, task_start):
    peer = connect(large)
    peer.transport.stall()
    peer.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 40)
    await turns(20)
    assert peer.transport.unread < 2_100_000
    peer.transport.read_all()
    for _ in range(40):
        assert len((await peer.reply()).body) == 1_000_000
    assert peer.transport.reading


async def test_a_background_task_does_not_hold_up_the_next_request(connect, task_start):
    go = asyncio.Event()
    done = []

    async def app(scope, receive, send):
        await hello(scope, receive, send)
        if scope["path"] == "/1":
            await go.wait()
            assert (await receive())["type"] == "http.disconnect"
            done.append(scope["path"])

    peer = connect(app)
    for target in (b"/1", b"/2"):
        peer.get(target)
        assert (await peer.reply()).body == target
    await until(lambda: len(peer.context.running) == 1)
    (session,) = peer.context.running.values()
    assert session.label == "GET /1"
    go.set()
    await until(lambda: not peer.context.running)
    assert done == ["/1"]


# Bodies


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_body_byte_by_byte(connect, framing):
    peer = connect(echo)
    if framing == "length":
        data = POST + b"content-length: 5\r\n\r\nabcde"
    else:
        data = POST + b"transfer-encoding: chunked\r\n\r\n"
        data += b"2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nT: 1\r\n\r\n"
    for byte in data:
        peer.send(bytes([byte]))
    assert (await peer.reply()).body == b"abcde"
    peer.get()
    assert (await peer.reply()).body == b""


async def test_trailers_of_a_request_never_become_headers(connect):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await echo(scope, receive, send)

    peer = connect(app)
    peer.send(POST + b"transfer-encoding: chunked\r\n\r\n0\r\nX-Evil: 1\r\n\r\n")
    await peer.reply()
    assert [name for name, _ in scopes[0]["headers"]] == [b"host", b"transfer-encoding"]


async def test_a_small_unread_rest_is_dropped_and_the_connection_kept(connect):
    peer = connect(hello)
    peer.send(POST + b"content-length: 1000\r\n\r\n" + bytes(10))
    assert not (await peer.reply()).values(b"connection")
    peer.send(bytes(990))
    peer.get(b"/2")
    assert (await peer.reply()).body == b"/2"


async def test_a_request_in_the_same_read_as_an_unread_rest(connect):
    peer = connect(hello)
    peer.send(POST + b"content-length: 1000\r\n\r\n")
    await peer.reply()
    peer.send(bytes(1000) + b"GET /2 HTTP/1.1\r\nhost: a\r\n\r\n")
    assert (await peer.reply()).body == b"/2"


async def test_a_large_unread_rest_ends_the_connection_politely(connect):
    peer = connect(hello)
    peer.send(POST + b"content-length: 10000000\r\n\r\n" + bytes(10))
    assert (await peer.reply()).value(b"connection") == b"close"
    assert peer.transport.eof_written
    assert not peer.transport.closing
    for _ in range(10):
        peer.send(bytes(65536))  # it is still sending: drained, not reset
    assert not peer.transport.closing
    peer.send_eof()
    assert peer.transport.closing
    assert not peer.transport.aborted


async def test_a_client_that_sends_on_for_ever_is_not_drained_for_ever(connect):
    peer = connect(hello)
    peer.send(POST + b"content-length: 100000000\r\n\r\n")
    await peer.reply()
    for _ in range(17):
        peer.send(bytes(1 << 20))
    assert peer.transport.closing
    peer = connect(hello)
    peer.send(POST + b"content-length: 10000000\r\n\r\n")
    await peer.reply()
    peer.advance(1.9)
    assert not peer.transport.closing
    peer.advance(0.2)
    assert peer.transport.closing


async def test_a_large_chunked_rest_ends_the_connection(connect):
    peer = connect(hello)
    peer.send(POST + b"transfer-encoding: chunked\r\n\r\n")
    assert not (await peer.reply()).values(b"connection")
    for _ in range(5):
        peer.send(b"4000\r\n" + bytes(0x4000) + b"\r\n")
    await peer.closed()
    assert peer.transport.eof_written


# Expect


async def test_continue_at_the_first_receive(connect, task_start):
    go = asyncio.Event()

    async def app(scope, receive, send):
        await go.wait()
        await echo(scope, receive, send)

    peer = connect(app)
    peer.send(EXPECT)
    await turns()
    assert not peer.received
    go.set()
    reply = await peer.reply()
    assert (reply.status, reply.fields) == (100, [])
    peer.send(b"abc")
    reply = await peer.reply()
    assert (reply.status, reply.body) == (200, b"abc")


async def test_no_continue_when_the_application_does_not_read(connect, task_start):
    peer = connect(hello)
    peer.send(EXPECT)
    reply = await peer.reply()
    assert (reply.status, reply.value(b"connection")) == (200, b"close")
    await peer.closed()


async def test_no_continue_when_the_body_came_already(connect, task_start):
    peer = connect(echo)
    peer.send(EXPECT + b"abc")
    assert (await peer.reply()).status == 200


async def test_no_continue_after_the_response_has_started(connect):
    async def app(scope, receive, send):
        await send(START)
        await send(PART)
        while (await receive())["more_body"]:
            pass
        await send(LAST)

    peer = connect(app)
    peer.send(EXPECT)
    await turns()
    assert peer.received.startswith(b"HTTP/1.1 200")
    peer.send(b"abc")
    assert (await peer.reply()).body == b"partlast"


async def test_no_continue_without_a_body(connect):
    peer = connect(echo)
    peer.get(fields=[(b"expect", b"100-continue")])
    assert (await peer.reply()).status == 200


async def test_no_continue_for_http_1_0(connect):
    peer = connect(echo)
    peer.send(EXPECT.replace(b"1.1", b"1.0"))
    await turns()
    assert not peer.received
    peer.send(b"abc")
    assert (await peer.reply()).body == b"abc"


async def test_an_unknown_expectation_is_417(connect):
    peer = connect(echo)
    peer.get(fields=[(b"expect", b"200-ok")])
    reply = await peer.reply()
    assert (reply.status, reply.value(b"connection")) == (417, b"close")


# Refusals


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nhost: a\n\n", 400),
        (b"GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505),
        (POST + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (POST + b"content-length: +1\r\n\r\n", 400),
        (POST + b"transfer-encoding: gzip, chunked\r\n\r\n", 501),
        (POST + b"transfer-encoding: chunked\r\n\r\nx\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 70000 + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\x00\xa5", 400),
    ],
    ids=range(14),
)
async def test_what_is_refused(connect, request_bytes, status, task_start):
    async def app(scope, receive, send):
        assert (await receive())["type"] == "http.disconnect"

    peer = connect(app)
    peer.send(request_bytes)
    reply = await peer.reply()
    assert (reply.status, reply.value(b"connection")) == (status, b"close")
    assert reply.value(b"content-type") == b"text/plain; charset=utf-8"
    assert b"\n" not in reply.body
    assert sum(peer.context.stats.refused.values()) == 1
    assert peer.transport.eof_written
    peer.get()  # nothing more is parsed
    await turns()
    assert peer.received == b""
    assert not peer.transport.aborted


async def test_a_broken_body_within_a_running_request(connect, caplog):
    events = []

    async def app(scope, receive, send):
        while True:
            message = await receive()
            events.append(message["type"])
            if message["type"] == "http.disconnect":
                break
        with pytest.raises(ClientDisconnected):
            await send(START)
        events.append("done")

    peer = connect(app)
    peer.send(POST + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n")
    await until(lambda: events)
    peer.send(b"zz\r\n")
    assert (await peer.reply()).status == 400
    await until(lambda: events[-1] == "done")
    (record,) = peer.records
    assert (record.status, record.outcome) == (400, "refused")
    assert not caplog.records


async def test_a_broken_body_after_a_started_response_cuts_it(connect):
    async def app(scope, receive, send):
        await receive()
        await send(START)
        await send(PART)
        while (await receive())["type"] != "http.disconnect":
            pass

    peer = connect(app)
    peer.send(POST + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n")
    await turns()
    peer.send(b"zz\r\n")
    await peer.closed()
    assert peer.transport.aborted
    (record,) = peer.records
    assert (record.status, record.outcome) == (200, "refused")


async def test_too_many_running_requests(connect):
    app = Gate()
    peer = connect(app, limit_concurrency=1)
    peer.get(b"/1")
    await until(lambda: app.entered)
    FakePeer(app, server=peer.server)  # does not count, it is idle
    other = FakePeer(app, server=peer.server)
    other.get(b"/2")
    reply = await other.reply()
    assert (reply.status, reply.value(b"retry-after")) == (503, b"1")
    app.open("/1")
    assert (await peer.reply()).status == 200


# Backpressure and fairness


async def test_a_fast_reader_of_an_endless_response_does_not_starve_others(connect):
    peer = connect(endless)
    peer.get()
    await turns(2)  # comes back at all
    assert len(peer.transport.written) < 8_000_000
    peer.reset()
    await until(lambda: not peer.context.running)


async def test_gathered_output_is_bounded(connect):
    async def app(scope, receive, send):
        await send(START)
        for _ in range(1000):
            await send({**PART, "body": bytes(1024)})
        await send(LAST)

    peer = connect(app)
    peer.get()
    await peer.reply()
    assert max(map(len, peer.transport.writes)) < 70_000


# Deadlines


async def test_a_silent_connection_is_closed(connect):
    peer = connect(hello, timeout_request_head=20)
    peer.advance(19)
    assert not peer.transport.closing
    peer.advance(1)
    assert peer.transport.closing
    assert not peer.transport.written


async def test_a_slow_head_is_refused_however_it_drips(connect):
    peer = connect(hello, timeout_request_head=20)
    for byte in b"GET / HTTP/1.1\r\nhost: aaaaa"[:19]:
        peer.advance(1)
        peer.send(bytes([byte]))
    assert not peer.received
    peer.advance(1)
    reply = await peer.reply()
    assert (reply.status, reply.value(b"connection")) == (408, b"close")
    assert not peer.records


async def test_empty_lines_win_no_time(connect):
    peer = connect(hello, timeout_request_head=20)
    for _ in range(19):
        peer.advance(1)
        peer.send(b"\r\n")
    assert not peer.transport.closing
    peer.advance(1)
    await peer.closed()


async def test_keep_alive_expires(connect):
    peer = connect(hello, timeout_keep_alive=75)
    peer.get()
    await peer.reply()
    peer.advance(74)
    await turns()
    assert not peer.transport.eof_written
    peer.advance(1)
    await until(lambda: peer.transport.eof_written)
    assert not peer.received


@pytest.mark.parametrize("data", [b"\r\n", b"G"])
async def test_one_byte_does_not_disarm_keep_alive(connect, data):
    peer = connect(hello, timeout_keep_alive=75, timeout_request_head=20)
    peer.get()
    await peer.reply()
    peer.send(data)
    peer.advance(76)
    await peer.closed()


async def test_a_second_slow_head_is_refused(connect):
    peer = connect(hello, timeout_keep_alive=75, timeout_request_head=20)
    peer.get()
    await peer.reply()
    peer.advance(50)
    peer.send(b"GET / ")
    peer.advance(19)
    peer.send(b"HTTP/1.1\r\n")
    assert not peer.received
    peer.advance(1)
    assert (await peer.reply()).status == 408


async def test_keep_alive_expiry_serves_a_request_that_is_there_already(connect):
    peer = connect(hello)
    peer.get(b"/1")
    await peer.reply()
    peer.advance(100)
    peer.get(b"/2")  # read in the same turn of the loop
    assert (await peer.reply()).body == b"/2"
    await turns()
    assert not peer.transport.eof_written


async def test_keep_alive_does_not_run_while_a_request_does(connect):
    app = Gate()
    peer = connect(app, timeout_keep_alive=5)
    peer.get(b"/1")
    peer.advance(1000)
    await turns()
    app.open("/1")
    assert (await peer.reply()).status == 200
    peer.advance(4)
    await turns()
    assert not peer.transport.eof_written


async def test_an_event_stream_is_seen_to_begin_before_its_first_event(connect):
    gate = asyncio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await gate.wait()
        await send({"type": "http.response.body", "body": b"event"})

    peer = connect(app)
    peer.get(b"/")
    await turns()
    peer.advance(1)
    assert not peer.transport.writes
    peer.advance(1)
    peer.advance(1)
    await turns()
    assert b"".join(peer.transport.writes).startswith(b"HTTP/1.1 200 OK")
    gate.set()
    assert (await peer.reply()).body == b"event"


async def test_a_stalled_body_is_refused(connect, caplog):
    peer = connect(echo, timeout_request_body=30)
    peer.send(POST + b"content-length: 100\r\n\r\n")
    peer.advance(29)
    peer.send(b"x")
    await turns()
    assert not peer.received
    peer.advance(1.1)
    reply = await peer.reply()
    assert (reply.status, reply.value(b"connection")) == (408, b"close")
    await until(lambda: not peer.context.running)
    (record,) = peer.records
    assert (record.status, record.outcome) == (408, "refused")
    assert not [entry for entry in caplog.records if entry.levelname == "ERROR"]


async def test_a_body_that_waits_for_the_application_is_not_stalled(connect):
    app = Gate()
    peer = connect(app, timeout_request_body=30)
    peer.send(POST + b"content-length: 1000000\r\n\r\n" + bytes(70000))
    assert not peer.transport.reading
    peer.advance(1000)
    assert not peer.received
    expecting = connect(app, timeout_request_body=30)
    expecting.send(EXPECT)
    expecting.advance(1000)
    assert not expecting.received


async def test_a_dropped_body_that_stalls_ends_the_connection(connect):
    peer = connect(hello, timeout_request_body=30)
    peer.send(POST + b"content-length: 100\r\n\r\n")
    await peer.reply()
    peer.advance(31)
    await peer.closed()
    assert not peer.received


async def test_a_client_that_does_not_read_is_cut(connect, caplog):
    raised = []

    async def app(scope, receive, send):
        try:
            await endless(scope, receive, send)
        except OSError as error:
            raised.append(error)
            raise

    peer = connect(app, timeout_write=60)
    peer.transport.stall()
    peer.get()
    await turns()
    peer.advance(59)
    assert not peer.transport.aborted
    peer.transport.read_some(1000)
    peer.advance(2)
    assert not peer.transport.aborted, "it has read something"
    peer.advance(61)
    assert peer.transport.aborted
    await until(lambda: not peer.context.running)
    assert isinstance(raised[0], ClientDisconnected)
    (record,) = peer.records
    assert (record.status, record.outcome) == (200, "timeout")
    assert not [entry for entry in caplog.records if entry.levelname == "ERROR"]


async def test_sending_does_not_excuse_from_reading(connect):
    peer = connect(endless, timeout_write=60)
    peer.transport.stall()
    peer.send(POST + b"content-length: 1000000\r\n\r\n")
    await turns()
    for _ in range(12):
        peer.advance(6)
        peer.send(b"x")
    assert peer.transport.aborted


async def test_keep_alive_runs_after_a_slow_reader_has_read_all(connect):
    peer = connect(large, timeout_write=60, timeout_keep_alive=75)
    peer.transport.stall()
    peer.get()
    await turns()
    peer.advance(30)
    peer.transport.read_all()
    await turns()
    assert not peer.transport.closing
    peer.advance(74)
    await turns()
    assert not peer.transport.eof_written
    peer.advance(2)
    await until(lambda: peer.transport.eof_written, "idle for ever")


async def test_a_slow_reader_may_take_the_end_of_a_closed_response(connect):
    peer = connect(large, timeout_write=60)
    peer.transport.stall()
    peer.get(fields=[(b"connection", b"close")])
    await turns()
    for _ in range(10):
        peer.advance(30)
        peer.transport.read_some(50_000)
    assert not peer.transport.aborted
    for _ in range(3):
        peer.advance(61)
    assert peer.transport.aborted


# The client's end


async def test_a_half_closed_client_gets_its_answer(connect, task_start):
    app = Gate()
    peer = connect(app)
    peer.get(b"/1")
    peer.send_eof()
    await turns()
    assert not peer.transport.closing
    app.open("/1")
    assert (await peer.reply()).body == b"/1"
    await peer.closed()
    assert peer.records[0].outcome == "ok"


async def test_a_half_closed_client_gets_all_its_answers(connect, task_start):
    peer = connect(hello)
    peer.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % n for n in range(40)))
    peer.send_eof()
    for number in range(40):
        assert (await peer.reply()).body == b"/%d" % number
    await peer.closed()


async def test_a_half_closed_client_may_have_left(connect, caplog):
    """An application that listens hears it; that it stops then is no error."""

    async def app(scope, receive, send):
        await receive()
        await send(START)
        await send(PART)
        assert (await receive())["type"] == "http.disconnect"

    peer = connect(app)
    peer.get()
    peer.send_eof()
    await turns()
    peer.advance(2)
    await peer.closed()
    await until(lambda: peer.records)
    (record,) = peer.records
    assert (record.status, record.outcome) == (499, "client_gone")
    assert not caplog.records


async def test_a_half_closed_client_of_a_stream_hears_it_at_the_next_tick(connect):
    app = Gate()

    async def streaming(scope, receive, send):
        await send(START)
        await send(PART)
        await app(scope, receive, send)

    peer = connect(streaming, on_disconnect="cancel")
    peer.get()
    await turns()
    peer.send_eof()
    await turns()
    peer.advance(1)
    await until(lambda: peer.records)
    assert (peer.records[0].status, peer.records[0].outcome) == (499, "client_gone")
    await peer.closed()


async def test_a_half_closed_client_waits_for_its_answer_as_long_as_it_takes(connect):
    app = Gate()
    peer = connect(app, on_disconnect="cancel")
    peer.get(b"/1")
    peer.send_eof()
    for _ in range(5):
        await turns()
        peer.advance(1)
    app.open("/1")
    assert (await peer.reply()).body == b"/1"
    await peer.closed()
    assert peer.records[0].outcome == "ok"


async def test_a_stream_that_begins_after_the_end_of_its_client_is_told_too(connect):
    """Its head is held: the clock releases it, and then it has begun."""

    async def app(scope, receive, send):
        await send(START)
        await asyncio.Event().wait()

    peer = connect(app, on_disconnect="cancel")
    peer.get()
    peer.send_eof()
    for _ in range(5):
        await turns()
        peer.advance(1)
    await until(lambda: peer.records)
    assert (peer.records[0].status, peer.records[0].outcome) == (499, "client_gone")


async def test_a_half_closed_client_within_a_body_is_gone(connect):
    peer = connect(echo)
    peer.send(POST + b"content-length: 10\r\n\r\nabc")
    peer.send_eof()
    await peer.closed()
    await until(lambda: peer.records)
    assert peer.records[0].outcome == "client_gone"


async def test_a_probe_is_closed_without_a_word(connect):
    peer = connect(hello)
    peer.send_eof()
    await peer.closed()
    assert not peer.received
    assert not peer.records


async def test_half_a_head_and_the_end_is_400(connect):
    peer = connect(hello)
    peer.send(b"GET / HT")
    peer.send_eof()
    assert (await peer.reply()).status == 400
    await peer.closed()


# The server's end


async def test_drain_closes_idle_connections(connect):
    fresh, used = connect(hello), connect(hello)
    used.get()
    await used.reply()
    for peer in (fresh, used):
        peer.context.draining = True
        peer.connection.begin_drain()
    for peer in (fresh, used):
        await peer.closed()
        assert not peer.received


async def test_drain_lets_a_running_request_finish_with_close(connect):
    app = Gate()
    peer = connect(app)
    peer.get(b"/1")
    peer.context.draining = True
    peer.connection.begin_drain()
    app.open("/1")
    reply = await peer.reply()
    assert (reply.body, reply.value(b"connection")) == (b"/1", b"close")
    await peer.closed()


async def test_drain_serves_a_request_that_is_there_already(connect):
    peer = connect(hello)
    peer.get(b"/1")
    await peer.reply()
    peer.context.draining = True
    peer.connection.begin_drain()
    peer.get(b"/2")
    reply = await peer.reply()
    assert (reply.body, reply.value(b"connection")) == (b"/2", b"close")


async def test_drain_waits_a_moment_for_a_first_request(connect):
    peer = connect(hello)
    peer.context.draining = True
    peer.connection.begin_drain()
    await turns()
    assert not peer.transport.is_closing()
    peer.get(b"/1")
    reply = await peer.reply()
    assert (reply.body, reply.value(b"connection")) == (b"/1", b"close")
    await peer.closed()


async def test_a_reload_waits_for_no_spare_connection(connect):
    fresh, used, asking = connect(hello), connect(hello), connect(hello)
    used.get()
    await used.reply()
    for peer in (fresh, used, asking):
        peer.context.config = dataclasses.replace(peer.context.config, app="a:b", reload=True)
        peer.context.draining = True
        peer.connection.begin_drain()
    asking.get(b"/1")
    await turns()
    assert fresh.transport.is_closing()
    assert used.transport.is_closing()
    assert (await asking.reply()).body == b"/1"


async def test_repr_shows_the_state(connect):
    peer = connect(Gate())
    peer.get(b"/where")
    await turns()
    text = repr(peer.connection)
    assert "192.0.2.7" in text
    assert "GET /where" in text


# Memory


@pytest.mark.parametrize(
    "way", ["reset", "eof", "silent", "refused", "answered", "bug", "within body", "pipelined"]
)
async def test_a_connection_is_freed_at_its_end_without_the_garbage_collector(
    parser, way, task_start, caplog
):
    async def app(scope, receive, send):
        if way == "bug":
            raise LookupError("a bug")
        if way in ("reset", "within body"):
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            await hello(scope, receive, send)

    caplog.set_level("CRITICAL", "asgiserver")  # records keep tracebacks alive
    server = FakeServer(app, parser)
    peer = FakePeer(app, server=server)
    transport = peer.transport
    assert type(peer.connection) is H1Connection
    identity = id(peer.connection)
    if way in ("reset", "answered", "bug"):
        peer.get()
    elif way == "refused":
        peer.send(b"nonsense\r\n\r\n")
    elif way == "within body":
        peer.send(POST + b"content-length: 10\r\n\r\nabc")
    elif way == "pipelined":
        for _ in range(40):
            peer.get()
    await turns()
    if way in ("eof", "answered"):
        peer.send_eof()
        await until(lambda: transport.closing)
    gc.collect()
    gc.disable()
    try:
        peer.reset()
        await until(lambda: not server.context.running)
        peer = transport.protocol = None  # as event loops do
        await turns()
        alive = [thing for thing in gc.get_objects() if type(thing) is H1Connection]
        assert identity not in map(id, alive)
    finally:
        gc.enable()
    assert not server.context.connections
