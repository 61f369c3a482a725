"""A blocked event loop is named in the log: by the application's line, and by its request."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from process_server import DEADLINE, ServerProcess, child_pids

APP = """
import asyncio, logging, os, pdb, re, sys, time


def pause():
    open("gate").close()  # until the test opens it, too


def compute():
    while not os.path.exists("enough"):
        pass


def backtrack():
    re.match("(a+)+$", "a" * 24 + "b")


class Slow(logging.Handler):
    def emit(self, record):
        if record.msg == "slow":
            pause()


async def child():
    await asyncio.sleep(0)
    pause()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        time.sleep(0.7)  # a start-up may block
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"][1:]
    if path == "pause":
        pause()
    elif path == "later":
        await asyncio.sleep(0)
        pause()
    elif path == "compute":
        compute()
    elif path == "long":
        time.sleep(1)
    elif path == "short":
        time.sleep(0.1)
    elif path == "backtrack":
        backtrack()
    elif path == "child":
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
    elif path == "gather":
        await asyncio.gather(child())
    elif path == "debug":
        sys.stdin = open("commands")
        pdb.Pdb(stdin=sys.stdin, stdout=open("answers", "w"), nosigint=True).set_trace()
    elif path == "log":
        handler = Slow()
        logging.getLogger().addHandler(handler)
        logging.getLogger().warning("slow")
        logging.getLogger().removeHandler(handler)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b'"done"'})
"""
MODES = [(), ("--loop", "asyncio"), ("--workers", "2"), ("--reload",)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    os.mkfifo(tmp_path / "gate")
    return tmp_path


def let_pass(folder):
    """End a pause, which has to have begun or to begin in time."""
    open(folder / "gate", "w").close()


@pytest.mark.parametrize("mode", MODES, ids=" ".join)
def test_the_line_of_the_application_and_the_request_are_named(folder, mode):
    with ServerProcess(folder, *mode) as server:
        server.ready()
        client = server.send_request("/pause?secret")
        place = r"in app\.py:\d+ pause, by GET /pause \(\d+\.\d s old\); \d requests run; waiting"
        server.see(rf"WARNING  (\[\d\] )?The event loop has been blocked for \d+\.\d s {place}")
        let_pass(folder)
        server.see(rf"WARNING  (\[\d\] )?The event loop was blocked for \d+\.\d s {place}")
        assert client.recv(12) == b"HTTP/1.1 200"
        client.close()
        assert "secret" not in server.log
        assert len(re.findall(r"has been blocked .* app\.py", server.log)) == 1  # not the start-up
        assert server.stop() == 0


@pytest.mark.parametrize("path", ["later", "child", "gather"])
def test_the_request_is_found_from_whatever_task_works_for_it(folder, path):
    with ServerProcess(folder) as server:
        server.ready()
        client = server.send_request(f"/{path}")
        server.see(rf"blocked for .* in app\.py:\d+ pause, by GET /{path} ")
        let_pass(folder)
        client.close()


def test_computing_is_told_from_waiting(folder):
    with ServerProcess(folder) as server:
        server.ready()
        client = server.send_request("/compute")
        server.see("has been blocked for .* compute, ")
        (folder / "enough").touch()
        client.close()
        server.see(r"was blocked for .* in app\.py:\d+ compute, .* busy[^w]* \(CPU \d+%")


def test_code_that_holds_the_interpreter_lock_is_noticed_when_it_lets_go(folder):
    """Which line held it is named only when the watchdog runs before the loop goes on."""
    with ServerProcess(folder, "--loop-stall-warn", "0.2") as server:
        server.ready()
        server.get("/backtrack")
        server.see(r"was blocked for .* busy")


def test_a_loop_that_is_blocked_in_a_handler_of_logging_is_named_too(folder):
    with ServerProcess(folder) as server:
        server.ready()
        client = server.send_request("/log")
        server.see(
            r"asgiserver: The event loop has been blocked for .* in app\.py:\d+ pause, by GET"
        )
        let_pass(folder)
        client.close()


def wait_for_looks(pid):
    """Wait until the watchdog waits between two looks: at the start it may not have run yet."""
    (thread,) = (task for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid))

    def count():
        return int(re.search(r"^voluntary.*\s(\d+)$", (thread / "status").read_text(), re.M)[1])

    target, deadline = count() + 3, time.monotonic() + DEADLINE
    while count() < target:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stopped_process_is_not_called_a_blocked_loop(folder):
    with ServerProcess(folder) as server:
        server.ready()
        wait_for_looks(server.process.pid)
        server.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        while time.monotonic() < stopped + 1.6:
            os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
            time.sleep(0.05)
        server.signal(signal.SIGCONT)
        server.see(r"WARNING  This process did not run for \d+\.\d s: it was stopped, or")
        assert server.get("/") == "done"
        assert not re.search(r"blocked for (1\.[6-9]|[2-9]|\d\d)", server.log)
        assert server.stop() == 0


def test_a_debugger_is_no_blocked_loop(folder):
    os.mkfifo(folder / "commands")
    with ServerProcess(folder, "--loop-stall-warn", "0.5") as server:
        server.ready()
        client = server.send_request("/debug")
        with open(folder / "commands", "w") as commands:
            while not (folder / "answers").exists():
                time.sleep(0.01)
            opened = time.monotonic()
            while time.monotonic() < opened + 1.5:  # a person thinks
                time.sleep(0.05)
            commands.write("continue\n")
        client.settimeout(DEADLINE)
        assert client.recv(12) == b"HTTP/1.1 200"
        assert server.stop() == 0
        assert "/debug" not in server.log
        client.close()


def test_lines_are_bounded_and_all_stalls_are_counted(folder):
    with ServerProcess(folder, "--loop-stall-warn", "0.02") as server:
        server.ready()
        client = server.connect()
        while "Further blocked event loops are not logged for a minute" not in server.log:
            client.request("GET", "/short")
            client.getresponse().read()
        said = server.log.count("has been blocked")
        assert 0 < said <= 10  # the machine may have held up the start: that is one of the ten
        for _ in range(3):
            client.request("GET", "/short")
            client.getresponse().read()
        client.close()
        assert server.stop() == 0
        assert server.log.count("has been blocked") == said


def test_it_can_be_switched_off(folder):
    with ServerProcess(folder, "--loop-stall-warn", "off") as server:
        server.ready()
        server.get("/long")
        assert server.stop() == 0
        assert "blocked" not in server.log


def test_no_child_of_the_server_is_watched(folder):
    """The thread belongs to what serves, and not to a supervisor."""
    with ServerProcess(folder, "--workers", "2") as server:
        server.ready()
        assert len(os.listdir(f"/proc/{server.process.pid}/task")) == 1
        for pid in child_pids(server.process.pid):
            names = [
                Path(f"/proc/{pid}/task/{task}/comm").read_text().strip()
                for task in os.listdir(f"/proc/{pid}/task")
            ]
            assert len(names) == 2, names
