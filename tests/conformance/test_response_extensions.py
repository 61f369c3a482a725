"""Extensions of the response (ASGI extensions): files and early hints, on every wire."""

import asyncio

import pytest
from fakes import until

from asgiserver.errors import ApplicationError

START = {"type": "http.response.start", "status": 200, "headers": []}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
LAST = {"type": "http.response.body", "body": b"last"}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
SMALL = b"0123456789"
LARGE = bytes(range(256)) * 1024  # 256 KiB: more than is read at once


@pytest.fixture(params=[SMALL, LARGE], ids=["small", "large"])
def content(request):
    return request.param


@pytest.fixture
def path(content, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(content)
    return str(file)


def sending(*messages):
    async def app(scope, receive, send):
        for message in messages:
            await send(dict(message))

    return app


def pathsend(path):
    return {"type": "http.response.pathsend", "path": path}


def zerocopysend(file, more=False, **where):
    return {"type": "http.response.zerocopysend", "file": file, "more_body": more, **where}


@pytest.mark.parametrize("pathsend", [False, True])
async def test_what_is_advertised(wire, pathsend):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await sending(START, LAST)(scope, receive, send)

    client = wire.connect(app, pathsend=pathsend)
    await client.request(fields=[(b"te", b"trailers")]).reply()
    await client.request().reply()
    names = {
        "asgiserver.on_disconnect",
        "asgiserver.shutdown",
        "http.response.early_hint",
        "http.response.zerocopysend",
    }
    if pathsend:
        names.add("http.response.pathsend")
    assert set(scopes[0]["extensions"]) == names | {"http.response.trailers"}
    assert set(scopes[1]["extensions"]) - {"http.response.trailers"} == names


# Files by path.


@pytest.mark.parametrize("announced", [False, True])
async def test_pathsend(wire, path, content, announced):
    length = [(b"content-length", b"%d" % len(content))] if announced else []
    stream = wire.request(sending({**START, "headers": length}, pathsend(path)))
    reply = await stream.reply()
    assert (reply.status, reply.body, reply.complete) == (200, content, True)
    assert reply.value(b"content-length") == b"%d" % len(content)
    await until(lambda: stream.record is not None)
    assert (stream.record.sent, stream.record.outcome) == (len(content), "ok")


async def test_pathsend_to_head_is_its_length_and_no_file(wire, path, content):
    reply = await wire.request(sending(START, pathsend(path)), "HEAD").reply()
    assert reply.value(b"content-length") == b"%d" % len(content)
    assert (reply.body, reply.rest) == (b"", b"")


@pytest.mark.parametrize("status", [204, 304])
async def test_pathsend_with_a_status_without_body(wire, path, status):
    reply = await wire.request(sending({**START, "status": status}, pathsend(path))).reply()
    assert (reply.status, reply.body, reply.rest) == (status, b"", b"")


async def test_pathsend_with_trailers(wire, path, content):
    app = sending({**START, "trailers": True}, pathsend(path), TRAILERS)
    reply = await wire.request(app, fields=[(b"te", b"trailers")]).reply()
    assert (reply.body, reply.complete) == (content, True)
    assert reply.trailers == [(b"x-sum", b"1")]


async def test_a_file_that_is_missing_lets_the_application_answer(wire, tmp_path):
    async def app(scope, receive, send):
        await send(START)
        try:
            await send(pathsend(str(tmp_path / "none")))
        except ApplicationError:
            await send({**START, "status": 404})
            await send(LAST)

    reply = await wire.request(app).reply()
    assert (reply.status, reply.body) == (404, b"last")


async def test_a_file_that_is_too_short_is_a_clean_500(wire, path, content, caplog):
    length = [(b"content-length", b"%d" % (len(content) + 1))]
    stream = wire.request(sending({**START, "headers": length}, pathsend(path)))
    assert (await stream.reply()).status == 500
    assert stream.record.outcome == "app_error"
    assert "Exception in ASGI application" in caplog.text


async def test_pathsend_is_the_whole_body(wire, path):
    errors = []

    async def app(scope, receive, send):
        await send(START)
        await send(PART)
        with pytest.raises(ApplicationError) as caught:
            await send(pathsend(path))
        errors.append(str(caught.value))
        await send(LAST)

    assert (await wire.request(app).reply()).body == b"partlast"
    assert errors == ["unexpected message 'http.response.pathsend' in state BODY"]


async def test_a_client_that_leaves_within_a_file_is_heard_of(wire, tmp_path, caplog):
    file = tmp_path / "huge"
    with file.open("wb") as writing:
        writing.truncate(16 << 20)
    raised = []

    async def app(scope, receive, send):
        await receive()
        await send(START)
        try:
            await send(pathsend(str(file)))
        except OSError as error:
            raised.append(error)
            raise

    stream = wire.request(app, end=False)
    stream.stall()
    stream.send_body(b"", end=True)
    await until(lambda: stream.writes)
    stream.leave()
    await until(lambda: raised)
    await until(lambda: not stream.context.running)
    assert stream.record.outcome == "client_gone"
    assert not caplog.records


# Parts of open files.


async def test_zerocopysend_among_body_events(wire, path, content):
    async def app(scope, receive, send):
        with open(path, "rb") as file:
            await send(START)
            await send(PART)
            await send(zerocopysend(file, more=True, offset=5, count=len(content) - 5))
            await send(PART)
            await send(zerocopysend(file, more=True, offset=1, count=2))
            await send(LAST)

    reply = await wire.request(app).reply()
    assert reply.complete
    assert reply.body == b"part" + content[5:] + b"part" + content[1:3] + b"last"


async def test_zerocopysend_without_offset_goes_on_where_the_file_stands(wire, path, content):
    async def app(scope, receive, send):
        with open(path, "rb") as file:
            file.read(2)
            await send(START)
            await send(zerocopysend(file, more=True, count=3))
            await send(zerocopysend(file))

    reply = await wire.request(app).reply()
    assert (reply.body, reply.complete) == (content[2:], True)


async def test_zerocopysend_beyond_the_end_is_a_clean_500(wire, path, content, caplog):
    async def app(scope, receive, send):
        with open(path, "rb") as file:
            await send(START)
            await send(zerocopysend(file, offset=len(content), count=1))

    assert (await wire.request(app).reply()).status == 500
    assert "ApplicationError" in caplog.text


async def test_zerocopysend_is_counted_against_the_content_length(wire, path, content, caplog):
    async def app(scope, receive, send):
        with open(path, "rb") as file:
            await send({**START, "headers": [(b"content-length", b"%d" % (len(content) + 1))]})
            await send(zerocopysend(file, more=True))
            await send({"type": "http.response.body", "body": b""})

    stream = wire.request(app)
    reply = await stream.reply()
    assert (reply.body, reply.complete) == (content, False)
    assert stream.broken
    assert "shorter than its Content-Length" in caplog.text


# Early hints.

LINKS = [b"</a.css>; rel=preload", b"</b.js>"]
HINT = {"type": "http.response.early_hint", "links": LINKS}


@pytest.mark.parametrize("order", ["before start", "after start"])
async def test_an_early_hint_comes_before_the_head(wire, order):
    first, second = (HINT, START) if order == "before start" else (START, HINT)
    stream = wire.request(sending(first, second, LAST))
    hint = await stream.reply()
    assert (hint.status, hint.fields) == (103, [(b"link", link) for link in LINKS])
    reply = await stream.reply()
    assert (reply.status, reply.body) == (200, b"last")
    assert not reply.values(b"link")
    assert (stream.record.status, stream.record.sent) == (200, 4)


async def test_early_hints_leave_at_once_and_more_than_once(wire):
    go = asyncio.Event()

    async def app(scope, receive, send):
        await send(HINT)
        await send({**HINT, "links": []})  # nothing to say: nothing is sent
        await send(HINT)
        await go.wait()
        await sending(START, LAST)(scope, receive, send)

    stream = wire.request(app)
    for _ in range(2):
        assert (await stream.reply()).status == 103
    assert stream.silent
    go.set()
    assert (await stream.reply()).status == 200


@pytest.mark.parametrize("link", ["text", b"a\r\nb: c", None], ids=repr)
async def test_a_wrong_link_is_a_clean_500(wire, link, caplog):
    assert (await wire.request(sending({**HINT, "links": [link]}, START)).reply()).status == 500
    assert len(caplog.records) == 1


async def test_no_early_hint_within_the_body(wire):
    async def app(scope, receive, send):
        await send(START)
        await send(PART)
        with pytest.raises(ApplicationError, match="early_hint' in state BODY"):
            await send(HINT)
        await send(LAST)

    assert (await wire.request(app).reply()).body == b"partlast"
