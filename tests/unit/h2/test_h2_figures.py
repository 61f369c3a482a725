"""What is counted of HTTP/2: streams now, streams so far, and how they ended."""

import asyncio

import pytest
from fakes import FakeServer, turns, until
from h2_client import H2Client

from asgiserver.h2.faults import NAMES, name_of
from asgiserver.server.view import ServerView

RST_STREAM = 3


@pytest.fixture
async def server(task_start):
    server = FakeServer(app, h2_max_concurrent_streams=3)
    yield server
    await server.finish()


async def app(scope, receive, send):
    if scope["path"] == "/wait":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"x", "more_body": scope["path"] == "/break"})


def figures(server):
    shot = ServerView(server.context).snapshot()
    return shot.h2_streams_open, shot.h2_streams, shot.h2_streams_lost, shot.h2_resets


async def test_streams_are_counted_while_their_connection_is_open_and_afterwards(server):
    client, other = H2Client(server), H2Client(server)
    for _ in range(3):
        await client.request().reply()
    await other.request().reply()
    client.request(target="/wait")
    await turns()
    assert figures(server) == (1, 5, 0, {})
    client.transport.lose()
    await turns()
    assert figures(server) == (0, 5, 1, {})
    other.transport.lose()
    await turns()
    assert figures(server) == (0, 5, 1, {})


async def test_ids_that_a_client_leaves_out_are_no_streams(server):
    client = H2Client(server)
    for number in (1, 9, 11, 31):
        client.h2.send_headers(number, client._head("GET", "/", ()), end_stream=True)
        client.flush()
    await turns()
    assert figures(server)[:2] == (0, 4)


async def test_resets_are_counted_by_side_and_code(server):
    client = H2Client(server)
    client.request(target="/wait").reset()
    client.request("POST", end=False)  # is answered early
    broken = client.request(target="/break")
    await until(lambda: broken.was_reset)
    unknown = client.request(target="/wait")
    client.send_frame(RST_STREAM, 0, unknown.id, (77).to_bytes(4, "big"))
    client.request(fields=[(b"connection", b"close")])
    await turns()
    assert figures(server)[3] == {
        "client CANCEL": 1,
        "server NO_ERROR": 1,
        "server INTERNAL_ERROR": 1,
        "client other": 1,
        "server PROTOCOL_ERROR": 1,
    }


async def test_streams_above_the_limit_are_counted_as_resets(server):
    client = H2Client(server)
    for _ in range(5):
        client.request(target="/wait")
    await turns()
    assert figures(server) == (3, 5, 0, {"server REFUSED_STREAM": 2})


def test_every_code_has_a_name():
    assert [name_of(code) for code in range(16)] == [*NAMES, "other", "other"]
