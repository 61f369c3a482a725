"""The processes of the benchmarks: their environment, their end, their logs, and the raw limits."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from benchmarks import limits, loops
from benchmarks.cases import CASES
from benchmarks.environment import BenchmarkError, Environment
from benchmarks.loadgen import check_http
from benchmarks.servers import Running, Server, Wanted, stat_fields

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")

WANTED = Wanted("apps:plain")


def running(code, **fields):
    """A process of this interpreter in place of a server."""
    server = Server("stand-in", lambda launch: [sys.executable, "-c", code])
    environment = Environment(Path(sys.executable))
    return Running(server, environment, WANTED, os.sched_getaffinity(0), **fields)


def test_variables_that_configure_a_server_do_not_reach_it(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--threads 9")
    with running("import os; print(*sorted(os.environ), flush=True)") as stand_in:
        stand_in.wait_logged(1)
        names = stand_in.log.read_text().split()
    assert "PYTHONPATH" in names
    assert not {"WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"} & set(names)


def test_what_ignores_its_end_is_killed_with_its_children(monkeypatch):
    monkeypatch.setattr("benchmarks.servers.STOP_SECONDS", 0.1)
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "os.fork(); print(os.getpid(), flush=True); time.sleep(60)"
    )
    with running(code) as stand_in:
        stand_in.wait_logged(2)
        pids = [int(line) for line in stand_in.log.read_text().split()]
        assert set(stand_in.tree()) == set(pids)
    deadline = time.monotonic() + 5
    while any(is_running(pid) for pid in pids):  # the kernel needs a moment
        assert time.monotonic() < deadline
    assert not Path(stand_in.directory.name).exists()


def is_running(pid):
    fields = stat_fields(pid)
    return bool(fields) and fields[0] != "Z"  # a zombie waits for its new parent


def test_an_interrupt_while_stopping_kills_all_the_same(monkeypatch):
    stand_in = running("import time; print(flush=True); time.sleep(60)").__enter__()
    stand_in.wait_logged(1)

    def interrupt(seconds):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(stand_in.process, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stand_in.__exit__()
    assert stand_in.process.returncode in (-signal.SIGTERM, -signal.SIGKILL)


def test_requests_that_are_not_logged_are_no_measurement(monkeypatch):
    monkeypatch.setattr("benchmarks.servers.LOG_SECONDS", 0.0)
    with (
        running("import time; time.sleep(60)") as stand_in,
        pytest.raises(BenchmarkError, match="did not log 3 of its requests"),
    ):
        stand_in.wait_logged(3)


LIMITS = [
    pytest.param(case, name, id=f"{case.name}-{name}")
    for case in CASES.values()
    for name in case.limits
    if case.tool == "wrk" and not case.wanted.tls
]


@pytest.mark.parametrize(("case", "name"), LIMITS)
def test_a_limit_answers_like_the_application_of_its_case(case, name):
    kind = case.wanted.limit if name == "limit" else "chunks"
    server = Server(name, lambda launch: [sys.executable, limits.__file__, kind, str(launch.port)])
    environment = Environment(Path(sys.executable))
    with Running(server, environment, case.wanted, os.sched_getaffinity(0)) as found:
        found.wait_listening()
        check_http(case, found.port)


def test_every_limit_is_one_that_there_is():
    assert {case.wanted.limit for case in CASES.values()} <= set(limits.KINDS)


def test_the_loops_are_compared_in_known_cases():
    assert len({case.name for case in loops.cases()}) == len(loops.cases()) > 10
