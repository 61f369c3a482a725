"""Whatever an application raises, wherever: its client hears of it, and the server goes on."""

import asyncio
import signal

import pytest
from fake_channel import FakeChannel, make_exchange
from fakes import FakeClock

from asgiserver.asgi.failure import is_disconnect, is_of_the_process
from asgiserver.asgi.lifespan import Lifespan
from asgiserver.asgi.websocket import WebSocketSession
from asgiserver.config.fields import Config
from asgiserver.context import ServerContext
from asgiserver.errors import ClientDisconnected, LifespanFailed
from asgiserver.http.message import RequestHead
from asgiserver.ws.handshake import Offer

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

START = {"type": "http.response.start", "status": 200}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}


class Unspeakable(Exception):
    """Neither ``str()`` nor ``repr()`` works."""

    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


class OfItsOwnKind(BaseException):
    pass


def endless():
    return endless()


def deep_group():
    error = ValueError("innermost")
    for _ in range(5000):
        error = ExceptionGroup("g", [error])
    return error


def raising(error):
    def function():
        raise error()

    return function


RAISED = {
    "Exception": raising(lambda: ValueError("x")),
    "BaseException": raising(lambda: OfItsOwnKind("x")),
    "GeneratorExit": raising(GeneratorExit),
    "KeyboardInterrupt": raising(KeyboardInterrupt),
    "SystemExit": raising(lambda: SystemExit(3)),
    "CancelledError": raising(asyncio.CancelledError),
    "StopIteration": raising(StopIteration),
    "StopAsyncIteration": raising(StopAsyncIteration),
    "TimeoutError": raising(TimeoutError),
    "ExceptionGroup": raising(lambda: ExceptionGroup("g", [ValueError("x"), OSError("y")])),
    "BaseExceptionGroup": raising(lambda: BaseExceptionGroup("g", [KeyboardInterrupt()])),
    "deep group": raising(deep_group),
    "RecursionError": endless,
    "unspeakable": raising(Unspeakable),
}

every_kind = pytest.mark.parametrize("fail", RAISED.values(), ids=RAISED)


@every_kind
@pytest.mark.parametrize("late", [False, True], ids=["at once", "after a turn"])
class TestHTTP:
    async def run(self, fail, *events, late):
        async def app(scope, receive, send):
            for event in events:
                await send(event)
            if late:
                await asyncio.sleep(0)
            fail()

        exchange, channel, records = make_exchange(app)
        await asyncio.create_task(exchange.run())
        return channel.calls, [(record.status, record.outcome) for record in records]

    @pytest.mark.parametrize("events", [[], [START]], ids=["nothing sent", "a start"])
    async def test_before_the_body_it_is_a_500(self, fail, events, late, caplog):
        calls, records = await self.run(fail, *events, late=late)
        assert calls == [("head", 500, b"Internal Server Error", True), ("finish",)]
        assert records == [(500, "app_error")]
        assert caplog.text.count("Exception in ASGI application: GET /") == 1

    async def test_within_the_body_it_is_cut(self, fail, late, caplog):
        calls, records = await self.run(fail, START, PART, late=late)
        assert calls == [("head", 200, b"part", False), ("abort", "app_error")]
        assert records == [(200, "app_error")]
        assert caplog.text.count("Exception in ASGI application: GET /") == 1

    async def test_after_the_response_it_is_logged(self, fail, late, caplog):
        calls, records = await self.run(fail, START, {"type": "http.response.body"}, late=late)
        assert calls == [("head", 200, b"", True), ("finish",)]
        assert records == [(200, "ok")]
        assert caplog.text.count("Exception in ASGI application: GET /") == 1


@every_kind
@pytest.mark.parametrize("plain", [False, True], ids=["async def", "def"])
async def test_an_application_that_raises_when_it_is_called(fail, plain):
    def app(scope, receive, send):
        fail()

    async def async_app(scope, receive, send):
        fail()

    exchange, channel, records = make_exchange(app if plain else async_app)
    await asyncio.create_task(exchange.run())
    assert channel.calls[0] == ("head", 500, b"Internal Server Error", True)
    assert records[0].outcome == "app_error"


class Tunnel(FakeChannel):
    """A wire that can also become a tunnel."""

    def open_tunnel(self, fields):
        self.calls.append(("tunnel",))

    def send_tunnel(self, data, more=b""):
        self.calls.append(("frame", data + more))


@every_kind
class TestWebSocket:
    async def run(self, fail, *events):
        async def app(scope, receive, send):
            for event in events:
                await send(event)
            await asyncio.sleep(0)
            fail()

        config = Config(app)
        context = ServerContext(config, app, asyncio.get_running_loop(), FakeClock())
        records = []
        context.access = records.append
        head = RequestHead("GET", b"/chat", "1.1", [(b"host", b"a")])
        scope = {"type": "websocket", "client": None, "scheme": "ws", "extensions": {}}
        channel = Tunnel()
        session = WebSocketSession(context, channel, head, scope, Offer([], [], b"accept"))
        session.feed_end()
        session.task = asyncio.create_task(session.run())
        await session.task
        return channel.calls, [(record.event, record.status) for record in records], session

    async def test_before_the_accept_it_is_a_500(self, fail, caplog):
        calls, records, _ = await self.run(fail)
        assert calls == [("head", 500, b"Internal Server Error", True), ("finish",)]
        assert records == [("request", 500)]
        assert caplog.text.count("Exception in ASGI application: WebSocket /chat") == 1

    async def test_after_it_it_is_a_1011(self, fail, caplog):
        calls, records, session = await self.run(fail, {"type": "websocket.accept"})
        assert calls[0] == ("tunnel",)
        assert calls[1][1][2:4] == (1011).to_bytes(2)
        session.disconnect("client_gone")
        assert records[0] == ("websocket_open", 101)
        assert caplog.text.count("Exception in ASGI application: WebSocket /chat") == 1

    async def test_in_a_denial_it_is_cut(self, fail, caplog):
        start = {"type": "websocket.http.response.start", "status": 401}
        part = {"type": "websocket.http.response.body", "body": b"no", "more_body": True}
        calls, records, _ = await self.run(fail, start, part)
        assert calls == [("head", 401, b"no", False), ("abort", "app_error")]
        assert records == [("request", 401)]
        assert caplog.text.count("Exception in ASGI application: WebSocket /chat") == 1


@every_kind
class TestLifespan:
    async def test_before_the_first_receive_it_is_not_supported(self, fail, caplog):
        async def app(scope, receive, send):
            fail()

        lifespan = Lifespan(app, "auto", {})
        await lifespan.startup(5)
        assert not lifespan.supported
        assert "does not support lifespan" in caplog.text

    async def test_in_the_start_up_it_is_a_failed_start(self, fail, caplog):
        async def app(scope, receive, send):
            await receive()
            fail()

        with pytest.raises(LifespanFailed, match="start-up failed") as caught:
            await Lifespan(app, "auto", {}).startup(5)
        assert caught.value.__cause__ is not None
        assert not caplog.records

    async def test_afterwards_it_is_logged(self, fail, caplog):
        async def app(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            fail()

        lifespan = Lifespan(app, "auto", {})
        await lifespan.startup(5)
        await lifespan.shutdown(5)
        assert "Exception in the application's lifespan" in caplog.text


class TestOfTheProcess:
    """What an application did not raise itself is not taken from whom it is meant for."""

    async def test_a_coroutine_closed_with_its_loop(self):
        async def app(scope, receive, send):
            await asyncio.get_running_loop().create_future()

        exchange, channel, records = make_exchange(app)
        running = exchange.run()
        running.send(None)
        await asyncio.to_thread(running.close)  # where no loop runs
        assert (channel.calls, records) == ([], [])

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    async def test_the_handler_of_a_signal(self, error):
        def handle(number, frame):
            raise error

        async def app(scope, receive, send):
            signal.raise_signal(signal.SIGUSR1)

        exchange, _, _ = make_exchange(app)
        before = signal.signal(signal.SIGUSR1, handle)
        try:
            with pytest.raises(error):
                exchange.run().send(None)
        finally:
            signal.signal(signal.SIGUSR1, before)

    async def test_an_interrupt_of_python_itself(self):
        async def app(scope, receive, send):
            signal.raise_signal(signal.SIGINT)

        exchange, _, _ = make_exchange(app)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                exchange.run().send(None)
        finally:
            signal.signal(signal.SIGINT, before)

    async def test_anything_else_is_the_applications(self):
        assert not is_of_the_process(GeneratorExit())
        assert not is_of_the_process(KeyboardInterrupt())
        assert not is_of_the_process(SystemExit())


async def test_a_logger_that_fails_does_not_keep_the_client_waiting(caplog, monkeypatch):
    async def app(scope, receive, send):
        raise ValueError

    def fail(*args, **kwargs):
        raise LookupError("a filter")

    monkeypatch.setattr("asgiserver.asgi.session.logger.log", fail)
    exchange, channel, records = make_exchange(app)
    with pytest.raises(LookupError):
        await exchange.run()
    assert channel.calls[0] == ("head", 500, b"Internal Server Error", True)
    assert records[0].outcome == "app_error"


async def test_groups_that_are_about_a_disconnect():
    gone = ClientDisconnected()
    first, second = RuntimeError(), RuntimeError()
    first.__cause__ = second.__cause__ = gone
    assert is_disconnect(ExceptionGroup("g", [first, ExceptionGroup("h", [second, gone])]))
    assert not is_disconnect(ExceptionGroup("g", [first, ValueError()]))
    turning = ValueError()
    group = ExceptionGroup("g", [turning])
    turning.__context__ = group
    is_disconnect(group)  # ends
    assert not is_disconnect(deep_group())
