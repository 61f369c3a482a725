"""Gathered writing, and when writing has to wait."""

import asyncio

import pytest
from fakes import FakeTransport

from asgiserver.wire.output import (
    BUSY_GAP,
    BUSY_TIME,
    FLUSH_SIZE,
    JOIN_SIZE,
    TURN_OUTPUTS,
    TURN_SIZE,
    TURN_TIME,
    Output,
    OutputTurn,
)


class Clock:
    """Stands still unless a test moves it."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("asgiserver.wire.output.perf_counter", clock)
    return clock


@pytest.fixture
async def transport():
    return FakeTransport()


@pytest.fixture
async def turn(clock):
    """The turn of a busy loop."""
    turn = OutputTurn(asyncio.get_running_loop())
    keep_busy(turn, clock)
    return turn


def keep_busy(turn, clock, seconds=BUSY_TIME):
    end = clock.now + seconds + BUSY_GAP
    while clock.now <= end:
        turn.add(Output(turn))
        turn.flush()
        clock.now += BUSY_GAP / 2


@pytest.fixture
async def output(transport, turn):
    output = Output(turn)
    output.transport = transport
    transport.protocol = output
    return output


def several(turn, count):
    outputs = [Output(turn) for _ in range(count)]
    for output in outputs:
        output.transport = FakeTransport()
        output.transport.protocol = output
    return outputs


async def test_what_is_written_in_a_turn_leaves_at_its_end_in_one(output, transport):
    output.write(b"a")
    output.write(b"b")
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [b"ab"]
    output.write(b"c")
    await asyncio.sleep(0)
    assert transport.writes == [b"ab", b"c"]


async def test_nothing_waits_before_the_loop_has_been_busy_for_a_while(transport, clock):
    turn = OutputTurn(asyncio.get_running_loop())
    output = Output(turn)
    output.transport = transport
    output.write(b"a")
    keep_busy(turn, clock, BUSY_TIME / 2)
    output.write(b"b")
    assert transport.writes == [b"a", b"b"]
    keep_busy(turn, clock, BUSY_TIME / 2)
    output.write(b"c")
    assert transport.writes == [b"a", b"b"]
    await asyncio.sleep(0)
    assert transport.writes == [b"a", b"b", b"c"]


async def test_after_a_quiet_time_nothing_waits(output, transport, clock):
    clock.now += 2 * BUSY_GAP
    output.write(b"a")
    output.write(b"b")
    assert transport.writes == [b"a", b"b"]


async def test_all_connections_of_a_turn_leave_together(turn):
    outputs = several(turn, 3)
    for output in outputs:
        output.write(b"a")
    assert not any(output.transport.writes for output in outputs)
    await asyncio.sleep(0)
    assert all(output.transport.writes == [b"a"] for output in outputs)


async def test_much_that_is_complete_does_not_wait(output, transport):
    output.write(bytes(JOIN_SIZE))
    assert transport.writes == [bytes(JOIN_SIZE)]


async def test_a_turn_holds_a_bounded_number_of_connections(turn):
    outputs = several(turn, 1000)
    most = 0
    for output in outputs:
        output.write(bytes(100))
        most = max(most, sum(bool(other.gathered) for other in outputs))
    assert most == TURN_OUTPUTS
    await asyncio.sleep(0)
    assert not any(output.gathered for output in outputs)


async def test_nobody_waits_long_for_the_others_of_a_turn(turn, clock):
    first, second = several(turn, 2)
    first.write(b"a")
    clock.now += 2 * TURN_TIME
    second.write(b"b")
    assert (first.transport.writes, second.transport.writes) == ([b"a"], [])
    await asyncio.sleep(0)
    assert second.transport.writes == [b"b"]


async def test_nobody_waits_for_a_while_after_a_slow_step(turn, clock):
    quick, slow = several(turn, 2)
    quick.write(b"a")
    clock.now += 2 * BUSY_GAP
    slow.write(b"b")
    assert quick.transport.writes == [b"a"]
    await asyncio.sleep(0)
    assert slow.transport.writes == [b"b"]
    quick.write(b"c")
    assert quick.transport.writes == [b"a", b"c"]


async def test_what_waits_for_a_connection_that_is_lost_is_dropped(turn):
    lost, other = several(turn, 2)
    lost.write(b"a")
    other.write(b"b")
    lost.lost()
    await asyncio.sleep(0)
    assert (lost.transport.writes, lost.gathered) == ([], [])
    assert other.transport.writes == [b"b"]


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
    output.flush()
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
        output = Output(OutputTurn(ForeignLoop()))
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
    output.flush()
    assert b"".join(transport.writes) == b"a%bbc%bde%bfg%b" % (body, body, body, body)


async def test_a_pair_counts_against_the_share_of_the_turn(transport):
    loop = ForeignLoop()
    output = Output(OutputTurn(loop))
    output.transport = transport
    for _ in range(20):
        output.write_pair(b"head", bytes(TURN_SIZE // 20))
        output.flush()
    assert not output.writable


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
    output.flush()
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
