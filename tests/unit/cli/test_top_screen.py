"""How ``asgiserver top`` looks and what its keys do; the pictures are in the folder ``screens``.

After a change that is meant: UPDATE_SCREENS=1 python -m pytest tests/unit/cli/test_top_screen.py
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from test_top_model import later, status, worker
from textual.widgets import DataTable, RichLog

from asgiserver.cli import top_screen
from asgiserver.cli.top_screen import TopApp, milliseconds, size, span

SCREENS = Path(__file__).with_name("screens")
NOW = 1_800_000_000.0


class FakeRemote:
    """Says what the test wants, and notes the orders."""

    address = "127.0.0.1:9000"

    def __init__(self):
        self.orders = []
        self.answers = []

    def status(self):
        if not self.answers:
            raise ConnectionRefusedError("Connection refused")
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def restart(self, index):
        self.orders.append(index)
        return f"worker {index} is replaced"

    def dump(self):
        raise PermissionError("Permission denied")


def busy():
    """Two statuses of a server that is busy, and has a worker that is stuck."""
    names = (
        ("GET", "/reports/monthly"),
        ("POST", "/orders"),
        ("GET", "/search"),
        ("WebSocket", "/c"),
    )
    running = [
        {"method": method, "path": path, "age": 41.5 / 3**n, "state": "START", "worker": n % 2}
        for n, (method, path) in enumerate(names)
    ]
    before, after = status(began=NOW - 90000), later()
    workers = [
        after["workers"][0],
        worker(index=1, pid=4243, phase="stalled", silence=14.0),
        worker(index=2, pid=4244, age=9000.0),
        worker(index=3, pid=4245, phase="draining", age=300.0, reason="it is 300 s old"),
    ]
    before["workers"] = [worker(**{**one, "phase": "ready"}) for one in workers]
    after |= {"began": NOW - 90000, "workers": workers, "workers_wanted": 4, "running": running}
    return before, after


@pytest.fixture
def remote():
    return FakeRemote()


@pytest.fixture
def app(remote, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    remote.answers = [status()]
    return TopApp(remote, interval=3600)


def texts(app):
    return "\n".join(line.text for line in app.query_one("#events", RichLog).lines)


async def settled(app, pilot):
    await app.workers.wait_for_complete()
    await pilot.pause()


def normalised(svg):
    """Without what differs from one run to the next: the names that Rich gives to styles."""
    return re.sub(r"terminal-\d+", "terminal", svg)


@pytest.mark.parametrize(("name", "dimensions"), [("narrow", (80, 24)), ("wide", (160, 40))])
async def test_it_looks_as_it_did(app, name, dimensions, monkeypatch):
    async with app.run_test(size=dimensions) as pilot:
        await settled(app, pilot)
        app.query_one("#events", RichLog).clear()
        app._before = None
        before, after = busy()
        app.show(before, 100.0, NOW)
        app.show(after, 102.0, NOW + 2)
        app.query_one("#history", top_screen.Sparkline).data = [n % 7 for n in range(60)]
        await pilot.pause()
        svg = normalised(app.export_screenshot())
    path = SCREENS / f"top_{name}.svg"
    if "UPDATE_SCREENS" in os.environ:
        path.write_text(svg)
    assert svg == path.read_text()


async def test_a_server_that_is_gone_is_said_to_be_gone(app, remote):
    remote.answers = []
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        app.look()
        await settled(app, pilot)
        assert texts(app).count("no answer: Connection refused") == 1
        remote.answers = [status()]
        app.look()
        await settled(app, pilot)
        assert "READY" in str(app.query_one("#summary").render())


async def test_keys_give_orders_for_the_selected_worker(app, remote):
    remote.answers = [status(workers=[worker(), worker(index=1, pid=8)])]
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        await pilot.press("down", "r")
        await settled(app, pilot)
        assert remote.orders == [1]
        assert "worker 1 is replaced" in texts(app)
        await pilot.press("d")
        await settled(app, pilot)
        assert "Permission denied" in texts(app)


async def test_workers_are_sorted_by_what_costs_most(app, remote):
    small, large = dict(worker()["figures"], rss=1 << 20), dict(worker()["figures"], rss=9 << 20)
    rows = [worker(figures=small), worker(index=1, pid=8, figures=large)]
    remote.answers = [status(workers=rows)]
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        table = app.query_one("#workers", DataTable)
        assert table.get_row_at(0)[0] == "0"
        await pilot.press("s", "s")
        assert table.get_row_at(0)[0] == "1"


async def test_a_frozen_view_stays(app, remote):
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        await pilot.press("f")
        remote.answers = [status(workers=[])]
        app.look()
        await settled(app, pilot)
        assert app.query_one("#workers", DataTable).row_count == 1
        await pilot.press("f")
        app.look()
        await settled(app, pilot)
        assert app.query_one("#workers", DataTable).row_count == 0


def test_figures_for_people():
    assert [milliseconds(one) for one in (0.00123, 0.25, 1.5)] == ["1.23 ms", "250 ms", "1.5 s"]
    assert [span(one) for one in (3.21, 600, 7200, 200000)] == ["3.2 s", "10 min", "2 h", "2 d"]
    assert size(5 << 20) == "5 MiB"
