"""WSGI and ASGI 2 applications as ASGI 3, over a socket."""

import asyncio
import logging
import threading
from wsgiref.validate import validator

import httpx
import pytest

from asgiserver.asgi.older.interface import as_asgi3

BODY = b"0123456789" * 30_000


@pytest.fixture
async def client_of(serve):
    """``await client_of(app)`` is an `httpx.AsyncClient` of `app`, served as WSGI."""
    opened = []

    async def client_of(app, **options):
        server = await serve(app, **{"interface": "wsgi", **options})
        client = httpx.AsyncClient(base_url=server.addresses[0], trust_env=False)
        opened.append((client, server))
        return client

    yield client_of
    for client, server in opened:
        await client.aclose()
        await server.stop()  # not without waiting: threads cannot be cancelled


def answer(start_response, body, status="200 OK"):
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def test_passes_the_validator(client_of, capfd):
    @validator
    def app(environ, start_response):
        lines = b"".join(environ["wsgi.input"].readlines())
        environ["wsgi.errors"].write("said to the log\n")
        return answer(start_response, environ["REQUEST_METHOD"].encode() + b" " + lines)

    client = await client_of(app)
    assert (await client.get("/a%20b?c=d")).text == "GET "
    assert (await client.post("/", content=b"1\n2")).text == "POST 1\n2"
    assert (await client.head("/")).status_code == 200
    assert "said to the log" in capfd.readouterr().err


async def test_flask_passes_the_validator(client_of, caplog):
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)

    @app.post("/upload")
    def upload():
        file = flask.request.files["file"]
        return {"title": flask.request.form["title"], "size": len(file.read())}

    @app.get("/lines")
    def lines():
        return flask.Response((f"{n}\n" for n in range(3)), mimetype="text/plain")

    client = await client_of(validator(app))
    reply = await client.post("/upload", data={"title": "Big"}, files={"file": ("f", BODY)})
    assert reply.json() == {"title": "Big", "size": len(BODY)}
    assert (await client.get("/lines")).text == "0\n1\n2\n"
    assert (await client.head("/lines")).status_code == 200
    assert (await client.get("/nowhere")).status_code == 404
    assert "AssertionError" not in caplog.text


async def test_the_environ(client_of):
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        return answer(start_response, b"")

    client = await client_of(app, root_path="/shop")
    await client.get("/caf%C3%A9?q=%20")
    assert seen["REQUEST_METHOD"] == "GET"
    assert seen["SCRIPT_NAME"] == "/shop"
    assert seen["PATH_INFO"] == "/caf\xc3\xa9"  # UTF-8 as Latin-1, so PEP 3333
    assert seen["QUERY_STRING"] == "q=%20"
    assert seen["REQUEST_URI"].endswith("/caf%C3%A9?q=%20")
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert not [key for key in seen if key.startswith("asgiserver.")]


@pytest.mark.parametrize("underscore", ["drop", "keep"])
async def test_ambiguous_fields(client_of, underscore):
    """A client cannot be taken for what a proxy says, whatever ASGI applications get to see."""
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        return answer(start_response, b"")

    client = await client_of(app, header_underscore=underscore)
    fields = [
        ("x_forwarded_user", "root"),
        ("x-forwarded-user", "ann"),
        ("x_forwarded-user", "root"),
        ("x_only", "root"),
        ("proxy", "evil:80"),
    ]
    await client.get("/", headers=fields)
    assert seen["HTTP_X_FORWARDED_USER"] == "ann"
    assert "HTTP_X_ONLY" not in seen
    assert "HTTP_PROXY" not in seen


async def test_several_lines_of_cookies_are_one(client_of):
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        return answer(start_response, b"")

    client = await client_of(app)
    fields = [("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2; c=3"), ("x-a", "2")]
    await client.get("/", headers=fields)
    assert seen["HTTP_COOKIE"] == "a=1; b=2; c=3"
    assert seen["HTTP_X_A"] == "1,2"


@pytest.mark.parametrize("chunked", [False, True])
async def test_input_is_a_file(client_of, chunked):
    def app(environ, start_response):
        stream = environ["wsgi.input"]
        got = [stream.readline(), stream.readline(3), stream.read(2), *stream]
        assert stream.read() == b""
        assert environ["wsgi.input_terminated"]
        return answer(start_response, repr(got).encode())

    async def parts():
        yield b"on"
        yield b"e\ntwo\nthree\n"
        yield b"end"

    client = await client_of(app)
    content = parts() if chunked else b"one\ntwo\nthree\nend"
    response = await client.post("/", content=content)
    assert response.text == repr([b"one\n", b"two", b"\nt", b"hree\n", b"end"])


async def test_long_bodies_stream_both_ways(client_of):
    def app(environ, start_response):
        start_response("200 OK", [])

        def echo():
            while data := environ["wsgi.input"].read(1000):
                yield data

        return echo()

    client = await client_of(app)
    assert (await client.post("/", content=BODY)).content == BODY


async def test_a_part_leaves_before_the_next_is_made(client_of):
    go_on = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"first"
        assert go_on.wait(10)
        yield b"second"

    client = await client_of(app)
    async with client.stream("GET", "/") as response:
        parts = response.aiter_bytes()
        assert await anext(parts) == b"first"
        go_on.set()
        assert await anext(parts) == b"second"


async def test_one_that_blocks_does_not_stop_the_loop(client_of):
    go_on = threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            assert go_on.wait(10)
        return answer(start_response, environ["PATH_INFO"].encode())

    client = await client_of(app, wsgi_threads=2)
    slow = asyncio.ensure_future(client.get("/slow"))
    assert (await client.get("/quick")).text == "/quick"
    assert not slow.done()
    go_on.set()
    assert (await slow).text == "/slow"


async def test_a_failure_replaces_the_head(client_of):
    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            raise ValueError("bad")
        except ValueError as error:
            start_response("500 Oops", [("x-why", "bad")], (type(error), error, None))
        yield b"failed"

    response = await (await client_of(app)).get("/")
    assert (response.status_code, response.text) == (500, "failed")
    assert response.headers["x-why"] == "bad"


async def test_a_failure_after_the_head_aborts(client_of, caplog):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"begun"
        try:
            raise ValueError("bad in the middle")
        except ValueError as error:
            start_response("500 Oops", [], (type(error), error, error.__traceback__))

    client = await client_of(app)
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/")
    assert "bad in the middle" in caplog.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [(None, "did not call start_response"), ([("x-bad", "a\nb")], "x-bad")],
)
async def test_a_mistake_is_a_500(client_of, caplog, fields, said):
    def app(environ, start_response):
        if fields is not None:
            start_response("200 OK", fields)
        yield from [b"part"] * 50

    assert (await (await client_of(app)).get("/")).status_code == 500
    assert said in caplog.text


async def test_write(client_of):
    def app(environ, start_response):
        write = start_response("201 Created", [])
        write(b"written, ")
        return [b"returned"]

    response = await (await client_of(app)).get("/")
    assert (response.status_code, response.text) == (201, "written, returned")


async def test_a_client_that_leaves_ends_an_endless_response(client_of, caplog):
    closed = threading.Event()

    class Endless:
        def __iter__(self):
            while True:
                yield b"x" * 10_000

        def close(self):
            closed.set()

    def app(environ, start_response):
        start_response("200 OK", [])
        return Endless()

    client = await client_of(app, wsgi_threads=1)
    for _ in range(3):  # each would keep the one thread
        closed.clear()
        async with client.stream("GET", "/") as response:
            await anext(response.aiter_raw())
        assert await asyncio.to_thread(closed.wait, 10)
    assert "ERROR" not in [record.levelname for record in caplog.records]


async def test_a_client_that_leaves_while_it_uploads(serve, dial):
    failed = []
    ended = threading.Event()

    def app(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            failed.append(error)
            raise
        finally:
            ended.set()
        return answer(start_response, b"")

    server = await serve(app, interface="wsgi")
    client = await dial(server)
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
    await client.close()
    assert await asyncio.to_thread(ended.wait, 10)
    assert failed, "the half body must not pass for the whole"
    await server.stop()


async def test_auto_says_what_it_chose(caplog, client_of):
    caplog.set_level(logging.INFO, "asgiserver")

    def app(environ, start_response):
        return answer(start_response, b"it is WSGI")

    client = await client_of(app, interface="auto", lifespan="auto")
    assert (await client.get("/")).text == "it is WSGI"
    assert "The application is served as WSGI" in caplog.text


class Double:
    """ASGI 2: called with the scope, it gives what is awaited."""

    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        if self.scope["type"] == "lifespan":
            self.scope["state"]["name"] = "double"
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.scope["state"]["name"].encode()})


def double(scope):
    return Double(scope)


@pytest.mark.parametrize("app", [Double, double])
@pytest.mark.parametrize("interface", ["auto", "asgi2"])
async def test_asgi2(caplog, client_of, app, interface):
    caplog.set_level(logging.INFO, "asgiserver")
    client = await client_of(app, interface=interface, lifespan="on")
    assert (await client.get("/")).text == "double"
    assert ("served as ASGI2" in caplog.text) == (interface == "auto")


def test_asgi3_stays_what_it_is():
    assert as_asgi3(double, "asgi3", 1) is double
