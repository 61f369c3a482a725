import os
import signal
import socket

import pytest

from asgiserver.config.fields import Config
from asgiserver.process.control import Beat, Stop
from asgiserver.process.handle import WorkerHandle, exit_text
from asgiserver.process.plan import Phase


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    reader, writer = socket.socketpair()
    ours.setblocking(False)
    handle = WorkerHandle(os.getpid(), lambda: None, ours, reader, slot=1, now=100.0)
    handle.phase, handle.ready_at = Phase.READY, 100.0
    yield handle, theirs
    handle.close()
    theirs.close()
    writer.close()


def test_recycles_by_requests_within_the_jitter(pair):
    handle, _ = pair
    handle.set_limits(Config("app:app", limit_max_requests=100, limit_max_requests_jitter=50))
    handle.on_beat(Beat(requests=99), 101.0)
    assert not handle.retire
    handle.on_beat(Beat(requests=150), 102.0)
    assert handle.retire == "it has served 150 requests"


def test_recycles_by_age(pair):
    handle, _ = pair
    handle.set_limits(Config("app:app", max_worker_age=60))
    handle.on_beat(Beat(), 159.0)
    assert not handle.retire
    handle.on_beat(Beat(), 160.0)
    assert handle.retire == "it is 60 s old"


def test_recycles_by_memory_that_stays_high(pair):
    handle, _ = pair
    handle.set_limits(Config("app:app", max_worker_rss="1M"))
    high, low = Beat(rss=2 << 20), Beat(rss=1 << 10)
    for beat in (high, high, low, high, high):
        handle.on_beat(beat, 101.0)
    assert not handle.retire
    handle.on_beat(high, 101.0)
    assert handle.retire == "its memory is 2.0 MiB"


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
    assert handle.read_control() == []
    theirs.close()
    with pytest.raises(EOFError):
        handle.read_control()


def test_how_it_ended():
    assert exit_text(0) == "exit code 0"
    assert exit_text(-signal.SIGKILL) == "SIGKILL"
    assert exit_text(-63) == "signal 63" or exit_text(-63).startswith("SIG")
