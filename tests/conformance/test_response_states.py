"""Every cell of the state table of `asgiserver.asgi.response`, on every wire."""

import http
from typing import Any

import pytest
from fakes import turns

from asgiserver.errors import ApplicationError, ClientDisconnected

START = {"type": "http.response.start", "status": 200, "headers": []}
START_TRAILERS = {**START, "trailers": True}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
LAST = {"type": "http.response.body", "body": b"last"}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}

WAYS: dict[str, list[dict[str, Any]]] = {
    "START": [],
    "HEAD": [START],
    "BODY": [START, PART],
    "TRAILERS": [START_TRAILERS, LAST],
    "DONE": [START, LAST],
}
EVENTS: dict[str, dict[str, Any]] = {
    "start": START,
    "part": PART,
    "last": LAST,
    "trailers": TRAILERS,
    "unknown": {"type": "http.response.push"},
}
ALLOWED = {
    ("START", "start"),
    ("HEAD", "part"),
    ("HEAD", "last"),
    ("BODY", "part"),
    ("BODY", "last"),
    ("TRAILERS", "trailers"),
}


def app_sending(messages, then=None):
    async def app(scope, receive, send):
        for message in messages:
            await send(dict(message))
        if then is not None:
            await then(receive, send)

    return app


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", WAYS)
async def test_event_in_state(wire, state, event):
    errors = []

    async def then(receive, send):
        try:
            await send(dict(EVENTS[event]))
        except Exception as error:
            errors.append(error)

    stream = wire.request(app_sending(WAYS[state], then), fields=[(b"te", b"trailers")])
    await turns()
    if state == "DONE" or (state, event) in ALLOWED:
        assert errors == []
    else:
        assert [type(error) for error in errors] == [ApplicationError]
        assert EVENTS[event]["type"] in str(errors[0])
    if state == "DONE":
        reply = await stream.reply()
        assert (reply.status, reply.body, reply.rest) == (200, b"last", b"")


@pytest.mark.parametrize("event", EVENTS)
async def test_event_after_the_client_left(wire, event, caplog):
    raised = []

    async def then(receive, send):
        assert (await receive())["type"] == "http.request"
        stream.leave()
        assert (await receive())["type"] == "http.disconnect"
        assert (await receive())["type"] == "http.disconnect"
        with pytest.raises(ClientDisconnected) as caught:
            await send(dict(EVENTS[event]))
        raised.append(caught.value)

    async def app(scope, receive, send):
        await app_sending([START, PART], then)(scope, receive, send)

    stream = None
    stream = wire.request(app, body=b"x", end=False)
    stream.send_body(b"", end=True)
    await turns(10)
    assert isinstance(raised[0], OSError)
    assert stream.record.status == 499
    assert stream.record.outcome == "client_gone"
    assert not caplog.records


@pytest.mark.parametrize("state", WAYS)
async def test_application_returns(wire, state, caplog):
    stream = wire.request(app_sending(WAYS[state]), target="/where?it=was")
    reply = await stream.reply()
    if state == "DONE":
        assert (reply.status, reply.body) == (200, b"last")
        assert not caplog.records
        assert stream.record.outcome == "ok"
        return
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "GET /where?it=was" in caplog.text
    assert stream.record.outcome == "app_error"
    if state in ("START", "HEAD"):
        assert (reply.status, reply.body) == (500, b"Internal Server Error")
        assert reply.value(b"content-type") == b"text/plain; charset=utf-8"
        assert "without a response" in caplog.text
    else:
        assert (reply.status, reply.complete) == (200, False)
        assert stream.broken
        assert "before its response was complete" in caplog.text


@pytest.mark.parametrize("state", WAYS)
async def test_application_raises(wire, state, caplog):
    async def then(receive, send):
        raise LookupError("a bug")

    stream = wire.request(app_sending(WAYS[state], then), target="/where")
    reply = await stream.reply()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "GET /where" in record.getMessage()
    assert record.exc_info[0] is LookupError
    if state == "DONE":
        assert (reply.status, reply.body) == (200, b"last")
        assert stream.record.outcome == "ok"
        assert not stream.broken
    elif state in ("START", "HEAD"):
        assert (reply.status, reply.body) == (500, b"Internal Server Error")
        assert "a bug" not in str(reply.fields)
        assert stream.record.status == 500
    else:
        assert (reply.status, reply.complete) == (200, False)
        assert stream.broken
    if state != "DONE":
        assert stream.record.outcome == "app_error"


@pytest.mark.parametrize("state", ["START", "HEAD", "BODY", "TRAILERS", "DONE"])
async def test_client_leaves(wire, state, caplog):
    heard = []

    async def then(receive, send):
        if state != "DONE":
            stream.leave()
        heard.append((await receive())["type"])

    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        await app_sending(WAYS[state], then)(scope, receive, send)

    stream = None
    stream = wire.request(app, end=False, body=b"1")
    stream.send_body(b"2", end=True)
    await turns(10)
    assert heard == ["http.disconnect"]
    expected = ("ok", 200) if state == "DONE" else ("client_gone", 499)
    assert (stream.record.outcome, stream.record.status) == expected
    assert not caplog.records


async def test_head_and_body_leave_in_one_write(wire):
    stream = wire.request(app_sending([START, LAST]))
    reply = await stream.reply()
    assert reply.value(b"content-length") == b"4"
    assert stream.writes == 1


async def test_what_is_sent_as_the_request_comes_leaves_in_one_write(wire, task_start):
    stream = wire.request(app_sending([START, PART, PART, PART, LAST]))
    reply = await stream.reply()
    assert reply.body == b"partpartpartlast"
    if task_start == "eager":  # else the application sends in a turn of its own
        assert stream.writes == 1


async def test_empty_parts_end_nothing(wire):
    """A chunk of no bytes would be the end of a chunked body."""
    empty = {"type": "http.response.body", "body": b"", "more_body": True}
    stream = wire.request(app_sending([START, empty, PART, empty, LAST]))
    assert (await stream.reply()).body == b"partlast"


async def test_trailers_reach_a_client_that_takes_them(wire):
    more = {**TRAILERS, "headers": [(b"X-A", b"1")], "more_trailers": True}
    stream = wire.request(
        app_sending([START_TRAILERS, PART, LAST, more, TRAILERS]), fields=[(b"te", b"trailers")]
    )
    reply = await stream.reply()
    assert (reply.body, reply.complete) == (b"partlast", True)
    assert reply.trailers == [(b"x-a", b"1"), (b"x-sum", b"1")]


async def test_trailers_are_dropped_for_other_clients(wire):
    stream = wire.request(app_sending([START_TRAILERS, PART, LAST, TRAILERS]))
    reply = await stream.reply()
    assert (reply.body, reply.complete) == (b"partlast", True)
    assert reply.trailers == ([(b"x-sum", b"1")] if wire.has_trailers_for_all else [])


@pytest.mark.parametrize("headers", [[(b"bad name", b"1")], [(b"x", b"1\r\ny: 2")]])
async def test_trailers_are_validated(wire, headers, caplog):
    bad = {**TRAILERS, "headers": headers}
    stream = wire.request(app_sending([START_TRAILERS, LAST, bad]), fields=[(b"te", b"trailers")])
    assert not (await stream.reply()).complete
    assert stream.broken
    assert "ApplicationError" in caplog.text


@pytest.mark.parametrize(
    "start",
    [
        {"status": 200, "headers": [(b"x", b"a\r\nset-cookie: b")]},
        {"status": 200, "headers": [(b"x", b"a\nb")]},
        {"status": 200, "headers": [(b"x", b"a\x00b")]},
        {"status": 200, "headers": [(b"bad name", b"a")]},
        {"status": 200, "headers": [(b"", b"a")]},
        {"status": 200, "headers": [(b"x:", b"a")]},
        {"status": 200, "headers": [(b"x\r\ny", b"a")]},
        {"status": 200, "headers": [("x", "a")]},
        {"status": 200, "headers": [(b"x", "a")]},
        {"status": 200, "headers": [b"x"]},
        {"status": 200, "headers": 5},
        {"status": 200, "headers": [(b"content-length", b"-1")]},
        {"status": 200, "headers": [(b"content-length", b"1, 1")]},
        {"status": 200, "headers": [(b"content-length", b"1"), (b"content-length", b"2")]},
        {"status": "200"},
        {"status": None},
        {"status": True},
        {"status": 99},
        {"status": 100},
        {"status": 101},
        {"status": 1000},
        {"status": 200.5},
        {},
    ],
    ids=repr,
)
async def test_a_bad_start_is_a_clean_500(wire, start, caplog):
    stream = wire.request(app_sending([{"type": "http.response.start", **start}, LAST]))
    reply = await stream.reply()
    assert (reply.status, reply.body) == (500, b"Internal Server Error")
    assert not reply.values(b"x")
    assert not reply.values(b"set-cookie")
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("body", ["text", None, 5, ["a"]], ids=repr)
async def test_a_body_that_is_not_bytes_is_a_clean_500(wire, body, caplog):
    stream = wire.request(app_sending([START, {**LAST, "body": body}]))
    assert (await stream.reply()).status == 500
    assert "must be bytes" in caplog.text


@pytest.mark.parametrize("body", [bytearray(b"abc"), memoryview(b"abc")], ids=type)
async def test_other_kinds_of_bytes_are_taken(wire, body):
    stream = wire.request(app_sending([START, {**LAST, "body": body}]))
    assert (await stream.reply()).body == b"abc"


async def test_a_buffer_may_be_reused_after_send(wire):
    buffer = bytearray(b"first")

    async def app(scope, receive, send):
        await send(START)
        await send({**PART, "body": buffer})
        buffer[:] = b"other"
        await send({**LAST, "body": memoryview(buffer)})

    assert (await wire.request(app).reply()).body == b"firstother"


async def test_optional_keys_may_be_missing(wire):
    start = {"type": "http.response.start", "status": 202}
    reply = await wire.request(app_sending([start, {"type": "http.response.body"}])).reply()
    assert (reply.status, reply.body) == (202, b"")


async def test_unknown_keys_are_ignored(wire):
    reply = await wire.request(app_sending([{**START, "x": 1}, {**LAST, "y": 2}])).reply()
    assert reply.body == b"last"


@pytest.mark.parametrize("kind", [tuple, list, iter])
async def test_headers_are_any_iterable_of_pairs(wire, kind):
    headers = kind([(b"A", b"1"), [b"B", b"2"]])
    reply = await wire.request(app_sending([{**START, "headers": headers}, LAST])).reply()
    assert (reply.value(b"a"), reply.value(b"b")) == (b"1", b"2")


async def test_status_may_be_an_int_enum(wire):
    """Starlette passes on whatever int it was given, `http.HTTPStatus.CREATED` too."""
    start = {**START, "status": http.HTTPStatus.CREATED}
    reply = await wire.request(app_sending([start, LAST])).reply()
    assert reply.status == 201


async def test_content_length_too_short_is_raised_before_it_is_sent(wire, caplog):
    start = {**START, "headers": [(b"content-length", b"3")]}
    stream = wire.request(app_sending([start, {**LAST, "body": b"1234"}]))
    assert (await stream.reply()).status == 500
    assert "longer than its Content-Length" in caplog.text


async def test_content_length_too_long_is_a_clean_500(wire, caplog):
    start = {**START, "headers": [(b"content-length", b"10")]}
    stream = wire.request(app_sending([start, LAST]))
    assert (await stream.reply()).status == 500
    assert "shorter than its Content-Length" in caplog.text


@pytest.mark.parametrize("body", [b"", b"more than that"])
async def test_wrong_content_length_of_a_stream_is_cut_never_corrupt(wire, body, caplog):
    start = {**START, "headers": [(b"content-length", b"8")]}
    stream = wire.request(app_sending([start, PART, {**LAST, "body": body}]))
    reply = await stream.reply()
    assert (reply.body, reply.complete) == (b"part", False)
    assert stream.broken
    assert stream.record.outcome == "app_error"
    assert len(caplog.records) == 1


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", [200, 204, 304])
async def test_responses_without_a_body(wire, method, status, caplog):
    start = {**START, "status": status}
    stream = wire.request(app_sending([start, PART, LAST]), method)
    reply = await stream.reply()
    assert reply.status == status
    if method == "HEAD" or status != 200:
        assert (reply.body, reply.rest) == (b"", b"")
        assert stream.record.sent == 0
    else:
        assert reply.body == b"partlast"
    if status == 204:
        assert not reply.values(b"content-length")
    assert not stream.broken
    if method == "HEAD" or status == 200:
        assert not caplog.records
        return
    # There are two parts of a body, but once is enough.
    assert [record.getMessage() for record in caplog.records] == [
        f"Left out the body of a {status} response, which has none: GET / (logged once)"
    ]


async def test_head_keeps_the_content_length_of_the_application(wire):
    start = {**START, "headers": [(b"content-length", b"1234")]}
    for messages in ([start, LAST], [start, {"type": "http.response.body"}]):
        reply = await wire.request(app_sending(messages), "HEAD").reply()
        assert (reply.value(b"content-length"), reply.rest) == (b"1234", b"")


async def test_no_content_length_on_204(wire):
    start = {**START, "status": 204, "headers": [(b"content-length", b"0")]}
    reply = await wire.request(app_sending([start, LAST])).reply()
    assert not reply.values(b"content-length")


async def test_transfer_encoding_of_the_application_is_ignored(wire):
    start = {**START, "headers": [(b"Transfer-Encoding", b"chunked")]}
    reply = await wire.request(app_sending([start, LAST])).reply()
    assert (reply.value(b"content-length"), reply.body) == (b"4", b"last")


async def test_date_and_server_of_the_application_win(wire):
    start = {**START, "headers": [(b"Date", b"then"), (b"Server", b"mine")]}
    reply = await wire.request(app_sending([start, LAST])).reply()
    assert reply.values(b"date") == [b"then"]
    assert reply.values(b"server") == [b"mine"]
    reply = await wire.request(app_sending([START, LAST])).reply()
    assert reply.values(b"date") == [b"Sat, 21 Nov 2026 10:00:00 GMT"]
    assert reply.values(b"server") == [b"asgiserver"]


async def test_fields_are_sent_in_order_with_duplicates(wire):
    headers = [(b"Set-Cookie", b"a=1"), (b"X-One", b"\xe9"), (b"set-cookie", b"b=2")]
    reply = await wire.request(app_sending([{**START, "headers": headers}, LAST])).reply()
    assert reply.values(b"set-cookie") == [b"a=1", b"b=2"]
    assert reply.value(b"x-one") == b"\xe9"


async def test_a_large_body_is_whole(wire):
    body = bytes(range(256)) * 4096
    reply = await wire.request(app_sending([START, {**LAST, "body": body}])).reply()
    assert reply.body == body
    reply = await wire.request(app_sending([START, {**PART, "body": body}, LAST])).reply()
    assert reply.body == body + b"last"


async def test_send_waits_for_a_slow_reader(wire):
    sent = []

    async def app(scope, receive, send):
        await receive()
        await send(START)
        for number in range(100):
            await send({**PART, "body": bytes(16384)})
            sent.append(number)
        await send(LAST)

    stream = wire.request(app, end=False)
    stream.stall()
    stream.send_body(b"", end=True)
    await turns(200)
    assert 0 < len(sent) < 20  # a few times the transport's mark, not all of it
    stream.read_all()
    reply = await stream.reply()
    assert len(reply.body) == 100 * 16384 + 4


async def test_a_waiting_send_hears_that_the_client_left(wire, caplog):
    raised = []

    async def app(scope, receive, send):
        await receive()
        await send(START)
        try:
            while True:
                await send({**PART, "body": bytes(65536)})
        except OSError as error:
            raised.append(error)
            raise

    stream = wire.request(app, end=False)
    stream.stall()
    stream.send_body(b"", end=True)
    await turns(20)
    assert not raised
    stream.leave()
    await turns()
    assert isinstance(raised[0], ClientDisconnected)
    assert not caplog.records
    assert stream.record.outcome == "client_gone"
