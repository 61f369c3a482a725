"""What a request costs, counted and held to a budget: no clock, so no noise."""

from __future__ import annotations

import asyncio
import math
import sys
from dataclasses import replace

import pytest

from asgiserver import speedups
from benchmarks import apps, budget
from benchmarks.budget import BUDGET, COLUMNS, EAGER, Counts, count, exceeded
from benchmarks.scenarios import SCENARIOS

if not speedups.is_used:
    text = f"the budget is that of the compiled core, which is {speedups.about}"
    pytest.skip(text, allow_module_level=True)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_request_keeps_to_its_budget(name):
    found = count(SCENARIOS[name])
    assert not exceeded(found, BUDGET[name]), found


def test_the_budget_of_a_keep_alive_get_is_one_write_one_task_and_no_timer():
    allowed = BUDGET["get"]
    assert (allowed.writes, allowed.tasks, allowed.futures, allowed.timers) == (1, 1, 0, 0)


def test_nothing_may_stay_behind_in_any_scenario():
    assert {allowed.retained for allowed in BUDGET.values()} == {0}
    assert set(BUDGET) == set(SCENARIOS)


async def careless(scope, receive, send):
    """Makes one of everything, and leaves a cycle behind."""
    loop = asyncio.get_running_loop()
    loop.call_later(60, int).cancel()
    waiter = loop.create_future()
    loop.call_soon(waiter.set_result, None)
    await waiter
    await asyncio.create_task(asyncio.sleep(0))
    cycle = []
    cycle.append(cycle)
    await apps.plain(scope, receive, send)


def test_what_an_application_adds_is_counted():
    plain = count(SCENARIOS["get"])
    found = count(replace(SCENARIOS["get"], app=careless))
    assert found.tasks == plain.tasks + 1
    assert found.timers == plain.timers + 1
    assert found.futures == plain.futures + 1
    assert found.callbacks > plain.callbacks
    assert found.retained >= 1


@pytest.mark.skipif(not EAGER, reason="counted with sys.monitoring, of Python 3.12")
def test_bytecodes_are_those_of_the_server_and_counted_exactly():
    async def busy(scope, receive, send):
        sum(range(1000))
        for _ in range(1000):
            pass
        await apps.plain(scope, receive, send)

    first, again = count(SCENARIOS["get"]), count(SCENARIOS["get"])
    assert first.bytecodes == again.bytecodes > 100
    assert count(replace(SCENARIOS["get"], app=busy)).bytecodes == first.bytecodes


def test_more_writes_are_counted():
    async def late(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": apps.HELLO})

    found = count(replace(SCENARIOS["get"], app=late, ends=b"\r\n0\r\n\r\n"))
    assert found.writes >= 3


def test_a_wrong_answer_is_no_measurement():
    with pytest.raises(AssertionError, match="get: wrong answer"):
        count(replace(SCENARIOS["get"], ends=b"Goodbye"))


def test_exceeding_names_the_columns_and_what_is_unknown_exceeds_nothing():
    allowed = Counts(1, 1, 0, 0, 0, 100, 10, 0)
    assert exceeded(replace(allowed, writes=2, held=11), allowed) == ["writes", "held"]
    assert exceeded(replace(allowed, bytecodes=math.nan), allowed) == []


def test_the_table_shows_every_column_and_tells_by_its_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(budget, "SCENARIOS", {"get": SCENARIOS["get"]})
    assert budget.main() == 0
    heading = capsys.readouterr().out.splitlines()[0]
    assert heading.split() == ["count/budget", *COLUMNS]
    monkeypatch.setattr(budget, "BUDGET", {"get": Counts(0, 1, 0, 0, 9, math.inf, 999, 0)})
    assert budget.main() == 1
    assert "over budget: writes" in capsys.readouterr().out


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring")
def test_counting_leaves_no_tool_behind():
    count(SCENARIOS["get"])
    assert sys.monitoring.get_tool(budget.TOOL) is None
    assert asyncio.Task is asyncio.tasks.Task
