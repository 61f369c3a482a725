"""What has brought other servers down, sent to this one; `docs/THREAT_MODEL.md` names each."""

import contextvars
import logging
import tracemalloc

import pytest
from fakes import turns, until

from asgiserver.errors import PeerError
from asgiserver.log.access_format import compile_format
from asgiserver.log.refusals import PeerErrorLog

START = {"type": "http.response.start", "status": 200}
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n"
)


async def hello(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\nb"),
        (b"x", b"a\0b"),
        (b"x\r\ny", b"a"),
        (b"x y", b"a"),
        (b"", b"a"),
        ("x", "a"),
        (b"x",),
    ],
)
async def test_a_bad_response_field_is_one_requests_500(connect, header, caplog):
    """CVE-2020-7695, CVE-2018-1000164; CVE-2026-42545: not the process's end."""

    async def app(scope, receive, send):
        headers = [header] if scope["path"] == "/bad" else []
        await send({**START, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})

    peer = connect(app)
    peer.get(b"/bad")
    reply = await peer.reply()
    assert reply.status == 500
    assert b"set-cookie" not in peer.transport.written
    peer = connect(app)
    peer.get(b"/good")
    assert (await peer.reply()).status == 200


@pytest.mark.parametrize("style", ["text", "combined", "json"])
async def test_no_terminal_escape_reaches_the_access_log(connect, style):
    """CVE-2020-7694: a path that clears the screen; a field that does."""
    peer = connect(hello)
    peer.get(
        b"/%1b[2J%0aspoofed", fields=[(b"user-agent", b"\x9b2J\xe2\x80\xae"), (b"referer", b"\xff")]
    )
    assert (await peer.reply()).status == 200
    line = compile_format(style)(peer.records[0])
    assert all(" " <= char <= "~" for char in line.rstrip("\n"))
    assert "spoofed" in line


async def test_one_line_for_a_faulty_request(connect, lines):
    """CVE-2025-47287: thousands of faults in one request are one line."""
    peer = connect(hello)
    log = PeerErrorLog()
    peer.context.on_refused = lambda client, error: log.report(client, error, peer.clock.now)
    peer.send(b"GET / HTTP/1.1\r\nhost: a\r\n" + b"bad\x10name : x\r\n" * 100 + b"\r\n")
    assert (await peer.reply()).status == 400
    for _ in range(100):
        peer.send(b"bad\r\n\r\n")
    assert len(lines()) == 1


def test_lines_of_a_flood_of_faults_are_bounded(lines):
    log = PeerErrorLog()
    for number in range(10_000):
        log.report(("192.0.2.1", number), PeerError(400, "bad\x1b[2J"), 1000.0)
    assert len(lines()) == 11
    assert not any("\x1b" in line for line in lines())


UNDERSCORES = [
    (b"X_Forwarded_For", b"6.6.6.6"),
    (b"transfer_encoding", b"chunked"),
    (b"x-real-ip", b"192.0.2.1"),
    (b"x_", b"1"),
    (b"cookie", b"_ga=1"),
]


async def test_underscores_in_names(connect, caplog):
    """CVE-2015-0219: Django and WSGI have one name for X-Forwarded-For and X_Forwarded_For."""
    caplog.set_level("INFO", "asgiserver")
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await hello(scope, receive, send)

    peer = connect(app)
    for _ in range(2):  # the second time the head is known
        peer.get(fields=UNDERSCORES)
        assert (await peer.reply()).status == 200
    for scope in scopes:
        assert [name for name, _ in scope["headers"]] == [b"host", b"x-real-ip", b"cookie"]
    assert caplog.text.count("--header-underscore keep") == 1
    assert "Dropped the field x_forwarded_for" in caplog.text

    peer = connect(app, header_underscore="keep")
    peer.get(fields=UNDERSCORES)
    assert (await peer.reply()).status == 200
    assert [name for name, _ in scopes[-1]["headers"]][1:] == [
        name.lower() for name, _ in UNDERSCORES
    ]

    peer = connect(app, header_underscore="refuse")
    peer.get(fields=UNDERSCORES)
    assert (await peer.reply()).status == 400
    assert len(scopes) == 3


@pytest.mark.parametrize(
    "protocol",
    [b"\x80\xff", b"b" + b" " * 32_000 + b"x", b"," * 30_000, b"a," * 10_000],
    ids=["not ASCII", "spaces", "commas", "repeated"],
)
async def test_odd_subprotocols_are_refused(connect, protocol, caplog):
    """CVE-2026-42544 (not ASCII), CVE-2021-32640 (a tokeniser that is not linear)."""
    peer = connect(hello)
    peer.send(UPGRADE % (b"sec-websocket-protocol: " + protocol + b"\r\n"))
    assert (await peer.reply()).status == 400
    assert not caplog.records


@pytest.mark.parametrize("codec", ["python", "websockets", "wsproto"])
async def test_100_000_fragments_cost_no_memory(connect, codec):
    """CVE-2026-65623, CVE-2026-48779: what a message is made of does not count, its size does."""

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    peer = connect(app, ws=codec)
    peer.send(UPGRADE % b"")
    await until(lambda: peer.received.startswith(b"HTTP/1.1 101"))
    first = b"\x02\x81\0\0\0\0x"
    more = b"\x00\x81\0\0\0\0x" * 1000
    peer.send(first)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            peer.send(more)
            await turns(1)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 600_000
    assert not peer.transport.closing


async def test_a_client_that_is_gone_before_anybody_asks_who_it_is(connect, caplog):
    """CVE-2022-31015, CVE-2024-49769: no peer name, no crash, no loop."""
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await hello(scope, receive, send)

    peer = connect(app, extra={"peername": None})
    peer.get()
    assert (await peer.reply()).status == 200
    assert scopes[0]["client"] is None
    peer.reset()
    await turns()
    assert not peer.context.connections
    assert not caplog.records


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"x: y\r\n" * 10_000, 431),
        (b"x: " + b"y" * 60_000 + b"\x10\r\n", 400),
        (b"content-type: " + b";" * 60_000 + b"\r\n", 200),
        (b"connection: " + b"," * 60_000 + b"\r\n", 200),
        (b"te: " + b" ," * 30_000 + b"\r\n", 200),
        (b"x:" + b" \t" * 30_000 + b"y\r\n", 200),
    ],
    ids=["10,000 fields", "a control at the end", "semicolons", "commas", "blanks", "white space"],
)
async def test_fields_without_number(connect, fields, status):
    """CVE-2025-67725, CVE-2025-67726, CVE-2020-5236: the same again and again."""
    peer = connect(hello)
    peer.send(b"GET / HTTP/1.1\r\nhost: a\r\n" + fields + b"\r\n")
    assert (await peer.reply()).status == status


@pytest.mark.parametrize(
    "host",
    [
        b"example.com/abc?bar=",
        b"a/../b",
        b"a?b",
        b"a#b",
        b"u@a",
        b"a\\b",
        b"a,b",
        b"a b",
        b"",
        b"a:65536",
        b"a:x",
        b"[::1",
        b"[a]",
        b"\xff",
    ],
)
@pytest.mark.parametrize("request_bytes", [b"GET / HTTP/1.1\r\n\r\n", UPGRADE % b""])
async def test_a_host_that_is_more_than_a_host(connect, host, request_bytes):
    """CVE-2026-48710: an application that builds an URL of it would see another path."""
    calls = []

    async def app(scope, receive, send):
        calls.append(scope)
        await hello(scope, receive, send)

    line, _, rest = request_bytes.replace(b"host: a\r\n", b"").partition(b"\r\n")
    peer = connect(app)
    peer.send(line + b"\r\nhost: " + host + b"\r\n" + rest)
    assert (await peer.reply()).status == 400
    assert not calls


@pytest.mark.parametrize("after", [b"x", b"\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"])
@pytest.mark.parametrize("together", [True, False])
async def test_bytes_after_the_last_request_are_ignored(connect, after, together, lines):
    """They are no request, and no fault either: the client said that there is no next one."""
    request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    peer = connect(hello)
    if together:
        peer.send(request + after)
        reply = await peer.reply()
    else:
        peer.send(request)
        reply = await peer.reply()
        peer.send(after)
    assert (reply.status, reply.rest) == (200, b"")
    await peer.closed()
    assert not lines()
    assert not peer.context.stats.refused


@pytest.mark.parametrize("data", [b"0\r\n", b"0\r\n\r", b"0", b"5\r\nhello\r\n", b"5\r\nhe"])
async def test_a_body_without_its_end_is_never_whole(connect, data):
    """An application that acts on what it has read must know that there should be more."""
    messages = []

    async def app(scope, receive, send):
        while not messages or messages[-1]["type"] == "http.request":
            messages.append(await receive())

    peer = connect(app)
    peer.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + data)
    peer.send_eof()
    await peer.closed()
    await until(lambda: messages and messages[-1]["type"] == "http.disconnect")
    assert all(message.get("more_body", True) for message in messages)


async def test_pipelined_requests_have_contexts_of_their_own(connect, task_start):
    """CVE-2023-46137: what one request leaves behind is not the next one's."""
    variable = contextvars.ContextVar("variable", default="clean")
    seen = []

    async def app(scope, receive, send):
        seen.append(variable.get())
        variable.set("used")
        await hello(scope, receive, send)

    peer = connect(app)
    peer.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 5)
    for _ in range(5):
        assert (await peer.reply()).status == 200
    assert seen == ["clean"] * 5


async def test_content_length_of_a_304_is_kept(connect):
    """It is that of the body which is not sent; on a 204 there is none."""

    async def app(scope, receive, send):
        status = int(scope["path"][1:])
        await send({**START, "status": status, "headers": [(b"content-length", b"1234")]})
        await send({"type": "http.response.body", "body": b"hello"})

    peer = connect(app)
    for status, length in ((304, b"1234"), (204, None)):
        peer.get(b"/%d" % status)
        reply = await peer.reply()
        assert (reply.status, reply.value(b"content-length")) == (status, length)
        assert (reply.body, reply.rest) == (b"", b"")


async def test_numbers_are_exact(connect):
    """A Content-Length beyond 64 bits is refused, one below it is not rounded."""
    bodies = []

    async def app(scope, receive, send):
        bodies.append(dict(scope["headers"])[b"content-length"])
        await hello(scope, receive, send)

    for length, status in [(b"9" * 18, 200), (b"9" * 25, 400), (b"18446744073709551617", 400)]:
        peer = connect(app)
        peer.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: " + length + b"\r\n\r\n")
        assert (await peer.reply()).status == status
    assert bodies == [b"9" * 18]
