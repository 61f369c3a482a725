import os
import socket

import pytest

from asgiserver.config.fields import Config
from asgiserver.process.child import ChildProcess
from asgiserver.process.control import Beat, Stop
from asgiserver.process.handle import WorkerHandle
from asgiserver.process.plan import Phase


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    reader, writer = socket.socketpair()
    ours.setblocking(False)
    process = ChildProcess(os.getpid(), lambda: None)
    handle = WorkerHandle(process, ours, reader, slot=1, now=100.0)
    handle.phase, handle.ready_at = Phase.READY, 100.0
    yield handle, theirs
    handle.close()
    theirs.close()
    writer.close()


def test_what_the_limits_say_is_why_it_is_replaced(pair):
    handle, _ = pair
    handle.use(Config("app:app", max_worker_age=60))
    handle.on_beat(Beat(), 159.0)
    assert not handle.view().retire
    handle.on_beat(Beat(), 160.0)
    handle.on_beat(Beat(), 161.0)
    assert handle.view().retire == "it is 60 s old"  # the first reason stays


def test_a_beat_ends_the_suspicion(pair):
    handle, _ = pair
    handle.stacks_at = 150.0
    handle.on_beat(Beat(), 151.0)
    assert handle.view().stacks_at is None
    assert handle.view().beat == 151.0


def test_leaves_by_order(pair):
    handle, theirs = pair
    handle.leave(Stop("restart", delay=0.5), 140.0)
    assert b'"restart"' in theirs.recv(999)
    assert (handle.view().phase, handle.view().kill_at) == (Phase.LEAVING, 140.0)


def test_end_of_the_control_socket(pair):
    handle, theirs = pair
    assert handle.control.read() == []
    theirs.close()
    with pytest.raises(EOFError):
        handle.control.read()
