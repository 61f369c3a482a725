import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiserver.config.fields import Config
from asgiserver.process.control import (
    Beat,
    Failed,
    Lines,
    LogLevel,
    Ready,
    Setup,
    Stop,
    Stopping,
    encode,
    receive_setup,
    send_setup,
)

MESSAGES = [
    Ready(),
    Beat(rss=1, requests=2),
    LogLevel(10),
    Failed(3, 'Traceback\n  "quoted"\n\N{SNOWMAN}'),
    Stopping("SIGTERM"),
    Stop("restart", 1.5, 0.5, 0.25),
    Stop("stop", last=True),
]


@given(st.lists(st.sampled_from(MESSAGES)), st.integers(1, 50))
def test_messages_survive_any_cut(messages, size):
    data = b"".join(map(encode, messages))
    lines = Lines()
    received = [m for at in range(0, len(data), size) for m in lines.feed(data[at : at + size])]
    assert received == messages


def test_setup_travels_whatever_its_size():
    setup = Setup(Config("app:app", headers=tuple(f"X-{n}:{'v' * 50}" for n in range(9000))), 3)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=send_setup, args=(ours, setup))
        sender.start()
        assert receive_setup(theirs) == setup
        sender.join()


def test_setup_of_a_supervisor_that_is_gone():
    ours, theirs = socket.socketpair()
    ours.sendall(b"\0\0")
    ours.close()
    with theirs, pytest.raises(EOFError):
        receive_setup(theirs)
