"""An exchange alone: what it asks of its channel, in which order, and what it records."""

import asyncio
import subprocess
import sys
from time import perf_counter

import pytest
from fake_channel import make_exchange
from fakes import turns

from asgiserver.asgi.failure import is_disconnect
from asgiserver.errors import ClientDisconnected, PeerError

START = {"type": "http.response.start", "status": 200}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
LAST = {"type": "http.response.body", "body": b"last"}


async def nothing(scope, receive, send):
    pass


def test_an_exchange_with_a_body_has_no_dict_of_its_own():
    """Even if the first one with a body comes after many without; see `share_keys`."""
    code = """
import sys
from asgiserver.asgi.exchange import Exchange
from asgiserver.http.message import RequestHead
head = RequestHead("GET", b"/", "1.1", [])
exchanges = [Exchange(None, None, head, {}) for _ in range(100)]
before = sys.getallocatedblocks()
for exchange in exchanges:
    exchange.buffered = exchange.received = exchange.response.sent = 1
assert sys.getallocatedblocks() - before < 50, sys.getallocatedblocks() - before
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=110)


async def test_body_is_joined_and_its_size_told_to_the_channel():
    exchange, channel, _ = make_exchange(nothing, chunked=True)
    exchange.feed(b"ab")
    exchange.feed(b"cd")
    assert exchange.buffered == 4
    message = await exchange.receive()
    assert message == {"type": "http.request", "body": b"abcd", "more_body": True}
    assert (exchange.buffered, channel.calls) == (0, [("consumed", 4)])
    exchange.feed(b"ef")
    exchange.feed_end()
    assert await exchange.receive() == {"type": "http.request", "body": b"ef", "more_body": False}


async def test_one_part_is_not_copied():
    exchange, _, _ = make_exchange(nothing)
    data = bytes(1000)
    exchange.feed(data)
    assert (await exchange.receive())["body"] is data


async def test_continue_is_asked_for_once_and_only_while_the_body_is_awaited():
    exchange, channel, _ = make_exchange(nothing, chunked=True, expect_continue=True)
    waiting = [asyncio.create_task(exchange.receive()) for _ in range(2)]
    await turns()
    assert channel.calls == [("informational", 100)]
    exchange.feed_end()
    assert (await waiting[0])["more_body"] is False
    exchange.disconnect("client_gone")
    assert (await waiting[1])["type"] == "http.disconnect"


async def test_the_order_of_calls():
    async def app(scope, receive, send):
        await send(START)
        await send(PART)
        await send(LAST)

    exchange, channel, records = make_exchange(app)
    await exchange.run()
    assert channel.calls == [
        ("head", 200, b"part", False),
        ("body", b"last", True),
        ("finish",),
    ]
    assert (records[0].status, records[0].sent, records[0].outcome) == (200, 8, "ok")


@pytest.mark.parametrize("offered", [True, False])
async def test_a_file_that_middleware_has_dropped_is_guessed_at(offered, caplog):
    async def app(scope, receive, send):
        await send(START)

    exchange, channel, _ = make_exchange(app, pathsend=offered)
    await exchange.run()
    assert channel.calls == [("head", 500, b"Internal Server Error", True), ("finish",)]
    assert "ASGI application returned without a response: GET /" in caplog.text
    assert ("serve without --pathsend" in caplog.text) == offered


async def test_without_a_start_nobody_guesses_at_files(caplog):
    exchange, _, _ = make_exchange(nothing, pathsend=True)
    await exchange.run()
    assert "ASGI application returned without a response: GET /" in caplog.text
    assert "pathsend" not in caplog.text


async def test_send_waits_for_room():
    async def app(scope, receive, send):
        await send(START)
        await send(PART)
        await send(LAST)

    exchange, channel, _ = make_exchange(app)
    channel.writable = False
    task = asyncio.create_task(exchange.run())
    await turns()
    assert channel.calls == [("head", 200, b"part", False)]
    channel.writable = True
    channel.room.set()
    await task
    assert channel.calls[-1] == ("finish",)


@pytest.mark.parametrize("begun", [False, True])
async def test_refused_while_the_body_came_in(begun):
    exchange, channel, records = make_exchange(nothing)
    if begun:
        await exchange.send(START)
        await exchange.send(PART)
        channel.calls.clear()
    exchange.refuse(PeerError(413, "too large"))
    if begun:
        assert channel.calls == [("abort", "refused")]
    else:
        assert channel.calls == [("head", 413, b"too large", True), ("finish",)]
    assert records[0].outcome == "refused"
    with pytest.raises(ClientDisconnected):
        await exchange.send(PART)
    exchange.refuse(PeerError(413, "again"))
    exchange.disconnect("client_gone")
    assert len(records) == 1


async def test_every_ending_is_recorded_once():
    exchange, _, records = make_exchange(nothing)
    exchange.disconnect("client_gone")
    exchange.disconnect("client_gone")
    await exchange.run()
    assert [(record.status, record.outcome) for record in records] == [(499, "client_gone")]


async def test_a_half_closed_client_is_heard_of_but_may_be_answered():
    exchange, channel, records = make_exchange(nothing)
    exchange.feed_end()
    await exchange.receive()
    exchange.hang_up("client_gone")
    assert (await exchange.receive())["type"] == "http.disconnect"
    await exchange.send(START)
    await exchange.send(LAST)
    assert channel.calls == [("head", 200, b"last", True), ("finish",)]
    assert records[0].outcome == "ok"


@pytest.mark.parametrize(("reason", "status"), [("client_gone", 499), ("shutdown", 200)])
async def test_a_second_response_to_a_client_that_left_is_no_error(reason, status, caplog):
    """Some frameworks answer once more when an event stream has ended because of it."""

    async def app(scope, receive, send):
        await send(START)
        await send(PART)
        while (await receive())["type"] != "http.disconnect":
            pass
        await send(START)

    exchange, channel, records = make_exchange(app)
    exchange.feed_end()
    exchange.hang_up(reason)
    await exchange.run()
    assert channel.calls[1][0] == "abort"
    assert [(record.status, record.outcome) for record in records] == [(status, reason)]
    assert not caplog.records


async def test_a_head_is_held_for_one_tick_but_not_for_two():
    exchange, channel, _ = make_exchange(nothing)
    exchange.on_tick(1.0)
    await exchange.send(START)
    exchange.on_tick(2.0)
    assert channel.calls == []
    exchange.on_tick(3.0)
    assert channel.calls == [("head", 200, b"", False)]
    exchange.on_tick(4.0)
    await exchange.send(LAST)
    assert channel.calls[1:] == [("body", b"last", True), ("finish",)]


async def test_label_and_repr_are_safe_to_log():
    before = perf_counter()
    exchange, _, _ = make_exchange(nothing, target=b"/\x1b[31m")
    assert "\x1b" not in exchange.label
    assert "START" in repr(exchange)
    assert 0 < exchange.age <= perf_counter() - before


def chained(error, cause):
    error.__cause__ = cause
    return error


def test_is_disconnect():
    gone = ClientDisconnected("gone")
    looped = RuntimeError("a")
    looped.__cause__ = chained(RuntimeError("b"), looped)
    assert is_disconnect(gone)
    assert is_disconnect(chained(RuntimeError("wrapped"), gone))
    assert is_disconnect(ExceptionGroup("all", [gone, chained(RuntimeError("x"), gone)]))
    assert not is_disconnect(ExceptionGroup("some", [gone, LookupError("a bug")]))
    assert not is_disconnect(OSError("disk full"))
    assert not is_disconnect(looped)


FAILURE = {"type": "http.response.start", "status": 500}


async def test_a_500_that_the_application_sent_before_it_raised_is_its_error():
    async def app(scope, receive, send):
        await send(FAILURE)
        await send(LAST)
        raise ValueError("what the 500 is about")

    exchange, _, records = make_exchange(app)
    await exchange.run()
    await turns()
    assert [(record.status, record.sent, record.outcome) for record in records] == [
        (500, 4, "app_error")
    ]


async def test_a_500_without_an_exception_is_an_answer_like_any_other():
    async def app(scope, receive, send):
        await send(FAILURE)
        await send(LAST)

    exchange, _, records = make_exchange(app)
    await exchange.run()
    await turns()
    assert [(record.status, record.outcome) for record in records] == [(500, "ok")]


async def test_a_500_does_not_wait_for_what_the_application_does_afterwards():
    async def app(scope, receive, send):
        await send(FAILURE)
        await send(LAST)
        await asyncio.Event().wait()

    exchange, _, records = make_exchange(app)
    running = asyncio.create_task(exchange.run())
    await turns()
    assert [record.outcome for record in records] == ["ok"]
    running.cancel()
    await asyncio.wait([running])
    assert len(records) == 1


async def test_an_exception_after_a_good_response_leaves_its_record():
    async def app(scope, receive, send):
        await send(START)
        await send(LAST)
        raise ValueError("afterwards")

    exchange, _, records = make_exchange(app)
    await exchange.run()
    await turns()
    assert [(record.status, record.outcome) for record in records] == [(200, "ok")]


class TestAClientThatHungUp:
    """It has closed its sending side: it may have left, or it may read on."""

    async def told(self, *, before, after):
        """What the channel sees of an application that hears of it after `before`."""
        waiting = asyncio.Event()

        async def app(scope, receive, send):
            await receive()
            for event in before:
                await send(event)
            waiting.set()
            assert (await receive())["type"] == "http.disconnect"
            for event in after:
                await send(event)

        exchange, channel, records = make_exchange(app)
        exchange.task = asyncio.create_task(exchange.run())
        await waiting.wait()
        exchange.hang_up("client_gone")
        await asyncio.wait([exchange.task])
        (record,) = records
        return channel.calls[-1], (record.status, record.outcome)

    async def test_a_stream_that_ends_with_nothing_more_is_no_whole_one(self, caplog):
        empty = {"type": "http.response.body", "body": b""}
        last, record = await self.told(before=[START, PART], after=[empty])
        assert (last, record) == (("abort", "client_gone"), (499, "client_gone"))
        assert not caplog.records

    async def test_a_body_that_stays_shorter_than_its_length_is_no_mistake(self, caplog):
        start = {**START, "headers": [(b"content-length", b"100")]}
        last, record = await self.told(before=[start, PART], after=[LAST])
        assert (last, record) == (("abort", "client_gone"), (499, "client_gone"))
        assert not caplog.records

    async def test_a_stream_that_goes_on_may_end(self):
        empty = {"type": "http.response.body", "body": b""}
        for after in ([LAST], [PART, empty]):
            last, record = await self.told(before=[START, PART], after=after)
            assert (last, record) == (("finish",), (200, "ok"))

    async def test_a_plain_answer_is_an_answer(self):
        for before, after in (([], [START, LAST]), ([START], [LAST])):
            last, record = await self.told(before=before, after=after)
            assert (last, record) == (("finish",), (200, "ok"))

    @pytest.mark.parametrize(("begun", "cancelled"), [([], 0), ([START], 0), ([START, PART], 1)])
    async def test_only_a_stream_is_cancelled(self, begun, cancelled):
        ready = asyncio.Event()

        async def app(scope, receive, send):
            for event in begun:
                await send(event)
            ready.set()
            await asyncio.Event().wait()

        exchange, channel, records = make_exchange(app, on_disconnect="cancel")
        exchange.task = asyncio.create_task(exchange.run())
        await ready.wait()
        for _ in range(3):
            exchange.hang_up("client_gone")
            await turns()
        assert exchange.task.done() == bool(cancelled)
        if cancelled:
            assert channel.calls[-1] == ("abort", "client_gone")
            assert (records[0].status, records[0].outcome) == (499, "client_gone")
        else:
            exchange.cancel("shutdown")
            await asyncio.wait([exchange.task])

    async def test_the_end_of_the_server_cancels_nobody_so(self):
        async def app(scope, receive, send):
            await send(START)
            await send(PART)
            await asyncio.Event().wait()

        exchange, _, _ = make_exchange(app, on_disconnect="cancel")
        exchange.task = asyncio.create_task(exchange.run())
        await turns()
        exchange.begin_drain()
        await turns()
        assert not exchange.task.done()
        exchange.cancel("shutdown")
        await asyncio.wait([exchange.task])
