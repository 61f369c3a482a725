"""Requests that run for long without an answer are named once, and their place."""

from __future__ import annotations

import asyncio

import pytest
from fakes import FakePeer, turns

from asgiserver.watch import slow


async def acquire(gate):
    await gate.wait()


@pytest.fixture
async def gate():
    return asyncio.Event()


@pytest.fixture
async def peers(gate):
    async def app(scope, receive, send):
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await acquire(gate)

    first = FakePeer(app, request_warn=10)
    server = first.server
    server.clock.call_each_tick(slow.SlowRequests(server.context).on_tick)
    yield [first, FakePeer(app, server=server)]
    await server.finish()


async def test_a_slow_request_is_named_once(peers, caplog):
    one, two = peers
    one.get(b"/orders?secret")
    two.get(b"/stream")
    await turns()
    one.advance(1)
    assert not caplog.records
    for session in one.context.running.values():
        session.begun -= 10
    one.advance(1)
    one.advance(1)
    (record,) = caplog.records
    assert record.event == "slow_request"
    assert record.path == "/orders"
    assert record.frame.endswith(" acquire")
    assert record.waits_for == "application"
    assert one.context.stats.slow_requests == 1


async def test_a_request_that_has_just_begun_is_not_looked_at(peers, caplog):
    one, two = peers
    one.get(b"/a")
    two.get(b"/b")
    await turns()
    first = next(iter(one.context.running.values()))
    first.begun -= 10
    one.advance(1)
    assert [record.path for record in caplog.records] == ["/a"]
