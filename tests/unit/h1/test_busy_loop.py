"""What connections of a busy loop send waits for the end of its turn, and is never held longer."""

import pytest
from fakes import FakePeer, FakeServer, turns

from asgiserver.wire.output import FLUSH_SIZE

START = {"type": "http.response.start", "status": 200}


@pytest.fixture(autouse=True)
def busy(monkeypatch):
    """No time passes between outputs."""
    monkeypatch.setattr("asgiserver.wire.output.perf_counter", lambda: 0.0)


async def hello(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": b"hello"})


async def parts(scope, receive, send):
    await send(START)
    for _ in range(20):
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
    await send({"type": "http.response.body"})


async def broken(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    raise RuntimeError("broken off")


async def test_answers_of_one_turn_are_written_after_the_last_handler(task_start):
    written = []

    async def app(scope, receive, send):
        written.append(sum(len(peer.transport.writes) for peer in peers))
        await hello(scope, receive, send)

    server = FakeServer(app)
    peers = [FakePeer(app, server=server) for _ in range(3)]
    for peer in peers:
        peer.get()
    assert [(await peer.reply()).body for peer in peers] == [b"hello"] * 3
    assert written == [0, 0, 0]
    await server.finish()


async def test_a_stream_of_one_turn_is_one_write(connect, task_start):
    peer = connect(parts)
    peer.get()
    assert (await peer.reply()).body == b"part" * 20
    assert len(peer.transport.writes) == 1


async def test_much_is_written_before_the_turn_ends(connect, task_start):
    async def app(scope, receive, send):
        await send(START)
        part = {"type": "http.response.body", "body": bytes(FLUSH_SIZE // 4), "more_body": True}
        for _ in range(6):
            await send(part)
        seen.append(len(peer.transport.written))
        await send({"type": "http.response.body"})

    seen = []
    peer = connect(app)
    peer.get()
    assert len((await peer.reply()).body) == 6 * FLUSH_SIZE // 4
    assert seen[0] >= FLUSH_SIZE


async def test_an_answer_is_not_lost_to_the_end_of_its_client(connect, task_start):
    peer = connect(hello)
    peer.get()
    peer.send_eof()
    assert (await peer.reply()).body == b"hello"
    await peer.closed()


async def test_an_answer_is_not_lost_to_a_drain_of_the_same_turn(connect, task_start):
    peer = connect(hello)
    peer.get()
    await turns(2)
    peer.context.draining = True
    peer.connection.begin_drain()
    assert (await peer.reply()).body == b"hello"
    await peer.closed()


async def test_what_was_sent_before_a_response_broke_off_arrives(connect, task_start):
    peer = connect(broken)
    peer.get()
    await peer.closed()
    assert peer.received.endswith(b"4\r\npart\r\n")
    assert peer.transport.aborted


async def test_nothing_is_written_for_a_client_that_was_lost_in_the_same_turn(connect, task_start):
    peer = connect(hello)
    peer.get()
    await turns(1)
    peer.reset()
    await turns()
    assert not peer.connection.output.gathered
