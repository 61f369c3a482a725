"""Several exchanges on one connection, on every wire: nothing of one is found in the next."""

import asyncio

import pytest
from fakes import WAIT, until

from asgiserver.server.proxy import make_proxies

START = {"type": "http.response.start", "status": 200, "headers": []}
LAST = {"type": "http.response.body", "body": b"last"}

HTML, JSON = [(b"accept", b"text/html")], [(b"accept", b"application/json")]
REQUESTS = [
    ("GET", "/", [], b""),
    ("GET", "/", [], b""),
    ("GET", "/plain", [], b""),
    ("POST", "/upload?a=1", JSON, b"body"),
    ("GET", "/a%20b?c=%C3%A9", HTML, b""),
    ("DELETE", "/item/7", [(b"x-one", b"1"), (b"x-one", b"2")], b""),
    ("HEAD", "/plain", [(b"te", b"trailers")], b""),
    ("OPTIONS", "*", [], b""),
    ("PUT", "/api/item?", [(b"te", b"trailers")], b"more"),
    ("GET", "/plain", [], b""),
]


class Recorder:
    """An application that keeps scopes as they were at the start, and makes a mess of them."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        self.scopes.append({**scope, "extensions": set(scope["extensions"])})
        while (await receive())["more_body"]:
            pass
        await send(START)
        await send(LAST)
        scope["asgi"]["version"] = "spoilt"
        scope["headers"].append((b"spoilt", b"1"))
        scope["extensions"].clear()
        for key in list(scope):
            scope[key] = "spoilt"
        scope["spoilt"] = True


async def alone(wire, request, **options):
    """The scope of a request on a connection of its own."""
    app = Recorder()
    method, target, fields, body = request
    await wire.request(app, method, target, fields, body, **options).reply()
    return app.scopes[0]


@pytest.mark.parametrize("state", [None, {"pool": 1}], ids=["without state", "with state"])
@pytest.mark.parametrize("root_path", ["", "/api"])
async def test_every_scope_is_as_on_a_connection_of_its_own(wire, root_path, state):
    options = {"root_path": root_path, "setup": lambda context: setattr(context, "state", state)}
    app = Recorder()
    client = wire.connect(app, **options)
    requests = REQUESTS * 2 + REQUESTS[::-1]
    for method, target, fields, body in requests:
        reply = await client.request(method, target, fields, body).reply()
        assert (reply.status, reply.complete) == (200, True)
        assert client.is_open
    for scope, request in zip(app.scopes, requests, strict=True):
        assert scope == await alone(wire, request, **options)
    assert (client.context.stats.connections, client.context.stats.requests) == (1, len(requests))


FORWARDED = [
    [],
    [],
    [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-proto", b"https")],
    [],
    [(b"x-forwarded-for", b"198.51.100.2"), (b"x-forwarded-proto", b"https")],
    [(b"x-forwarded-for", b"198.51.100.3")],
    [],
    [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-proto", b"https")],
]


async def test_the_forwarded_peer_is_each_requests_own(wire):
    app = Recorder()

    def setup(context):
        context.admission.proxies = make_proxies(context.config)

    trusting = {"setup": setup, "forwarded_allow_ips": ("192.0.2.7",)}
    client = wire.connect(app, **trusting)
    for fields in FORWARDED:
        assert (await client.request(fields=fields).reply()).status == 200
    found = [(scope["client"][0], scope["scheme"]) for scope in app.scopes]
    assert found == [
        ("192.0.2.7", "http"),
        ("192.0.2.7", "http"),
        ("198.51.100.1", "https"),
        ("192.0.2.7", "http"),
        ("198.51.100.2", "https"),
        ("198.51.100.3", "http"),
        ("192.0.2.7", "http"),
        ("198.51.100.1", "https"),
    ]
    records = client.server.records
    assert [(record.client[0], record.scheme) for record in records] == found
    for scope, fields in zip(app.scopes, FORWARDED, strict=True):
        assert scope == await alone(wire, ("GET", "/", fields, b""), **trusting)


async def test_responses_do_not_mix(wire):
    async def app(scope, receive, send):
        path = scope["path"].encode()
        await send({**START, "status": 210 + len(path), "headers": [(b"x-path", path)]})
        if scope["path"].endswith("s"):
            await send({**LAST, "body": b"stream of ", "more_body": True})
        await send({**LAST, "body": path})

    client = wire.connect(app)
    for target in ("/", "/as", "/b", "/ccs", "/", "/dd"):
        stream = client.request(target=target)
        reply = await stream.reply()
        stem = b"stream of " if target.endswith("s") else b""
        assert (reply.body, reply.status) == (stem + target.encode(), 210 + len(target))
        assert reply.values(b"x-path") == [target.encode()]
        assert stream.record.target == target.encode()
        assert (stream.record.status, stream.record.sent) == (reply.status, len(reply.body))


async def test_bodies_do_not_mix(wire):
    async def app(scope, receive, send):
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        await send(START)
        await send({**LAST, "body": body})

    client = wire.connect(app)
    for size in (0, 1, 300_000, 0, 5):
        body = bytes([size % 251]) * size
        stream = client.request("POST", body=body)
        assert (await stream.reply()).body == body
        assert stream.record.received == size
    stream = client.request("POST", body=b"in ", end=False)
    stream.send_body(b"pieces", end=True)
    assert (await stream.reply()).body == b"in pieces"


async def test_a_body_that_was_not_read_is_not_the_next_ones(wire):
    received = []

    async def app(scope, receive, send):
        if scope["method"] == "GET":
            received.append(await receive())
        await send(START)
        await send(LAST)

    client = wire.connect(app)
    stream = client.request("POST", body=b"unread", end=False)
    assert (await stream.reply()).body == b"last"
    stream.send_body(b" still", end=True)
    assert (await client.request().reply()).body == b"last"
    assert received == [{"type": "http.request", "body": b"", "more_body": False}]


async def test_an_error_after_the_response_is_not_the_next_requests(wire, caplog):
    async def app(scope, receive, send):
        await send(START)
        await send(LAST)
        if scope["path"] == "/bug":
            raise LookupError("a bug")

    client = wire.connect(app)
    for target in ("/bug", "/", "/bug", "/"):
        stream = client.request(target=target)
        assert (await stream.reply()).body == b"last"
        assert stream.record.outcome == "ok"
        assert not stream.broken
    await until(lambda: len(caplog.records) == 2)
    assert all("GET /bug" in record.getMessage() for record in caplog.records)


async def test_on_disconnect_is_chosen_for_one_request_alone(wire):
    cancelled = []

    async def app(scope, receive, send):
        if scope["path"] == "/choose":
            scope["extensions"]["asgiserver.on_disconnect"] = {"mode": "cancel"}
            await send(START)
            await send(LAST)
            return
        try:
            await receive()
            await receive()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        ended.set()

    ended = asyncio.Event()
    client = wire.connect(app)
    await client.request(target="/choose").reply()
    client.request()
    await until(lambda: client.context.running)
    client.leave()
    async with asyncio.timeout(WAIT):
        await ended.wait()
    assert not cancelled


async def test_a_kept_connection_may_become_a_websocket(wire):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send(START)
            await send(LAST)
            return
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    scopes = []
    client = wire.connect(app)
    for _ in range(3):
        assert (await client.request(target="/page?a").reply()).status == 200
    assert (await client.websocket("/chat").handshake()).accepted
    (scope,) = scopes
    assert (scope["type"], scope["path"], scope["query_string"]) == ("websocket", "/chat", b"")
    assert "method" not in scope


async def test_an_idle_connection_closes_at_the_drain(wire):
    client = wire.connect(Recorder())
    await client.request().reply()
    client.drain()
    await client.closed()
    assert not client.broken
