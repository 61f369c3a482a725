"""For whom a connection waits: by table, and by clients that hypothesis plays."""

import ast
import asyncio
import math
import os
from pathlib import Path
from typing import Any

import pytest
from fakes import FakePeer, FakeServer, turns, until
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asgiserver.config.fields import Config
from asgiserver.errors import ApplicationError, ClientDisconnected
from asgiserver.wire import waiting
from asgiserver.wire.waiting import (
    ANSWER,
    APPLICATION,
    BODY,
    BODY_BYTES,
    DROPPED,
    END,
    HALF_CLOSED,
    HEAD,
    IDLE,
    LAST,
    LINGER,
    NOT_OPEN,
    NOTHING,
    READER,
    REQUESTS,
    TUNNEL,
    TUNNEL_READER,
    Waiting,
    credited,
    for_whom,
    times_of,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))

START = {"type": "http.response.start", "status": 200}

TABLE = {
    "new": (NOT_OPEN, REQUESTS, {}, HEAD),
    "an empty line, no request so far": (HEAD, REQUESTS, {}, HEAD),
    "half a head": (HEAD, REQUESTS, {"begun": True}, HEAD),
    "half a head after an answer": (IDLE, REQUESTS, {"begun": True}, HEAD),
    "an empty line after an answer": (IDLE, REQUESTS, {}, IDLE),
    "a request runs": (HEAD, REQUESTS, {"running": True}, APPLICATION),
    "the next one is here already": (HEAD, REQUESTS, {"running": True, "begun": True}, APPLICATION),
    "answered": (APPLICATION, REQUESTS, {}, IDLE),
    "answered, and half of the next head is here": (APPLICATION, REQUESTS, {"begun": True}, HEAD),
    # The client's end.
    "half-closed, no answer yet": (
        APPLICATION,
        REQUESTS,
        {"running": True, "ended": True, "unsent": True},
        ANSWER,
    ),
    "half-closed": (APPLICATION, REQUESTS, {"running": True, "ended": True}, HALF_CLOSED),
    "half-closed, and it does not read": (
        HALF_CLOSED,
        REQUESTS,
        {"running": True, "ended": True, "blocked": True},
        READER,
    ),
    # Bodies.
    "a body comes": (APPLICATION, BODY_BYTES, {"running": True}, BODY),
    "a body waits for the application": (
        BODY,
        BODY_BYTES,
        {"running": True, "owed": True},
        APPLICATION,
    ),
    "a body is dropped": (APPLICATION, BODY_BYTES, {}, BODY),
    "the body is complete": (BODY, REQUESTS, {"running": True}, APPLICATION),
    "sending does not excuse from reading": (
        BODY,
        BODY_BYTES,
        {"running": True, "blocked": True},
        READER,
    ),
    # Reading.
    "it does not read": (APPLICATION, REQUESTS, {"running": True, "blocked": True}, READER),
    "it does not read what is answered": (APPLICATION, REQUESTS, {"blocked": True}, READER),
    "it does not read, but sends half a head": (
        HEAD,
        REQUESTS,
        {"blocked": True, "begun": True},
        READER,
    ),
    "it has read": (READER, REQUESTS, {"running": True}, APPLICATION),
    "it has read all": (READER, REQUESTS, {}, IDLE),
    "it has read all, and half of the next head is here": (
        READER,
        REQUESTS,
        {"begun": True},
        HEAD,
    ),
    # Tunnels.
    "a tunnel": (APPLICATION, TUNNEL, {"running": True}, APPLICATION),
    "a tunnel that is not read": (
        APPLICATION,
        TUNNEL,
        {"running": True, "blocked": True},
        TUNNEL_READER,
    ),
    # Ends.
    "told to end while idle": (IDLE, REQUESTS, {"leaving": True}, LAST),
    "told to end before the first request": (HEAD, REQUESTS, {"leaving": True}, LAST),
    "told to end within a head": (HEAD, REQUESTS, {"leaving": True, "begun": True}, HEAD),
    "told to end while a request runs": (
        APPLICATION,
        REQUESTS,
        {"leaving": True, "running": True},
        APPLICATION,
    ),
    "an empty line after that": (LAST, REQUESTS, {}, LAST),
    "a head after that": (LAST, REQUESTS, {"begun": True}, HEAD),
    "it lingers": (APPLICATION, DROPPED, {}, LINGER),
    "it lingers, and the last answer is not read": (
        APPLICATION,
        DROPPED,
        {"blocked": True},
        READER,
    ),
    "closed": (LINGER, NOTHING, {}, END),
    "closed, and the last answer is not read": (READER, NOTHING, {"blocked": True}, END),
    "closed at the client's end, a request runs": (
        APPLICATION,
        NOTHING,
        {"running": True, "ended": True},
        END,
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_for_whom(case):
    before, reading, facts, expected = TABLE[case]
    assert for_whom(before, reading, **facts) is expected


def test_the_rows_in_the_docstring_are_those_there_are():
    _, _, rows, _ = waiting.__doc__.split("\n=============")
    named = {row.split()[0] for row in rows.splitlines()[1:]}
    assert named == {row.name for row in Waiting}


def test_every_row_has_a_deadline_but_one():
    times = times_of(Config("a:b"))
    assert [row for row in Waiting if times[row] == math.inf] == [NOT_OPEN]
    assert len(times) == len(Waiting)


def test_the_options_are_where_they_belong():
    options = {
        "timeout_request_head": 1,
        "timeout_keep_alive": 2,
        "timeout_request_body": 3,
        "timeout_write": 4,
        "ws_send_timeout": 5,
    }
    times = times_of(Config("a:b", **options))
    rows = (HEAD, IDLE, BODY, READER, TUNNEL_READER, END)
    assert [times[row] for row in rows] == [1, 2, 3, 4, 5, 4]


def test_each_byte_of_a_body_is_a_credit_up_to_the_whole_timeout():
    times = times_of(Config("a:b", timeout_request_body=30))
    assert credited(110.0, 0, 100.0, times) == 110.0
    assert credited(110.0, 240, 100.0, times) == 111.0
    assert credited(110.0, 1_000_000, 100.0, times) == 130.0


def written(path):
    """The functions of a module that set a connection's `waiting` or `deadline`."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            stored = [
                node.attr
                for node in ast.walk(function)
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            ]
            if "waiting" in stored or "deadline" in stored:
                yield function.name


def test_nobody_but_the_connection_writes_the_pair():
    package = Path(waiting.__file__).parent.parent
    found = {
        path.relative_to(package).as_posix(): set(functions)
        for path in package.rglob("*.py")
        if (functions := [*written(path)]) and path.parent.name != "log"  # bytes that wait there
    }
    assert found == {
        "wire/connection.py": {"__init__", "enter", "enter_idle", "credit", "extend", "take_over"},
        "h2/channel.py": {"tick"},  # the pair of a stream, by the same table
    }


# What fell out of the table: each held a connection for ever.


@pytest.fixture(params=["httptools", "h11"])
async def connect(request):
    peers = []

    def connect(app, **options):
        peers.append(FakePeer(app, request.param, **options))
        return peers[-1]

    yield connect
    for peer in peers:
        await peer.server.finish()


async def forty_kib(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": bytes(40 * 1024)})


async def test_a_slow_reader_that_stops_again_is_cut(connect):
    peer = connect(forty_kib, timeout_write=60)  # too little to pause the writer
    peer.transport.stall()
    peer.get(fields=[(b"connection", b"close")])
    await turns()
    peer.transport.read_some(1)
    for _ in range(3):
        peer.advance(61)
    assert peer.transport.aborted
    await until(lambda: not peer.context.connections)


async def test_one_that_goes_on_reading_gets_all(connect):
    peer = connect(forty_kib, timeout_write=60)
    peer.transport.stall()
    peer.get(fields=[(b"connection", b"close")])
    await turns()
    for _ in range(40):
        peer.advance(59)
        peer.transport.read_some(1024)
    peer.transport.read_all()
    await until(lambda: not peer.context.connections)
    assert not peer.transport.aborted


async def test_a_head_that_has_begun_keeps_its_deadline_when_the_server_stops(connect):
    peer = connect(forty_kib, timeout_request_head=20)
    peer.send(b"GET / HT")
    peer.context.draining = True
    peer.connection.begin_drain()
    await turns()
    assert not peer.transport.closing
    peer.advance(20)
    assert (await peer.reply()).status == 408
    await peer.closed()


async def test_a_half_closed_client_goes_on_to_be_looked_after(connect):
    """Its event stream is seen to begin, as that of any other."""
    gate = asyncio.Event()

    async def app(scope, receive, send):
        await send(START)
        await gate.wait()
        await send({"type": "http.response.body", "body": b"event"})

    peer = connect(app)
    peer.get()
    await turns()
    peer.send_eof()
    for _ in range(4):
        peer.advance(1)
        await turns()
    assert peer.transport.written.startswith(b"HTTP/1.1 200 OK")
    gate.set()
    assert (await peer.reply()).body == b"event"


async def test_a_client_that_ends_within_a_body_and_reads_nothing_is_cut(connect):
    """It was told half of an answer; its connection closes as soon as that has been read."""

    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": bytes(40 * 1024), "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    peer = connect(app, timeout_write=60)
    peer.transport.stall()
    peer.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
    await turns()
    peer.send_eof()
    await turns()
    peer.advance(61)
    await until(lambda: not peer.context.connections and not peer.context.running)


async def test_a_body_that_is_dropped_does_not_hold_up_a_stop(connect):
    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"early"})

    peer = connect(app)
    peer.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc")
    assert (await peer.reply()).body == b"early"
    peer.context.draining = True
    peer.connection.begin_drain()
    await peer.closed()


# Clients, applications and the server in any order.


PART = {"type": "http.response.body", "more_body": True}
END_PART = {"type": "http.response.body"}
STEPS: dict[str, list[Any]] = {
    "answer": [START, {**END_PART, "body": bytes(40000)}],
    "answer much": [START, {**END_PART, "body": bytes(200_000)}],
    "begin": [START],
    "stream": [{**PART, "body": bytes(50000)}],
    "end": [END_PART],
    "receive": ["receive"],
    "return": [None],
}


class Steps:
    """Applications that do what they are told, step by step; `queues` are of those that run."""

    def __init__(self):
        self.queues = []

    async def __call__(self, scope, receive, send):
        queue = asyncio.Queue()
        self.queues.append(queue)
        try:
            while (step := await queue.get()) is not None:
                if step == "receive":
                    await receive()
                else:
                    await send(step)
        except (ApplicationError, ClientDisconnected):
            pass
        finally:
            self.queues.remove(queue)


GET = b"GET / HTTP/1.1\r\nhost: a\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
REQUESTS_SENT = [
    GET + b"\r\n",
    GET + b"connection: close\r\n\r\n",
    (GET + b"\r\n") * 40,
    POST + b"content-length: 3\r\n\r\n",
    POST + b"content-length: 100000\r\n\r\n" + bytes(70000),
    POST + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n",
]
PIECES = [GET, b"\r\n", b"abc", bytes(30000)]


class Clients(RuleBasedStateMachine):
    """One client of a server, and an application that is told what to do."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.app = Steps()
        self.run(self.begin)

    def begin(self):
        self.server = FakeServer(self.app)
        self.connect()

    def connect(self):
        self.ended = False
        self.peer = FakePeer(self.app, server=self.server)

    def run(self, action, *args):
        """Act within the loop, and let it do what follows."""

        async def act():
            found = action(*args)
            if found is not None:
                await found
            await turns(10)

        self.loop.run_until_complete(act())

    @property
    def connection(self):
        return self.peer.connection

    @property
    def transport(self):
        return self.peer.transport

    def sends(self):
        return not self.transport.lost and not self.ended

    # The client.

    @precondition(lambda self: self.transport.lost and not self.peer.context.draining)
    @rule()
    def connect_again(self):
        self.run(self.connect)

    @precondition(lambda self: self.sends())
    @rule(request=st.sampled_from(REQUESTS_SENT))
    def ask(self, request):
        self.run(self.peer.send, request)

    @precondition(lambda self: self.sends())
    @rule(data=st.sampled_from(PIECES))
    def send(self, data):
        self.run(self.peer.send, data)

    @precondition(lambda self: self.sends())
    @rule()
    def send_eof(self):
        self.ended = True
        self.run(self.peer.send_eof)

    @rule()
    def stop_reading(self):
        self.transport.stall()

    @rule(size=st.sampled_from([1, 20000, 100000]))
    def read(self, size):
        self.run(self.transport.read_some, size)

    @rule()
    def read_all(self):
        self.run(self.transport.read_all)

    @precondition(lambda self: not self.transport.lost)
    @rule(luck=st.integers(0, 9))
    def reset(self, luck):
        if luck == 9:
            self.run(self.peer.reset)

    # The application.

    @precondition(lambda self: self.app.queues)
    @rule(name=st.sampled_from(sorted(STEPS)))
    def step(self, name):
        for step in STEPS[name]:
            self.app.queues[-1].put_nowait(step)
        self.run(turns)

    # The server.

    @rule(seconds=st.sampled_from([1, 3, 31, 61]))
    def pass_time(self, seconds):
        self.run(self.peer.advance, seconds)

    def drain(self):
        self.peer.context.draining = True
        for connection in list(self.peer.context.connections):
            connection.begin_drain()

    @rule(luck=st.integers(0, 9))
    def begin_drain(self, luck):
        if luck == 9:
            self.run(self.drain)

    # What has to be true.

    @invariant()
    def an_open_connection_has_a_deadline_and_is_waited_for(self):
        connection = self.connection
        if self.transport.lost:
            assert connection.waiting is NOT_OPEN
            assert connection not in self.peer.context.connections
            return
        assert connection.waiting is not NOT_OPEN
        assert connection.deadline < math.inf

    @invariant()
    def who_is_waited_for_can_go_on(self):
        connection, parser = self.connection, self.connection._parser
        session = self.connection._channel.session
        row = connection.waiting
        if row in (APPLICATION, HALF_CLOSED, ANSWER):
            assert session is not None
        elif row in (IDLE, LAST):
            assert session is None
            assert not parser.rest
            assert not connection.output.write_paused
        elif row is BODY:
            assert parser.in_body
            assert self.transport.reading
        elif row is READER:
            assert connection.output.write_paused
        elif row is END and not self.transport.lost:
            assert self.transport.closing
        if connection.reading is not NOTHING:
            assert (row is READER) == connection.output.write_paused

    @invariant()
    def who_is_not_read_is_not_waited_for(self):
        if not self.transport.reading and not self.transport.closing:
            assert self.connection.waiting in (APPLICATION, HALF_CLOSED, ANSWER, READER)

    def teardown(self):
        """Whatever a client did: once it does nothing more, it is gone in a bounded time."""
        for _ in range(100):
            if self.transport.lost:
                break
            for task in list(self.peer.context.running):
                task.cancel()  # it ends as well
            self.run(self.peer.advance, 76)
        assert self.transport.lost, repr(self.connection)
        self.loop.run_until_complete(self.server.finish())
        self.loop.close()


TestClients = Clients.TestCase
TestClients.settings = settings(max_examples=EXAMPLES, stateful_step_count=50, deadline=None)
