"""Figures of workers, those that are gone included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from asgiserver.metrics.figures import Snapshot
from asgiserver.process.ledger import Ledger


def handle(pid, slot=0):
    return SimpleNamespace(pid=pid, slot=slot)


def write(board, at=1.0, **figures):
    shown = {"at": at, "figures": Snapshot(**figures).values(), "running": []}
    board.write(json.dumps(shown).encode())


@pytest.fixture
def ledger():
    return Ledger()


GONE_PID = 2**22 + 1  # of no process


def added(ledger, worker):
    board = ledger.open()
    ledger.add(worker, board)
    return board


def test_a_worker_that_has_said_nothing_is_shown(ledger):
    board = added(ledger, handle(GONE_PID))
    ((page,), gone, restarts) = ledger.read()
    assert page.published.figures == {}
    assert (gone, restarts) == ({}, {})
    ledger.retire(page.worker, "failed_start")
    assert ledger.read() == ([], {}, {"failed_start": 1})
    with pytest.raises(ValueError, match="closed"):
        board.read()


def test_what_a_worker_has_counted_stays(ledger):
    for number in range(3):
        worker = handle(GONE_PID + number)
        write(added(ledger, worker), requests=5, open=2)
        ledger.retire(worker, "restart")
    pages, gone, restarts = ledger.read()
    assert pages == []
    assert gone["requests"] == 15
    assert "open" not in gone
    assert restarts == {"restart": 3}


def test_a_worker_that_stops_with_the_server_was_not_replaced(ledger):
    worker = handle(GONE_PID)
    added(ledger, worker)
    ledger.retire(worker, "")
    ledger.retire(worker, "")  # it is known no more
    assert ledger.read()[2] == {}


def test_what_cannot_be_read_is_as_it_was_before(ledger):
    worker = handle(GONE_PID)
    board = added(ledger, worker)
    write(board, requests=5)
    ledger.read()
    board.write(b"{torn")
    assert ledger.read()[0][0].published.figures["requests"] == 5
    ledger.retire(worker, "died")
    assert ledger.read()[1]["requests"] == 5


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="there is no /proc")
def test_cpu_and_memory_are_those_of_the_process_now():
    ledger = Ledger()
    program = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # before its exec is done, a process has no memory to tell of
        worker = handle(process.pid, slot=3)
        board = added(ledger, worker)
        write(board, cpu=1000.0)
        figures = ledger.read()[0][0].published.figures
        assert figures["rss"] > 0
        assert figures["cpu"] == 1000.0  # no CPU time falls
        write(board, cpu=0.0)
        assert ledger.read()[0][0].published.figures["cpu"] == 1000.0
        process.communicate(b"\n")
    ledger.retire(worker, "died")
    assert ledger.read()[1]["cpu"] == {"3": 1000.0}


def test_a_fork_closes_the_boards_of_others(ledger):
    board = added(ledger, handle(GONE_PID))
    ledger.abandon()
    with pytest.raises(ValueError, match="closed"):
        board.read()
