"""The lifespan protocol: start-up, shutdown, and applications that get either wrong."""

import asyncio
import contextvars
import math

import pytest

from asgiserver.asgi.lifespan import Lifespan
from asgiserver.errors import LifespanFailed

STARTED = {"type": "lifespan.startup.complete"}
STOPPED = {"type": "lifespan.shutdown.complete"}


class App:
    """A well-behaved application; `seen` is what happened to it."""

    def __init__(self):
        self.seen = []
        self.scope = None

    async def __call__(self, scope, receive, send):
        self.scope = scope
        self.seen.append((await receive())["type"])
        scope["state"]["made"] = True
        await send(STARTED)
        self.seen.append((await receive())["type"])
        self.seen.append(dict(scope["state"]))
        await send(STOPPED)
        await asyncio.sleep(0)
        self.seen.append("cleaned up")


class StartedLifespan(Lifespan):
    context: contextvars.Context


async def start(app, mode="auto", state=None, timeout=math.inf):
    lifespan = StartedLifespan(app, mode, {} if state is None else state)
    lifespan.context = await lifespan.startup(timeout)
    return lifespan


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_start_and_stop(mode, caplog):
    app, state = App(), {"given": 1}
    lifespan = await start(app, mode, state)
    assert lifespan.supported
    assert app.scope == {
        "type": "lifespan",
        "asgi": {"version": "3.0", "spec_version": "2.0"},
        "state": state,
    }
    assert app.seen == ["lifespan.startup"]
    await lifespan.shutdown(math.inf)
    assert app.seen[1:] == ["lifespan.shutdown", {"given": 1, "made": True}, "cleaned up"]
    assert not caplog.records


async def test_off_never_calls_the_application():
    app = App()
    lifespan = await start(app, "off")
    assert not lifespan.supported
    await lifespan.shutdown(1)
    assert app.scope is None


async def test_an_application_that_does_not_know_it(caplog):
    async def app(scope, receive, send):
        assert scope["type"] == "http", "only http here"

    lifespan = await start(app)
    assert not lifespan.supported
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "only http here" in record.getMessage()
    await lifespan.shutdown(1)
    assert len(caplog.records) == 1


async def test_on_makes_that_an_error(caplog):
    async def app(scope, receive, send):
        raise NotImplementedError("only http here")

    with pytest.raises(LifespanFailed, match="only http here"):
        await start(app, "on")


async def test_on_needs_an_answer():
    async def app(scope, receive, send):
        await receive()

    with pytest.raises(LifespanFailed, match="returned before"):
        await start(app, "on")
    assert not (await start(app, "auto")).supported


class Stop(BaseException):
    """As some libraries end things."""


@pytest.mark.parametrize(
    "error", [LookupError("no database"), SystemExit(1), Stop("x"), asyncio.CancelledError()]
)
async def test_an_exception_after_the_first_receive_is_a_failed_start(error, caplog):
    async def app(scope, receive, send):
        await receive()
        raise error

    with pytest.raises(LifespanFailed, match=type(error).__name__) as caught:
        await start(app)
    assert caught.value.__cause__ is error
    assert not caplog.records


@pytest.mark.parametrize(("message", "text"), [("no database", "no database"), ("", "failed")])
async def test_startup_failed(message, text):
    ended = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": message})
        try:
            await receive()
        finally:
            ended.append(True)

    with pytest.raises(LifespanFailed, match=text):
        await start(app)
    assert ended


TRACEBACK = """Traceback (most recent call last):
  File "framework.py", line 1, in lifespan
ConnectionError: database is down
"""


async def test_a_traceback_as_the_message_is_told_by_its_last_line(caplog):
    """As Starlette sends it, before it raises the exception on."""

    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": TRACEBACK})
        raise ConnectionError("database is down")

    with pytest.raises(LifespanFailed) as caught:
        await start(app)
    text = "the application's start-up failed: ConnectionError: database is down"
    assert str(caught.value) == text
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert not caplog.messages  # whoever runs the server tells it once


async def test_a_traceback_as_the_message_is_kept_when_nothing_is_raised():
    """As Litestar and Quart do."""

    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": TRACEBACK})

    with pytest.raises(LifespanFailed) as caught:
        await start(app)
    assert str(caught.value).endswith("start-up failed: ConnectionError: database is down")
    assert caught.value.details == TRACEBACK


async def test_startup_timeout_says_where_it_hangs():
    async def hang(scope, receive, send):
        await receive()
        await asyncio.Event().wait()

    with pytest.raises(LifespanFailed, match=r"longer than 0\.01 s at .*test_lifespan\.py:\d+ .*"):
        await start(hang, timeout=0.01)


async def test_a_cancelled_start_cancels_the_application():
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def app(scope, receive, send):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(start(app))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_start_up_that_is_complete_all_the_same_gets_its_shutdown():
    app = App()
    lifespan = Lifespan(app, "auto", {})
    task = asyncio.create_task(lifespan.startup(math.inf))
    while not app.seen:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await lifespan.shutdown(math.inf)
    assert app.seen[-1] == "cleaned up"


async def test_an_exception_in_place_of_a_cancellation_is_one_line(caplog):
    begun = asyncio.Event()

    async def app(scope, receive, send):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("no pool to close")

    task = asyncio.create_task(start(app))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (record,) = caplog.records
    assert "no pool to close" in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize(
    "message",
    [
        {"type": "http.response.start"},
        {"type": "lifespan.shutdown.complete"},
        {"type": "lifespan.startup.done"},
    ],
)
async def test_unexpected_messages_are_raised_in_the_application(message):
    async def app(scope, receive, send):
        await receive()
        await send(message)

    with pytest.raises(LifespanFailed, match="unexpected lifespan message"):
        await start(app)


async def test_started_twice_is_an_error(caplog):
    async def app(scope, receive, send):
        await receive()
        await send(STARTED)
        await send(STARTED)

    lifespan = await start(app)
    await lifespan.shutdown(1)
    assert "unexpected lifespan message" in caplog.text


async def test_requests_see_the_context_of_the_start():
    variable = contextvars.ContextVar("variable")

    async def app(scope, receive, send):
        await receive()
        variable.set("from the start")
        await send(STARTED)
        await receive()

    lifespan = await start(app)
    assert lifespan.context[variable] == "from the start"
    assert variable not in contextvars.copy_context()
    lifespan.context.run(variable.set, "other")
    assert (await start(app)).context[variable] == "from the start"
    await lifespan.shutdown(1)


async def test_shutdown_failed_is_logged(caplog):
    async def app(scope, receive, send):
        await receive()
        await send(STARTED)
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "disk full"})

    lifespan = await start(app)
    await lifespan.shutdown(1)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "disk full" in record.getMessage()


async def test_an_exception_in_the_shutdown_is_logged(caplog):
    async def app(scope, receive, send):
        await receive()
        await send(STARTED)
        await receive()
        raise LookupError("a bug")

    lifespan = await start(app)
    await lifespan.shutdown(1)
    (record,) = caplog.records
    assert record.exc_info[0] is LookupError


async def test_shutdown_timeout(caplog):
    ended = []

    async def app(scope, receive, send):
        await receive()
        await send(STARTED)
        try:
            await receive()
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    lifespan = await start(app)
    await lifespan.shutdown(0.01)
    assert "longer than 0.01 s" in caplog.text
    assert ended


async def test_an_application_that_listens_on_is_let_go_at_once(caplog):
    async def app(scope, receive, send):
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})

    lifespan = await start(app)
    await lifespan.shutdown(math.inf)
    assert not caplog.records


async def test_an_application_that_ended_early_needs_no_shutdown():
    async def app(scope, receive, send):
        await receive()
        await send(STARTED)

    lifespan = await start(app)
    await asyncio.sleep(0)
    await lifespan.shutdown(math.inf)


async def test_repr_shows_the_state():
    lifespan = await start(App())
    assert "auto supported=True" in repr(lifespan)
    await lifespan.shutdown(1)
