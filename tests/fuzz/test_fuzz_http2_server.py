"""Any frames to a whole connection: no exception, and no task that outlives it."""

import asyncio
import logging
import os

import pytest
from fakes import FakeServer, FakeTransport, turns
from h2_peer import Reader, bytes_of
from http2_frames import conversations, raw_frames, sequences
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgiserver.errors import ClientDisconnected
from asgiserver.h2 import frames

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
"""Inputs a test; the variable asks for more of them."""

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
pytestmark = pytest.mark.timeout(max(60, EXAMPLES))

START = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}


def application(plan):
    """An application that does the steps of `plan`, whatever the request is."""

    async def app(scope, receive, send):
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                await send({"type": "websocket.send", "bytes": b"x" * 1000})
            return
        try:
            for step in plan:
                if step == "read":
                    await receive()
                elif step == "wait":
                    await asyncio.sleep(0)
                elif step == "start":
                    await send(START)
                    await send({"type": "http.response.body", "more_body": True})
                elif step == "fail":
                    raise RuntimeError("as planned")
                else:
                    await send(
                        {"type": "http.response.body", "body": b"x" * step, "more_body": step > 0}
                    )
        except ClientDisconnected:
            pass

    return app


plans = st.one_of(
    st.just(["start", 0]),
    st.just(["read", "start", 70_000, 0]),
    st.just(["start", "read", 1_000_000, "read", 0]),
    st.just(["read", "read", "read"]),
    st.just(["fail"]),
    st.just(["start", 10, "fail"]),
    st.just(["wait", "wait", "start", 100, "wait", 100, 0]),
)


class Errors(logging.Handler):
    """Collects what the server logs as errors, but for those that an application makes."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.found = []

    def emit(self, record):
        text = f"{record.getMessage()} {record.exc_info}"
        if "as planned" not in text and "without a response" not in text:
            self.found.append(text)


async def play(data, plan, pieces, stalled):
    """Give `data` to a connection, then lose it; the lines of the frames that it has sent."""
    problems = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    server = FakeServer(application(plan))
    transport = FakeTransport()
    connection = server.h2_connection()
    transport.connect(connection)
    if stalled:
        transport.stall()
    transport.arrive(frames.PREFACE + frames.settings([]))
    for start in range(0, len(data), pieces):
        transport.arrive(data[start : start + pieces])
        await turns(2)
    await turns(10)
    assert repr(connection)
    if not transport.closing:
        assert connection.deadline < float("inf") or connection.codec.streams
    transport.lose()
    await turns(10)
    assert not server.context.connections
    assert not {session for session in server.context.running if not session.done()}
    await server.finish()
    assert not problems
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return Reader().lines(transport.written)


@pytest.fixture(scope="module", autouse=True)
def no_error_is_logged():
    """Whatever a client sends, nothing is an error of the server."""
    errors = Errors()
    logging.getLogger("asgiserver").addHandler(errors)
    yield
    logging.getLogger("asgiserver").removeHandler(errors)
    assert errors.found == []


inputs = st.one_of(conversations().map(bytes_of), sequences.map(bytes_of), raw_frames)


@fuzz
@given(data=inputs, plan=plans, pieces=st.sampled_from((50, 1000, 100_000)), stalled=st.booleans())
def test_any_frames_end_in_good_order(data, plan, pieces, stalled):
    if len(data) > 20_000:
        pieces = 10_000
    lines = asyncio.run(play(data, plan, pieces, stalled))
    assert lines[0].startswith("SETTINGS: ")
