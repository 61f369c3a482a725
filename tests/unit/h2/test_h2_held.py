"""What one connection keeps for a client that does not read has one bound, in bytes."""

import asyncio
import tracemalloc

import pytest
from fakes import FakeServer, turns, until
from h2_client import H2Client

from asgiserver.h2.channel import HELD, LEAST_READ
from asgiserver.h2.faults import CANCEL

START = {"type": "http.response.start", "status": 200}
LAST = {"type": "http.response.body", "body": b"last"}
MOST_OF_100 = HELD + 100 * LEAST_READ


@pytest.fixture
async def client_of(task_start):
    """``client_of(app, window=None, **options)`` is a client of a server of its own."""
    servers = []

    def client_of(app, *, window=None, **options):
        server = FakeServer(app, **options)
        servers.append(server)
        return H2Client(server, window=window)

    yield client_of
    for server in servers:
        await server.finish()


class Sender:
    """Sends one body to each request, and notes whose `send` has returned."""

    def __init__(self, body, last):
        self.body, self.last = body, last
        self.returned = []

    async def __call__(self, scope, receive, send):
        await send(START)
        await send({**LAST, "body": self.body, "more_body": not self.last})
        self.returned.append(scope)


def held(client):
    """The bytes of each stream that nobody but the connection keeps."""
    return [stream.held for stream in client.connection.codec.streams.values() if stream.held]


@pytest.mark.parametrize(
    ("size", "last", "returned"),
    [
        (1_000, True, 100),
        (100_000, True, HELD // 100_000),
        (HELD, True, 1),
        (HELD + 1, True, 0),
        (100_000_000, True, 0),
        (1, False, 0),
        (100_000_000, False, 0),
    ],
)
async def test_a_hundred_streams_that_are_never_read(client_of, size, last, returned):
    app = Sender(bytes(size), last)
    client = client_of(app, window=0, timeout_write=5)
    tracemalloc.start()
    try:
        streams = [client.request() for _ in range(100)]
        await turns(20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000  # of which nothing is a copy of the body
    assert len(app.returned) == returned
    assert len(client.context.running) == 100 - returned  # the others wait in their `send`
    assert held(client) == [size] * returned
    assert len(client.transport.written) < 100 * 200  # the heads
    client.advance(8)
    await until(lambda: not client.context.running)
    assert client.resets == {stream.id: CANCEL for stream in streams}
    assert not client.connection.codec.streams
    assert client.context.stats.refused["write timeout"] == 100
    assert client.is_open


async def test_the_last_send_returns_when_its_client_has_read_all(client_of):
    app = Sender(bytes(3 * HELD), True)
    client = client_of(app)
    stream = client.request()
    client.transport.stalled = True
    await turns(20)
    assert not app.returned
    client.transport.stalled = False
    client.transport.read_all()
    assert len((await stream.reply()).body) == 3 * HELD
    await until(lambda: app.returned and not client.context.running)


async def test_the_last_send_returns_when_its_client_gives_up(client_of):
    app = Sender(bytes(3 * HELD), True)
    client = client_of(app, window=0)
    stream = client.request()
    await turns(20)
    stream.reset()
    await until(lambda: app.returned)


async def test_what_is_read_frees_room(client_of):
    app = Sender(bytes(HELD), True)
    client = client_of(app, window=0)
    first, second = client.request(), client.request()
    await turns(20)
    assert len(app.returned) == 1
    client.held = {second.id}
    client.h2.increment_flow_control_window(HELD, first.id)
    client.h2.increment_flow_control_window(HELD)
    client.flush()
    assert len((await first.reply()).body) == HELD
    assert held(client) == []
    third = client.request()
    await turns(20)
    assert len(app.returned) == 2
    assert held(client) == [HELD]
    assert third.id in client.connection.codec.streams


@pytest.mark.parametrize("window", [0, 65_535, 1_000_000])
async def test_a_hundred_files_that_are_never_read(client_of, tmp_path, window):
    path = tmp_path / "file"
    path.write_bytes(bytes(3_000_000))

    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.pathsend", "path": str(path)})

    client = client_of(app, window=window, pathsend=True)
    streams = [client.request() for _ in range(100)]
    client.held = {stream.id for stream in streams}
    client.transport.stalled = True
    codec = client.connection.codec
    await until(lambda: all(stream.pending for stream in codec.streams.values()))
    assert len(codec.streams) == 100
    assert sum(len(stream.rest) for stream in codec.streams.values()) <= MOST_OF_100
    assert codec.held <= MOST_OF_100


async def test_a_file_is_read_in_large_pieces_while_nobody_else_holds_any(client_of, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(3_000_000))

    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.pathsend", "path": str(path)})

    client = client_of(app, window=10_000_000, pathsend=True)
    client.h2.increment_flow_control_window(10_000_000)
    client.flush()
    reply = await client.request().reply()
    assert reply.body == bytes(3_000_000)
    assert client.connection.codec.held == 0


async def test_a_body_in_tiny_frames_takes_no_more_memory_than_in_large_ones(client_of):
    """Each of 10,000 pieces as an object of its own would be 30 times as many bytes."""

    async def app(scope, receive, send):
        await client_gone.wait()
        received.append((await receive())["body"])

    client_gone = asyncio.Event()
    received = []
    client = client_of(app, window=65_535)
    stream = client.request("POST", end=False)
    await turns(5)
    piece = (2).to_bytes(3, "big") + bytes((0, 0)) + stream.id.to_bytes(4, "big") + b"ab"
    tracemalloc.start()
    try:
        for _ in range(100):
            client.connection.data_received(piece * 100)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 3 * 20_000
    client_gone.set()
    await until(lambda: received)
    assert received == [b"ab" * 10_000]
