"""The channel of a worker: stacks and answers, however they are cut."""

from __future__ import annotations

import json
import socket

import pytest

from asgiserver.process import told as module
from asgiserver.process.told import Told


@pytest.fixture
def channel():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    told = Told(ours)
    yield told, theirs
    told.close()
    theirs.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_stacks_and_answers_are_told_apart_however_they_are_cut(channel, size):
    told, theirs = channel
    data = b"Thread 1\n" + b'\x1e{"pid": 1}\n' + b"Thread 2\n" + b'\x1e{"pid": 2}\n'
    answers = []
    for at in range(0, len(data), size):
        theirs.sendall(data[at : at + size])
        found, is_open = told.read(10.0)
        assert is_open
        answers += found
    assert answers == [{"pid": 1}, {"pid": 2}]
    assert told.flush_at == 10.0 + module.MORE
    assert told.take_stacks() == "Thread 1\nThread 2"
    assert told.take_stacks() == ""


def test_an_answer_that_a_signal_has_broken_is_dropped_and_the_next_one_is_read(channel):
    told, theirs = channel
    theirs.sendall(b'\x1e{"pid":Thread 1\n 1}\n\x1e{"pid": 2}\n\x1e[]\n')
    answers, _ = told.read(0.0)
    assert answers == [{"pid": 2}]


def test_what_is_kept_is_bounded(channel, monkeypatch):
    told, theirs = channel
    monkeypatch.setattr(module, "MAX_ANSWER", 10)
    monkeypatch.setattr(module, "MAX_STACKS", 10)
    theirs.sendall(b"\x1e" + json.dumps({"long": "x" * 100}).encode() + b"\n" + b'\x1e{"a": 1}\n')
    assert told.read(0.0)[0] == [{"a": 1}]
    for _ in range(5):
        theirs.sendall(b"12345678")
        told.read(0.0)
    assert len(told.take_stacks()) == 16


def test_the_end_of_the_channel(channel):
    told, theirs = channel
    assert told.read(0.0) == ([], True)
    told.ask()
    assert theirs.recv(99) == b"dump\n"
    theirs.close()
    told.ask()
    assert told.read(0.0) == ([], False)
