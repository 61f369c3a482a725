"""Sessions of which more is found out: request ids, connections, the first byte of the answer."""

import re

import pytest
from fakes import FakePeer, until

from asgiserver.log.origin import current_request, request_id
from asgiserver.server.observing import observe

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NAME = b"x-request-id"


async def app(scope, receive, send):
    details = current_request.get()
    seen.append((scope["extensions"].get("asgiserver.request"), request_id.get(), details))
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/denied":
            await send({"type": "websocket.close"})
        else:
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
        return
    if scope["path"] == "/fail":
        raise RuntimeError("no")
    fields = [(b"X-Request-Id", b"own")] if scope["path"] == "/own" else []
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"hello"})


seen = []


@pytest.fixture
def connect():
    """A client on a connection of its own, but of the same server."""
    seen.clear()
    servers = []

    def connect(peername=("127.0.0.1", 5), **options):
        server = servers[0] if servers else None
        peer = FakePeer(app, extra={"peername": peername}, server=server, **options)
        if server is None:
            servers.append(peer.server)
            observe(peer.context, None)
        return peer

    return connect


def ids_of(reply):
    return [value.decode() for value in reply.values(NAME)]


async def test_an_id_is_made_and_sent(connect):
    peer = connect(request_id="send")
    peer.get()
    (sent,) = ids_of(await peer.reply())
    assert re.fullmatch("[0-9a-f]{32}", sent)
    extension, variable, details = seen[0]
    assert (extension, variable, details.request_id) == ({"id": sent}, sent, sent)
    assert request_id.get() == ""
    peer.get()
    assert ids_of(await peer.reply()) != [sent]


async def test_an_id_that_is_on_is_not_sent(connect):
    peer = connect(request_id="on")
    peer.get()
    assert ids_of(await peer.reply()) == []
    assert seen[0][0]["id"] == seen[0][1] != ""


async def test_without_the_option_there_is_no_id(connect):
    peer = connect()
    peer.get(fields=[(NAME, b"abc")])
    await peer.reply()
    assert seen[0][:2] == (None, "")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ([b"abc-123_~!"], True),
        ([b"a" * 128], True),
        ([b"a" * 129], False),
        ([b""], False),
        ([b'a"b'], False),
        ([b"a\\b"], False),
        ([b"a b"], False),
        ([b"\xc3\xa9"], False),
        ([b"one", b"two"], False),
    ],
)
async def test_what_is_taken_over(connect, given, taken):
    peer = connect(request_id="send")
    peer.get(fields=[(NAME, value) for value in given])
    (sent,) = ids_of(await peer.reply())
    assert (sent == given[0].decode("latin-1")) is taken


async def test_only_trusted_proxies_are_believed(connect):
    peer = connect(("192.0.2.1", 5), request_id="send")
    peer.get(fields=[(NAME, b"abc")])
    assert ids_of(await peer.reply()) != ["abc"]


async def test_another_field_may_hold_it(connect):
    peer = connect(request_id="send", request_id_header="X-Correlation-ID")
    peer.get(fields=[(b"x-correlation-id", b"abc"), (NAME, b"no")])
    reply = await peer.reply()
    assert reply.values(b"x-correlation-id") == [b"abc"]
    assert ids_of(reply) == []


async def test_a_field_of_the_application_is_kept(connect):
    peer = connect(request_id="send")
    peer.get(b"/own")
    assert ids_of(await peer.reply()) == ["own"]


async def test_answers_of_the_server_have_the_id_too(connect, caplog):
    peer = connect(request_id="send")
    peer.get(b"/fail", fields=[(NAME, b"abc")])
    reply = await peer.reply()
    assert (reply.status, ids_of(reply)) == (500, ["abc"])
    assert peer.records[0].details.request_id == "abc"


UPGRADE = [
    (b"upgrade", b"websocket"),
    (b"connection", b"upgrade"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
]


@pytest.mark.parametrize(("target", "status"), [(b"/", b"101"), (b"/denied", b"403")])
async def test_a_websocket_has_an_id(connect, target, status):
    peer = connect(request_id="send")
    peer.get(target, fields=[*UPGRADE, (NAME, b"abc")])
    await until(lambda: b"\r\n\r\n" in peer.received)
    head = peer.received.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nx-request-id: abc" in head
    assert seen[0][1] == "abc"
    await until(lambda: peer.records)
    assert peer.records[0].details.request_id == "abc"
    assert peer.records[0].event == ("websocket_open" if status == b"101" else "request")
    peer.reset()
    await until(lambda: not peer.context.running)


async def test_connections_are_numbered(connect):
    first, second = connect(), connect()
    for peer in (first, first, second):
        peer.get()
        await peer.reply()
    assert [record.details.connection for record in first.records] == [1, 1, 2]


async def test_the_caller_of_a_trace(connect):
    peer = connect()
    traceparent = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())
    for fields in ([traceparent], [], [traceparent, traceparent], [(b"traceparent", b"x")]):
        peer.get(fields=fields)
        await peer.reply()
    found = [(record.details.trace_id, record.details.span_id) for record in peer.records]
    assert found == [(TRACE, SPAN), ("", ""), ("", ""), ("", "")]


async def test_the_first_byte_comes_before_the_end(connect):
    peer = connect()
    peer.get()
    await peer.reply()
    record = peer.records[0]
    assert 0 <= record.details.ttfb <= record.duration
    peer = FakePeer(waits)
    observe(peer.context, None)
    peer.get()
    await until(lambda: peer.context.running)
    peer.reset()
    await until(lambda: peer.records)
    assert (peer.records[0].status, peer.records[0].details.ttfb) == (499, None)
    await until(lambda: not peer.context.running)


async def waits(scope, receive, send):
    await receive()
    await receive()


async def test_without_a_log_nothing_is_recorded(connect):
    peer = connect(request_id="on")
    peer.context.access = None
    peer.get()
    assert (await peer.reply()).status == 200
    assert peer.records == []
