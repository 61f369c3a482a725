"""The place where figures are published."""

from __future__ import annotations

import os
import threading

import pytest

from asgiserver.server.board import HALF, Board


@pytest.fixture
def board():
    board = Board.create()
    yield board
    board.close()


def test_nothing_is_read_before_something_was_written(board):
    assert board.read() == b""


def test_what_was_written_last_is_read(board):
    for number in range(5):
        data = b"%d" % number * (5 - number)
        assert board.write(data)
        assert board.read() == data


def test_another_process_reads_it_by_its_descriptor(board):
    other = Board(os.dup(board.fd))
    try:
        board.write(b"figures")
        assert other.read() == b"figures"
    finally:
        other.close()


def test_memory_of_one_process_has_no_descriptor():
    board = Board(-1)
    board.write(b"figures")
    assert board.read() == b"figures"
    board.close()


def test_what_is_too_large_leaves_the_last_there(board):
    board.write(b"figures")
    assert not board.write(b"x" * (HALF + 1))
    assert board.read() == b"figures"
    assert board.write(b"x" * HALF)


def test_a_reader_sees_nothing_that_is_half_written(board):
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            board.write(bytes([number % 256]) * 4096)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(2000):
            assert len(set(board.read())) <= 1
    finally:
        stop.set()
        thread.join()
