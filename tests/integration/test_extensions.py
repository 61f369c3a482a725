"""The HTTP extensions over real sockets, on both event loops: files, hints, trailers, leaving."""

from __future__ import annotations

import asyncio
import copy
import errno
import hashlib
import json
import os
import pickle
import ssl
from typing import Any

import httpx
import pytest
from fakes import WAIT, until
from pki import Authority
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from websockets.asyncio.client import connect as connect_websocket

from asgiserver.errors import ApplicationError, ClientDisconnected

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

START = {"type": "http.response.start", "status": 200, "headers": []}
CONTENT = os.urandom(1 << 20) * 8  # more than the kernel takes at once


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "large.bin"
    path.write_bytes(CONTENT)
    return str(path)


@pytest.fixture(scope="module")
def ca():
    return Authority()


@pytest.fixture
def sendfile_calls(monkeypatch):
    real, calls = os.sendfile, []

    def sendfile(out, fd, offset, count):
        calls.append((offset, count))
        return real(out, fd, offset, count)

    monkeypatch.setattr("asgiserver.wire.sendfile.os.sendfile", sendfile)
    return calls


@pytest.fixture
def tls(ca, tmp_path):
    crt, key = ca.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    return {"ssl_certfile": crt, "ssl_keyfile": key}


def client(server, ca=None):
    verify = ssl.create_default_context(cadata=ca.pem) if ca else True
    return httpx.AsyncClient(base_url=server.addresses[0], verify=verify, trust_env=False)


def digest(data):
    return hashlib.sha256(data).hexdigest()


async def reply_of(peer, content):
    """The next response; what belongs to `content` is not parsed again with each read."""
    data = bytearray(peer.received)
    async with asyncio.timeout(WAIT):
        while len(data) < len(content):
            part = await peer._reader.read(1 << 20)
            if not part:
                break
            data += part
    peer.received = bytes(data)
    return await peer.reply()


class Files:
    """Sends a file in the ways there are; keeps the scopes and what `send` raised."""

    def __init__(self, file):
        self.file = file
        self.scopes = []
        self.raised = asyncio.Queue()
        self.sending = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        self.sending.set()
        try:
            await getattr(self, scope["path"].strip("/"))(send)
        except BaseException as error:
            self.raised.put_nowait(error)
            raise

    async def path(self, send):
        await send(START)
        await send({"type": "http.response.pathsend", "path": self.file})

    async def mixed(self, send):
        part = {"type": "http.response.zerocopysend", "more_body": True}
        with open(self.file, "rb") as file:
            await send(START)
            await send({"type": "http.response.body", "body": b"<" * 9, "more_body": True})
            await send({**part, "file": file, "offset": 7, "count": 6_000_000})
            await send({**part, "file": file, "offset": 0, "count": 10})
            await send({"type": "http.response.body", "body": b"-", "more_body": True})
            await send({**part, "file": file, "offset": 100})
            await send({"type": "http.response.body", "body": b">"})

    async def small(self, send):
        with open(self.file, "rb") as file:
            await send(START)
            event = {"type": "http.response.zerocopysend", "file": file, "offset": 5, "count": 1000}
            await send(event)


MIXED = b"<" * 9 + CONTENT[7:6_000_007] + CONTENT[:10] + b"-" + CONTENT[100:] + b">"


class TestFiles:
    async def test_by_the_kernel(self, serve, file, sendfile_calls, duplicates):
        app = Files(file)
        server = await serve(app, pathsend=True)
        async with client(server) as http:
            for _ in range(2):
                reply = await http.get("/path")
                assert reply.headers["content-length"] == str(len(CONTENT))
                assert digest(reply.content) == digest(CONTENT)
            reply = await http.get("/mixed")
            assert reply.headers["transfer-encoding"] == "chunked"
            assert digest(reply.content) == digest(MIXED)
            large = len(sendfile_calls)
            assert large
            assert (await http.get("/small")).content == CONTENT[5:1005]
            assert len(sendfile_calls) == large  # as cheap as a body
        assert server.context.stats.connections == 1

    @pytest.mark.parametrize("transport", ["auto", "loop"])
    async def test_under_tls(self, serve, file, ca, tls, sendfile_calls, transport):
        server = await serve(Files(file), tls_transport=transport, **tls)
        async with client(server, ca) as http:
            assert digest((await http.get("/path")).content) == digest(CONTENT)
            assert digest((await http.get("/mixed")).content) == digest(MIXED)
            assert (await http.get("/small")).content == CONTENT[5:1005]
        assert not sendfile_calls
        assert server.context.stats.connections == 1

    async def test_on_a_unix_socket(self, serve, dial, file, tmp_path, sendfile_calls):
        server = await serve(Files(file), uds=str(tmp_path / "s"))
        peer = await dial(server, address=f"unix:{tmp_path / 's'}")
        await peer.get(b"/path")
        assert digest((await reply_of(peer, CONTENT)).body) == digest(CONTENT)
        assert sendfile_calls

    @pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS])
    async def test_where_the_kernel_cannot(self, serve, file, monkeypatch, code):
        def sendfile(out, fd, offset, count):
            raise OSError(code, "not here")

        monkeypatch.setattr("asgiserver.wire.sendfile.os.sendfile", sendfile)
        server = await serve(Files(file))
        async with client(server) as http:
            assert digest((await http.get("/path")).content) == digest(CONTENT)
            assert digest((await http.get("/mixed")).content) == digest(MIXED)

    async def test_pipelined(self, serve, dial, file):
        server = await serve(Files(file))
        peer = await dial(server)
        await peer.send(b"GET /small HTTP/1.1\r\nhost: a\r\n\r\n" * 3)
        await peer.get(b"/path")
        await peer.get(b"/mixed")
        for expected in [CONTENT[5:1005]] * 3 + [CONTENT, MIXED]:
            assert digest((await reply_of(peer, expected)).body) == digest(expected)

    async def test_to_http_1_0(self, serve, dial, file):
        app = Files(file)
        server = await serve(app, pathsend=True)
        peer = await dial(server)
        await peer.get(b"/mixed", version=b"1.0")
        await peer.ended()
        assert digest(peer.received.partition(b"\r\n\r\n")[2]) == digest(MIXED)
        extensions = app.scopes[0]["extensions"]
        assert {"http.response.pathsend", "http.response.zerocopysend"} <= extensions.keys()
        assert not {"http.response.early_hint", "http.response.trailers"} & extensions.keys()


class StuckFiles(Files):
    """With what a test wants to know of the server and of the client that does not read."""

    server: Any
    records: list[Any]
    peer: Any
    connection: Any
    expected: bytes
    duplicates: Any


class TestSlowAndGone:
    """A client that does not read what the kernel has for it."""

    @pytest.fixture(params=["/path", "/mixed"])
    async def stuck(self, request, serve, dial, file, duplicates):
        app = StuckFiles(file)
        app.server = await serve(app, timeout_graceful_shutdown=0.5)
        app.records = []
        app.server.context.access = app.records.append
        app.peer = await dial(app.server, read_buffer=65536)
        await app.peer.get(request.param.encode())
        await until(lambda: duplicates)
        (app.connection,) = app.server.context.connections
        await until(lambda: app.connection.output.write_paused)
        app.expected = CONTENT if request.param == "/path" else MIXED
        app.duplicates = duplicates
        return app

    async def test_reads_after_all(self, stuck):
        assert stuck.connection.deadline < stuck.server.context.clock.now + 61
        reply = await reply_of(stuck.peer, stuck.expected)
        assert digest(reply.body) == digest(stuck.expected)
        await stuck.peer.get(b"/small")
        assert (await stuck.peer.reply()).body == CONTENT[5:1005]
        assert stuck.raised.empty()

    async def test_leaves(self, stuck, caplog):
        stuck.peer.reset()
        assert isinstance(await stuck.raised.get(), ClientDisconnected)
        await until(lambda: stuck.records)
        assert stuck.records[0].outcome == "client_gone"
        assert "Exception" not in caplog.text

    async def test_never_reads(self, stuck):
        stuck.connection.on_deadline(stuck.connection.deadline)
        assert isinstance(await stuck.raised.get(), ClientDisconnected)
        assert stuck.records[0].outcome == "timeout"
        await until(lambda: not stuck.server.context.connections)

    async def test_is_cut_at_shutdown(self, stuck, caplog):
        await stuck.server.stop(timeout=0)
        assert isinstance(stuck.raised.get_nowait(), asyncio.CancelledError)
        assert "Cancelled at shutdown: GET /" in caplog.text
        assert not (await reply_of(stuck.peer, CONTENT)).complete

    async def test_is_cancelled_by_the_application(self, stuck):
        (session,) = stuck.server.context.running.values()
        session.cancel("timeout")
        assert isinstance(await stuck.raised.get(), asyncio.CancelledError)
        await until(lambda: not stuck.server.context.connections)
        assert stuck.records[0].outcome == "timeout"

    async def test_finds_the_file_shorter(self, stuck, file, caplog):
        try:
            os.truncate(file, 100)
            reply = await reply_of(stuck.peer, CONTENT)
        finally:
            with open(file, "wb") as restored:
                restored.write(CONTENT)
        assert not reply.complete
        error = await stuck.raised.get()
        assert isinstance(error, ApplicationError)
        assert "shorter" in str(error)
        assert stuck.records[0].outcome == "app_error"


class TestStarlette:
    @pytest.fixture
    def app(self, file, tmp_path):
        (tmp_path / "static").mkdir()
        (tmp_path / "static/page.html").write_text("<p>page</p>")
        self.ended = asyncio.Event()

        async def download(request):
            return FileResponse(file, background=BackgroundTask(self.ended.set))

        async def missing(request):
            return FileResponse(tmp_path / "none")

        async def early(request):
            await request.send_early_hints("</a.css>; rel=preload")
            return PlainTextResponse("late")

        async def vanishing(request):
            path = tmp_path / "soon-gone"
            path.write_text("x")
            response = FileResponse(path, stat_result=path.stat())
            path.unlink()
            return response

        starlette = Starlette(
            routes=[
                Route("/download", download),
                Route("/missing", missing),
                Route("/vanishing", vanishing),
                Route("/early", early),
                Mount("/static", StaticFiles(directory=tmp_path / "static")),
            ]
        )
        self.sent = sent = []

        async def watched(scope, receive, send):
            async def record(message):
                sent.append(message["type"])
                await send(message)

            await starlette(scope, receive, record)

        return watched

    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    async def test_files_go_by_pathsend(self, serve, app, ca, tls, secure):
        server = await serve(app, pathsend=True, **(tls if secure else {}))
        async with client(server, ca if secure else None) as http:
            assert digest((await http.get("/download")).content) == digest(CONTENT)
            await asyncio.wait_for(self.ended.wait(), WAIT)
            page = await http.get("/static/page.html")
            assert page.text == "<p>page</p>"
            assert self.sent == ["http.response.start", "http.response.pathsend"] * 2
            again = await http.get(
                "/static/page.html", headers={"if-none-match": page.headers["etag"]}
            )
            assert again.status_code == 304
            part = await http.get("/download", headers={"range": "bytes=5-9"})
            assert (part.status_code, part.content) == (206, CONTENT[5:10])
            head = await http.head("/download")
            assert head.headers["content-length"] == str(len(CONTENT))
        assert server.context.stats.connections == 1

    async def test_by_default_middleware_sees_bodies(self, serve, app, file):
        async def holding(scope, receive, send):
            """As middleware that compresses: the start waits for the first part of the body."""
            held = []

            async def hold(message):
                if message["type"] == "http.response.start":
                    held.append(message)
                elif message["type"] == "http.response.body":
                    for event in (*held, message):
                        await send(event)
                    held.clear()

            await app(scope, receive, hold)

        server = await serve(holding)
        async with client(server) as http:
            assert digest((await http.get("/download")).content) == digest(CONTENT)
            assert (await http.get("/static/page.html")).text == "<p>page</p>"
        await until(lambda: not server.context.running)  # the files are closed

    async def test_by_default_files_are_compressed(self, serve, app):
        server = await serve(GZipMiddleware(app, minimum_size=1))
        async with client(server) as http:
            page = await http.get("/static/page.html")
            assert page.headers["content-encoding"] == "gzip"
            assert page.text == "<p>page</p>"
        await until(lambda: not server.context.running)

    @pytest.mark.parametrize("pathsend", [False, True])
    @pytest.mark.parametrize("path", ["/missing", "/vanishing"])
    async def test_a_missing_file_is_an_error_page(self, serve, app, path, pathsend, caplog):
        server = await serve(app, pathsend=pathsend)
        async with client(server) as http:
            assert (await http.get(path)).status_code == 500
            assert (await http.get("/early")).text == "late"
        assert "Exception in ASGI application" in caplog.text

    async def test_early_hints(self, serve, dial, app):
        peer = await dial(await serve(app))
        await peer.get(b"/early")
        hint = await peer.reply()
        assert (hint.status, hint.fields) == (103, [(b"link", b"</a.css>; rel=preload")])
        assert (await peer.reply()).body == b"late"


@pytest.mark.parametrize("wanted", [True, False])
async def test_trailers_when_the_client_takes_them(serve, dial, wanted):
    async def app(scope, receive, send):
        assert ("http.response.trailers" in scope["extensions"]) == wanted
        await send({**START, "headers": [(b"trailer", b"x-sum")], "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
        await send(trailers)

    peer = await dial(await serve(app))
    await peer.get(fields=b"te: trailers\r\nconnection: te\r\n" if wanted else b"")
    await peer.read_until(b"0\r\n")
    end = b"0\r\nx-sum: 1\r\n\r\n" if wanted else b"0\r\n\r\n"
    await peer.read_until(end)
    await peer.reply()


@pytest.mark.parametrize("pathsend", [False, True])
async def test_what_is_advertised(serve, dial, pathsend):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await send(START)
        await send({"type": "http.response.body"})

    peer = await dial(await serve(app, **({"pathsend": True} if pathsend else {})))
    await peer.get()
    await peer.reply()
    expected = {
        "asgiserver.on_disconnect",
        "asgiserver.shutdown",
        "http.response.early_hint",
        "http.response.zerocopysend",
    }
    if pathsend:
        expected.add("http.response.pathsend")
    assert scopes[0]["extensions"].keys() == expected


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_extensions_are_plain_json(serve, ca, tls, secure):
    """Programs dump their scopes; what is in the extensions is data all the way down."""
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
        else:
            await send(START)
            await send({"type": "http.response.body"})

    server = await serve(app, pathsend=True, **(tls if secure else {}))
    async with client(server, ca if secure else None) as http:
        await http.get("/", headers={"te": "trailers", "connection": "te"})
    context = ssl.create_default_context(cadata=ca.pem) if secure else None
    address = server.addresses[0].replace("http", "ws")
    async with connect_websocket(address, ssl=context, proxy=None) as websocket:
        await websocket.wait_closed()
    by_type = {scope["type"]: scope["extensions"] for scope in scopes}
    both = {"asgiserver.shutdown"} | ({"tls"} if secure else set())
    assert by_type["http"].keys() == both | {
        "asgiserver.on_disconnect",
        "http.response.early_hint",
        "http.response.pathsend",
        "http.response.trailers",
        "http.response.zerocopysend",
    }
    assert by_type["websocket"].keys() == both | {"websocket.http.response"}
    for extensions in by_type.values():
        dumped = json.loads(json.dumps(extensions))
        assert dumped == {
            name: json.loads(json.dumps(dict(value))) for name, value in extensions.items()
        }
        assert dumped["asgiserver.shutdown"] == {}
        assert pickle.loads(pickle.dumps(extensions)) == extensions
        if secure:
            assert dumped["tls"]["server_cert"].startswith("-----BEGIN CERTIFICATE")
    assert by_type["http"]["asgiserver.on_disconnect"] == {"mode": "notify"}


@pytest.mark.parametrize("copied", [lambda scope: scope, dict, copy.copy, copy.deepcopy])
async def test_shutdown_is_found_by_its_names_in_copies_too(serve, dial, copied):
    told = asyncio.Queue()

    async def app(scope, receive, send):
        stopping = copied(scope)["extensions"]["asgiserver.shutdown"]
        assert "wait" in stopping
        assert stopping.get("is_set")() is False
        assert stopping.get("other") is None
        with pytest.raises(KeyError):
            stopping["other"]
        with pytest.raises(TypeError, match="put a new dict"):
            stopping["other"] = 1
        await send(START)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await stopping["wait"]()
        told.put_nowait(stopping["is_set"]())

    server = await serve(app)
    peer = await dial(server)
    await peer.get()
    await peer.read_until(b"x")
    stopping = asyncio.create_task(server.stop(timeout=WAIT))
    assert await asyncio.wait_for(told.get(), WAIT) is True
    await stopping


class TestOnDisconnect:
    """``--on-disconnect``, and the same for one request."""

    class App:
        """Waits within its response, or after it."""

        def __init__(self, mode=None, *, complete=False, **given):
            self.given = given if mode is None else {"value": {"mode": mode}}
            self.complete = complete
            self.waiting = asyncio.Event()
            self.go = asyncio.Event()
            self.end = asyncio.Queue()

        async def __call__(self, scope, receive, send):
            for value in self.given.values():
                scope["extensions"]["asgiserver.on_disconnect"] = value
            assert (await receive())["type"] == "http.request"
            await send(START)
            await send({"type": "http.response.body", "body": b"x", "more_body": not self.complete})
            try:
                self.waiting.set()
                await self.go.wait()
            except asyncio.CancelledError:
                self.end.put_nowait("cancelled")
                raise
            self.end.put_nowait((await receive())["type"])

    async def end_of(self, app, serve, dial, **options):
        server = await serve(app, **options)
        records = []
        server.context.access = records.append
        peer = await dial(server)
        await peer.get()
        await asyncio.wait_for(app.waiting.wait(), WAIT)
        await peer.read_until(b"x")
        peer.reset()
        await until(lambda: not server.context.connections)
        if app.end.empty():
            app.go.set()
        end = await asyncio.wait_for(app.end.get(), WAIT)
        await until(lambda: not server.context.running)
        assert records[0].outcome == ("ok" if app.complete else "client_gone")
        assert len(records) == 1
        return end

    @pytest.mark.parametrize(
        ("option", "mode", "expected"),
        [
            ("notify", None, "http.disconnect"),
            ("cancel", None, "cancelled"),
            ("notify", "cancel", "cancelled"),
            ("cancel", "notify", "http.disconnect"),
        ],
    )
    async def test_within_the_response(self, serve, dial, option, mode, expected, caplog):
        app = self.App(mode)
        assert await self.end_of(app, serve, dial, on_disconnect=option) == expected
        assert "Exception" not in caplog.text

    async def test_after_the_response_nothing_is_cancelled(self, serve, dial):
        app = self.App(complete=True)
        end = await self.end_of(app, serve, dial, on_disconnect="cancel")
        assert end == "http.disconnect"

    async def test_one_request_does_not_change_the_next(self, serve, dial):
        modes = []

        async def app(scope, receive, send):
            modes.append(scope["extensions"]["asgiserver.on_disconnect"]["mode"])
            scope["extensions"]["asgiserver.on_disconnect"] = {"mode": "cancel"}
            await send(START)
            await send({"type": "http.response.body"})

        peer = await dial(await serve(app))
        for _ in range(2):
            await peer.get()
            await peer.reply()
        assert modes == ["notify", "notify"]

    @pytest.mark.parametrize("value", ["notify", None, {}, {"mode": "stop"}])
    async def test_what_is_no_mode_leaves_the_option(self, serve, dial, value, caplog):
        app = self.App(value=value)
        assert await self.end_of(app, serve, dial, on_disconnect="cancel") == "cancelled"
        assert "Exception" not in caplog.text
