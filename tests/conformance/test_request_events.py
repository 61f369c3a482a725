"""`receive`, disconnects and errors (ASGI www 2.5), on every wire."""

import asyncio
from time import perf_counter

import pytest
from fakes import WAIT, turns, until

from asgiserver.errors import ClientDisconnected

START = {"type": "http.response.start", "status": 200}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
LAST = {"type": "http.response.body", "body": b"last"}


async def answer(send, body=b"last"):
    await send(START)
    await send({**LAST, "body": body})


async def echo(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        assert type(message["body"]) is bytes
        assert type(message["more_body"]) is bool
        body += message["body"]
        if not message["more_body"]:
            break
    await answer(send, body)


@pytest.mark.parametrize("body", [b"", b"x", bytes(300_000)], ids=len)
async def test_body_comes_whole(wire, body):
    assert (await wire.request(echo, "POST", body=body).reply()).body == body


async def test_body_is_streamed_as_it_comes(wire):
    seen = []

    async def app(scope, receive, send):
        while True:
            message = await receive()
            seen.append((message["body"], message["more_body"]))
            if not message["more_body"]:
                break
        await answer(send)

    stream = wire.request(app, "POST", end=False)
    await turns()
    assert seen == []
    for number in (1, 2):
        stream.send_body(b"%d" % number)
        await until(lambda number=number: len(seen) == number)
    stream.send_body(b"", end=True)
    await stream.reply()
    assert seen == [(b"1", True), (b"2", True), (b"", False)]


async def test_a_small_body_comes_in_one_event(wire):
    seen = []

    async def app(scope, receive, send):
        seen.append(await receive())
        await answer(send)

    await wire.request(app, "POST", body=b"all of it").reply()
    assert seen == [{"type": "http.request", "body": b"all of it", "more_body": False}]


async def test_no_body_is_one_empty_event_then_disconnect_after_the_response(wire):
    seen = []

    async def app(scope, receive, send):
        seen.append(await receive())
        waiting = asyncio.create_task(receive())
        await turns()
        assert not waiting.done()
        await answer(send)
        seen.append(await waiting)
        seen.append(await receive())

    stream = wire.request(app)
    await stream.reply()
    await until(lambda: len(seen) == 3)
    assert seen[0] == {"type": "http.request", "body": b"", "more_body": False}
    assert seen[1:] == [{"type": "http.disconnect"}] * 2


async def test_several_tasks_may_wait(wire):
    async def app(scope, receive, send):
        await receive()
        waiting = [asyncio.create_task(receive()) for _ in range(3)]
        await turns()
        await answer(send)
        assert [message["type"] for message in await asyncio.gather(*waiting)] == [
            "http.disconnect"
        ] * 3
        ended.set()

    ended = asyncio.Event()
    await wire.request(app).reply()
    async with asyncio.timeout(WAIT):
        await ended.wait()


async def test_a_cancelled_receive_loses_nothing(wire):
    async def app(scope, receive, send):
        waiting = asyncio.create_task(receive())
        await turns()
        waiting.cancel()
        await turns()
        ready.set()
        await echo(scope, receive, send)

    ready = asyncio.Event()
    stream = wire.request(app, "POST", end=False)
    await ready.wait()
    stream.send_body(b"kept", end=True)
    assert (await stream.reply()).body == b"kept"


async def test_an_unread_body_does_not_hinder_the_answer(wire):
    async def app(scope, receive, send):
        await answer(send)

    stream = wire.request(app, "POST", body=bytes(200_000))
    assert (await stream.reply()).body == b"last"


async def test_what_is_buffered_is_bounded(wire):
    go = asyncio.Event()

    async def app(scope, receive, send):
        await go.wait()
        await echo(scope, receive, send)

    stream = wire.request(app, "POST", end=False)
    await turns()
    (session,) = stream.context.running.values()
    for _ in range(64):
        stream.send_body(bytes(16384))
    stream.send_body(b"", end=True)
    await turns()
    assert session.buffered <= 65536 + 16384
    go.set()
    assert len((await stream.reply()).body) == 64 * 16384


async def test_client_leaves_within_the_body(wire, caplog):
    seen = []

    async def app(scope, receive, send):
        while True:
            seen.append((await receive())["type"])
            if seen[-1] == "http.disconnect":
                return

    stream = wire.request(app, "POST", body=b"1", end=False)
    await until(lambda: len(seen) == 1)
    stream.leave()
    await until(lambda: stream.record is not None)
    await turns()
    assert seen == ["http.request", "http.disconnect"]
    assert (stream.record.status, stream.record.outcome) == (499, "client_gone")
    assert not caplog.records


class ClientDisconnect(Exception):
    """As Starlette names it."""


def starlette_style(error):
    try:
        raise ClientDisconnect from error
    except ClientDisconnect as wrapped:
        return wrapped


def caused(error):
    try:
        raise RuntimeError("while streaming") from error
    except RuntimeError as wrapped:
        return wrapped


WRAPPERS = {
    "itself": lambda error: error,
    "starlette": starlette_style,
    "cause": caused,
    "group": lambda error: ExceptionGroup("tasks", [error]),
    "nested": lambda error: ExceptionGroup(
        "outer", [ExceptionGroup("inner", [starlette_style(error)]), error]
    ),
    "no error of ours": lambda error: ClientDisconnect(),
}


@pytest.mark.parametrize("wrap", WRAPPERS)
async def test_a_disconnect_is_never_logged(wire, wrap, caplog):
    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        await send(START)
        await send(PART)
        stream.leave()
        while True:
            try:
                await send(PART)
                await asyncio.sleep(0)
            except ClientDisconnected as error:
                raise WRAPPERS[wrap](error) from None

    stream = wire.request(app, end=False)
    stream.send_body(b"", end=True)
    await until(lambda: stream.record is not None)
    await until(lambda: not stream.context.running)
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]
    assert stream.record.outcome == "client_gone"


async def test_a_bug_is_logged_though_the_client_left(wire, caplog):
    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        stream.leave()
        await receive()
        raise ExceptionGroup("tasks", [ClientDisconnected("x"), LookupError("a bug")])

    stream = wire.request(app, end=False)
    stream.send_body(b"", end=True)
    await until(lambda: caplog.records)
    assert "a bug" in caplog.text
    assert stream.record.outcome == "client_gone"


async def test_a_disconnect_that_did_not_happen_is_a_bug(wire, caplog):
    async def app(scope, receive, send):
        raise ClientDisconnected("no")

    assert (await wire.request(app).reply()).status == 500
    assert len(caplog.records) == 1


class Stop(BaseException):
    """As some libraries end things."""


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        asyncio.CancelledError("by itself"),
        Stop(),
        BaseExceptionGroup("tasks", [Stop()]),
        StopIteration(),
    ],
    ids=repr,
)
async def test_whatever_is_raised_is_a_500(wire, error, caplog):
    async def app(scope, receive, send):
        raise error

    stream = wire.request(app)
    assert (await stream.reply()).status == 500
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert stream.record.outcome == "app_error"


@pytest.mark.parametrize(("reason", "status"), [("timeout", 504), ("shutdown", 503)])
@pytest.mark.parametrize("begun", [False, True])
async def test_cancelled_by_the_server(wire, reason, status, begun, caplog):
    cancelled = []

    async def app(scope, receive, send):
        if begun:
            await send(START)
            await send(PART)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    stream = wire.request(app)
    await turns()
    (session,) = stream.context.running.values()
    session.cancel(reason)
    reply = await stream.reply()
    assert cancelled
    assert stream.record.outcome == reason
    if begun:
        assert not reply.complete
        assert (stream.broken, stream.record.status) == (True, 200)
    else:
        assert (reply.status, stream.record.status) == (status, status)
    logged = ["WARNING"] if reason == "timeout" else []
    assert [record.levelname for record in caplog.records] == logged


async def test_on_disconnect_cancel(wire, caplog):
    cancelled = asyncio.Event()

    async def app(scope, receive, send):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    stream = wire.request(app, on_disconnect="cancel")
    await turns()
    stream.leave()
    async with asyncio.timeout(WAIT):
        await cancelled.wait()
    assert (stream.record.status, stream.record.outcome) == (499, "client_gone")
    assert not caplog.records


async def test_on_disconnect_cancel_spares_work_after_the_response(wire):
    done = asyncio.Event()
    go = asyncio.Event()

    async def app(scope, receive, send):
        await answer(send)
        await go.wait()
        done.set()

    stream = wire.request(app, on_disconnect="cancel")
    await stream.reply()
    stream.leave()
    await turns()
    go.set()
    async with asyncio.timeout(WAIT):
        await done.wait()


async def test_work_goes_on_by_default_when_the_client_leaves(wire):
    done = asyncio.Event()
    go = asyncio.Event()

    async def app(scope, receive, send):
        await go.wait()
        done.set()

    stream = wire.request(app)
    await turns()
    stream.leave()
    await turns()
    go.set()
    async with asyncio.timeout(WAIT):
        await done.wait()


@pytest.mark.parametrize("before", [[START], [START, PART]], ids=["HEAD", "BODY"])
async def test_a_stream_hears_of_the_shutdown(wire, before, caplog):
    heard = []

    async def app(scope, receive, send):
        await receive()
        for message in before:
            await send(message)
        heard.append((await receive())["type"])
        await send({**LAST, "body": b"bye"})

    stream = wire.request(app)
    await turns()
    stream.drain()
    reply = await stream.reply()
    assert heard == ["http.disconnect"]
    assert reply.body.endswith(b"bye")
    assert stream.record.outcome == "ok"
    assert not caplog.records


async def test_a_stream_that_stops_at_the_shutdown_is_no_error(wire, caplog):
    """Starlette's StreamingResponse just returns at http.disconnect."""

    async def app(scope, receive, send):
        await receive()
        await send(START)
        await send(PART)
        assert (await receive())["type"] == "http.disconnect"

    stream = wire.request(app)
    await turns()
    stream.drain()
    reply = await stream.reply()
    assert (reply.body, reply.complete) == (b"part", False)
    assert stream.record.outcome == "shutdown"
    assert not caplog.records


async def test_a_request_without_a_response_yet_is_not_disturbed_by_the_shutdown(wire):
    async def app(scope, receive, send):
        await receive()
        waiting = asyncio.create_task(receive())
        await go.wait()
        assert not waiting.done()
        await answer(send)
        await waiting

    go = asyncio.Event()
    stream = wire.request(app)
    await turns()
    stream.drain()
    await turns()
    go.set()
    assert (await stream.reply()).body == b"last"


async def test_access_record(wire):
    before = perf_counter()
    stream = wire.request(echo, "POST", "/p?q=1", [(b"user-agent", b"test")], b"12345")
    await stream.reply()
    record = stream.record
    assert (record.method, record.target, record.http_version) == (
        "POST",
        b"/p?q=1",
        wire.http_version,
    )
    assert (record.status, record.sent, record.received, record.outcome) == (200, 5, 5, "ok")
    assert record.client == ("192.0.2.7", 50123)
    assert (b"user-agent", b"test") in record.fields
    assert 0 < record.duration <= perf_counter() - before
    assert record.scheme == "http"


async def test_counters(wire):
    async def app(scope, receive, send):
        await answer(send)

    stream = wire.request(app)
    context = stream.context
    assert (await stream.reply()).status == 200
    assert (context.stats.requests, context.stats.connections) == (1, 1)
    await until(lambda: not context.running)
