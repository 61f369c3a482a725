"""Gathered writing, and when writing has to wait."""

import asyncio

import pytest
from fakes import FakeTransport

from asgiserver.wire.output import FLUSH_SIZE, TURN_SIZE, Output


@pytest.fixture
async def transport():
    return FakeTransport()


@pytest.fixture
async def output(transport):
    output = Output(asyncio.get_running_loop())
    output.transport = transport
    transport.protocol = output
    return output


async def test_writes_at_once(output, transport):
    output.write(b"a")
    output.write(b"b")
    assert transport.writes == [b"a", b"b"]


async def test_gathers_while_corked(output, transport):
    output.corked = True
    for part in (b"head", b"body", b"end"):
        output.write(part)
    assert transport.writes == []
    output.flush()
    output.flush()
    assert transport.writes == [b"headbodyend"]


async def test_small_parts_go_in_front_of_what_is_written(output, transport):
    output.gathered.append(b"5\r\n")
    output.write(b"hello")
    assert transport.writes == [b"5\r\nhello"]


class ForeignLoop:
    """A loop whose transports pause their protocol in `writelines`, as uvloop's do."""

    def __init__(self):
        self.soon = []

    def call_soon(self, callback):
        self.soon.append(callback)


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("size", [10, 5000, FLUSH_SIZE + 1])
async def test_a_pair_stays_in_its_place(output, transport, foreign, size):
    if foreign:
        output = Output(ForeignLoop())
        output.transport = transport
    body = bytes(size)
    output.write_pair(b"a", body)
    output.gathered.append(b"b")
    output.write_pair(b"c", body)
    output.corked = True
    output.write(b"d")
    output.write_pair(b"e", body)
    output.write(b"f")
    output.corked = False
    output.flush()
    output.write_pair(b"g", body)
    assert b"".join(transport.writes) == b"a%bbc%bde%bfg%b" % (body, body, body, body)


async def test_a_pair_counts_against_the_share_of_the_turn(transport):
    loop = ForeignLoop()
    output = Output(loop)
    output.transport = transport
    for _ in range(20):
        output.write_pair(b"head", bytes(TURN_SIZE // 20))
    assert not output.writable
    assert len(loop.soon) == 1


async def test_much_is_written_though_corked(output, transport):
    output.corked = True
    part = bytes(FLUSH_SIZE // 2)
    output.write(part)
    assert transport.writes == []
    output.write(part)
    assert transport.writes == [part + part]


async def test_a_large_part_is_not_joined(output, transport):
    output.corked = True
    large = bytes(FLUSH_SIZE)
    output.write(b"head")
    output.write(large)
    assert transport.writes[0] == b"head"
    assert transport.writes[1] is large


async def test_waits_while_the_transport_is_full(output):
    output.pause_writing()
    assert not output.writable
    waiting = [asyncio.create_task(output.wait_writable()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    output.resume_writing()
    assert output.writable
    await asyncio.gather(*waiting)
    await output.wait_writable()


async def test_waiting_writes_what_was_gathered(output, transport):
    output.corked = True
    output.write(b"a")
    output.pause_writing()
    waiting = asyncio.create_task(output.wait_writable())
    await asyncio.sleep(0)
    assert transport.writes == [b"a"]
    output.resume_writing()
    await waiting


async def test_a_share_of_the_turn(output):
    output.write(bytes(TURN_SIZE))
    assert output.writable
    output.write(b"a")
    assert not output.writable
    await output.wait_writable()
    assert output.writable


async def test_a_spent_turn_and_a_full_transport(output):
    output.write(bytes(TURN_SIZE + 1))
    output.pause_writing()
    waiting = asyncio.create_task(output.wait_writable())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not output.writable
    assert not waiting.done()
    output.resume_writing()
    await waiting


async def test_the_transport_has_room_before_the_turn_ends(output):
    output.write(bytes(TURN_SIZE + 1))
    output.pause_writing()
    output.resume_writing()
    assert not output.writable
    await output.wait_writable()
    assert output.writable


async def test_one_waiter_may_be_cancelled(output):
    output.pause_writing()
    waiting = [asyncio.create_task(output.wait_writable()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    output.resume_writing()
    await waiting[1]


async def test_nobody_waits_for_a_lost_connection(output, transport):
    output.corked = True
    output.write(b"a")
    output.pause_writing()
    output.gathered.append(b"b")
    waiting = asyncio.create_task(output.wait_writable())
    await asyncio.sleep(0)
    output.lost()
    await waiting
    output.flush()
    assert transport.writes == [b"ab"]
