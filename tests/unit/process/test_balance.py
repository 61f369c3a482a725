import os
import select
import socket
import sys

import pytest

from asgiserver.config.fields import Config
from asgiserver.process.balance import FairShare, LoadBoard, steer
from asgiserver.process.sockets import Sockets
from asgiserver.server.listener import bind_sockets


@pytest.fixture
def board():
    board = LoadBoard.create()
    yield board
    board.close()


def test_the_mean_is_of_those_that_are_alive(board):
    board.used = 3
    board.write(0, 10.0, 100.0)
    board.write(1, 20.0, 100.5)
    board.write(2, 900.0, 90.0)  # silent for long
    assert board.mean(101.0) == 15.0
    assert board.mean(200.0) == float("inf")


def test_takes_when_at_the_mean_and_waits_when_above(board):
    board.used = 2
    mine, other = FairShare(board, 0), FairShare(board, 1)
    other.publish(10, 10, 100.0)
    assert mine.wait(5, 5, 100.0) == 0.0
    assert 0 < mine.wait(30, 30, 100.0) <= FairShare.PATIENCE


def test_takes_in_the_end_what_nobody_else_takes(board):
    board.used = 2
    FairShare(board, 1).publish(0, 0, 100.0)  # which is blocked from now on
    mine = FairShare(board, 0)
    now, waited = 100.0, 0.0
    while delay := mine.wait(50, 50, now):
        waited += delay
        now += delay
    assert waited <= 2 * FairShare.PATIENCE


def test_short_connections_count_for_a_while(board):
    board.used = 1
    share = FairShare(board, 0)
    assert share.publish(0, 10, 100.0) == 10.0
    assert share.publish(0, 10, 100.0 + FairShare.DECAY) == pytest.approx(3.68, abs=0.01)


def test_one_alone_never_waits(board):
    board.used = 1
    share = FairShare(board, 0)
    assert all(share.wait(n, n, 100.0 + n / 1000) == 0.0 for n in range(100))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a filter of Linux")
def test_what_a_failed_successor_chose_is_undone():
    config = Config("app:app", host="127.0.0.1", port=0, balance="reuseport")
    sockets = Sockets(bind_sockets(config), config)
    own = [socket.socket(fileno=os.dup(sockets.for_slot(slot)[0][0])) for slot in (0, 1)]
    address = own[0].getsockname()

    def taken_by():
        with socket.create_connection(address):
            ready, _, _ = select.select(own, [], [], 5)
            ready[0].accept()[0].close()
            return own.index(ready[0])

    sockets.open_to({0})
    assert taken_by() == 0
    steer(own[0], [1])
    sockets.open_to({0})
    assert taken_by() == 1
    sockets.forget_choice()
    sockets.open_to({0})
    assert taken_by() == 0
    for sock in own:
        sock.close()
    sockets.close(unlink=True)
    sockets.close_board()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a filter of Linux")
def test_steers_new_connections():
    queues = []
    port = 0
    for _ in range(4):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        port = sock.getsockname()[1]
        sock.listen(100)
        sock.setblocking(False)
        queues.append(sock)

    def arrivals():
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        for client in clients:
            client.close()
        return [len(list(accept_all(queue))) for queue in queues]

    def accept_all(queue):
        while True:
            try:
                connection, _ = queue.accept()
            except BlockingIOError:
                return
            connection.close()
            yield connection

    steer(queues[0], [2])
    assert arrivals() == [0, 0, 40, 0]
    steer(queues[0], [0, 3])
    counts = arrivals()
    assert counts[1] == counts[2] == 0
    assert sum(counts) == 40
    for queue in queues:
        queue.close()
