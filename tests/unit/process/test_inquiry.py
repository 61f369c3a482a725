"""An inquiry ends with all answers, or without those that do not come."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from asgiserver.process import inquiry as module
from asgiserver.process.child import ChildProcess
from asgiserver.process.handle import WorkerHandle
from asgiserver.process.inquiry import Inquiries


class Process(ChildProcess):
    """Notes the signals that it is sent."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.signals = []

    def signal(self, signum):
        self.signals.append(signum)


@pytest.fixture
def workers():
    made, theirs = [], []
    for slot in range(2):
        pairs = [socket.socketpair(), socket.socketpair()]
        for ours, _ in pairs:
            ours.setblocking(False)
        process = Process(1000 + slot, lambda: None)
        worker = WorkerHandle(process, pairs[0][0], pairs[1][0], slot=slot)
        made.append(worker)
        theirs += [pairs[0][1], pairs[1][1]]
    yield made
    for worker in made:
        worker.close()
    for sock in theirs:
        sock.close()


def test_all_answers_are_one_result(workers):
    inquiries, results = Inquiries(), []
    inquiries.ask(workers, results.append)
    assert inquiries.on_answer(workers[1], {"pid": 2})
    assert not results
    assert inquiries.on_answer(workers[0], {"pid": 1})
    assert not inquiries.on_answer(workers[0], {"pid": 1})  # nobody has asked
    (result,) = results
    assert result["pid"] == os.getpid()
    assert [entry["dump"] for entry in result["workers"]] == [{"pid": 1}, {"pid": 2}]


def test_who_asks_meanwhile_gets_the_same_result(workers):
    inquiries, results = Inquiries(), []
    for _ in range(3):
        inquiries.ask(workers, results.append)
    for worker in workers:
        inquiries.on_answer(worker, {})
    assert len(results) == 3
    inquiries.ask(workers, results.append)  # and then a new one begins
    assert len(results) == 3


def test_without_workers_the_result_comes_at_once():
    results = []
    Inquiries().ask([], results.append)
    assert results[0]["workers"] == []


def test_a_worker_that_ends_is_not_waited_for(workers):
    inquiries, results = Inquiries(), []
    inquiries.ask(workers, results.append)
    inquiries.on_gone(workers[0])
    inquiries.on_gone(workers[0])
    inquiries.on_answer(workers[1], {})
    assert results[0]["workers"][0]["note"] == "it has ended meanwhile"


def test_a_silent_worker_is_signalled_and_then_left(workers):
    inquiries, results = Inquiries(), []
    assert inquiries.chores(time.monotonic()) == float("inf")
    inquiries.ask(workers, results.append)
    now = time.monotonic()
    assert inquiries.chores(now) <= now + module.PATIENCE
    assert not inquiries.on_stacks(workers[0], "of another signal")
    again = inquiries.chores(now + module.PATIENCE)
    assert [worker.process.signals for worker in workers] == [[signal.SIGUSR1]] * 2
    assert inquiries.chores(again - 0.1) == again
    assert workers[0].process.signals == [signal.SIGUSR1]  # once
    assert inquiries.on_stacks(workers[0], "Thread 1")
    inquiries.chores(again)
    first, second = results[0]["workers"]
    assert first["stacks"] == "Thread 1"
    assert "code in C" in first["note"]
    assert second["note"] in ("it does not answer", "it has ended meanwhile")
