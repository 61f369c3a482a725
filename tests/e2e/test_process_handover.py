"""Sockets that are handed over: to a new supervisor, and by systemd; what systemd is told."""

from __future__ import annotations

import contextlib
import os
import signal
import socket

import pytest
from process_server import DEADLINE, ServerProcess, wait_until_gone
from restart_load import Load


@pytest.mark.parametrize("balance", ["shared", "reuseport"])
def test_upgrade_hands_the_sockets_over(tmp_path, balance):
    options = ("--workers", "3", "--pid", "server.pid", "--balance", balance)
    with ServerProcess(tmp_path, *options) as server:
        server.ready()
        old = server.process.pid
        workers = server.worker_pids()
        with contextlib.ExitStack() as stack:
            load = stack.enter_context(Load(server))
            server.signal(signal.SIGUSR2)
            new = int(server.see(r"The new supervisor \(pid (\d+)\) serves")[1])
            assert server.process.wait(DEADLINE) == 0
            wait_until_gone(workers)
            assert (tmp_path / "server.pid").read_text().strip() == str(new)
            os.kill(new, signal.SIGTTOU)  # it knows which queue is whose
            server.see(r"has ended \(scale down\)")
            pids = {server.get()["pid"] for _ in range(20)}
            assert not pids & set(workers)
        assert not load.failures
        assert new != old
        os.kill(new, signal.SIGTERM)
        wait_until_gone([new, *pids])
        assert not (tmp_path / "server.pid").exists()


def test_a_failing_upgrade_changes_nothing(tmp_path):
    with ServerProcess(tmp_path, "--workers", "1", "--pid", "server.pid") as server:
        server.ready()
        (tmp_path / "broken").touch()
        server.signal(signal.SIGUSR2)
        server.see(r"The new supervisor \(pid \d+\) failed, this one goes on")
        assert server.get()["pid"] in server.worker_pids()
        assert (tmp_path / "server.pid").read_text().strip() == str(server.process.pid)
        assert server.stop() == 0


# Without an option that needs one, it is systemd that makes a supervisor of the process.
WORKERS = pytest.mark.parametrize("options", [("--workers", "2"), ()], ids=["two", "one"])


@WORKERS
def test_systemd_is_told_the_truth(tmp_path, options):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(DEADLINE)

        def told() -> dict[str, str]:
            while True:
                lines = systemd.recv(4096).decode().splitlines()
                fields = dict(line.split("=", 1) for line in lines)
                if "WATCHDOG" not in fields:
                    return fields
                beats.append(fields)

        beats: list[dict[str, str]] = []
        environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}
        with ServerProcess(tmp_path, *options, **environ) as server:
            fields = told()
            assert fields["READY"] == "1"
            assert fields["MAINPID"] == str(server.process.pid)
            server.ready()
            server.signal(signal.SIGHUP)
            assert told()["RELOADING"] == "1"
            assert told()["READY"] == "1"
            while not beats:
                beats.append(dict([systemd.recv(99).decode().split("=")]))
            assert beats[0] == {"WATCHDOG": "1"}
            stream = server.send_request("/stream")
            assert stream.recv(9) == b"HTTP/1.1 "
            server.signal(signal.SIGTERM)
            assert told() == {"STOPPING": "1"}
            assert systemd.recv(99) == b"WATCHDOG=1"  # a long drain is no silence
            server.signal(signal.SIGINT)
            assert server.wait() == 0
            stream.close()


def test_systemd_hears_nothing_while_every_loop_is_blocked(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(DEADLINE)
        environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}
        with ServerProcess(tmp_path, "--workers", "2", **environ) as server:
            server.ready()
            while not systemd.recv(999).startswith(b"READY=1"):
                pass
            workers = server.worker_pids()
            os.kill(workers[0], signal.SIGSTOP)
            for _ in range(30):  # 3 s: longer than a silence is waited out
                assert systemd.recv(999) == b"WATCHDOG=1"
            os.kill(workers[1], signal.SIGSTOP)
            systemd.settimeout(1)
            with contextlib.suppress(TimeoutError):
                while True:
                    systemd.recv(999)
            os.kill(workers[1], signal.SIGCONT)
            systemd.settimeout(DEADLINE)
            assert systemd.recv(999) == b"WATCHDOG=1"
            os.kill(workers[0], signal.SIGCONT)
            assert server.stop() == 0


ACTIVATED = """
import os, socket, sys
sock = socket.create_server(("127.0.0.1", 0))
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), WATCHDOG_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@WORKERS
def test_serves_on_the_sockets_of_systemd(tmp_path, options):
    with ServerProcess(tmp_path, *options, through=ACTIVATED) as server:
        server.ready()
        server.see("sockets that systemd has opened")
        assert server.get()["pid"] in server.worker_pids()
        server.restart()
        assert server.stop() == 0


@WORKERS
def test_an_upgrade_keeps_the_sockets_and_the_watchdog_of_systemd(tmp_path, options):
    path = str(tmp_path / "notify")
    environ = {
        "NOTIFY_SOCKET": path,
        "WATCHDOG_USEC": "2000000",
    }  # its queue takes 10 signs of life
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        with ServerProcess(tmp_path, *options, through=ACTIVATED, **environ) as server:
            server.ready()
            server.signal(signal.SIGUSR2)
            new = int(server.see(r"The new supervisor \(pid (\d+)\) serves")[1])
            assert server.process.wait(DEADLINE) == 0
            assert server.get()["version"] == 1
            systemd.setblocking(False)
            told = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    told.append(systemd.recv(999).decode())
            assert any(f"MAINPID={new}" in text for text in told)
            assert "STOPPING=1" not in told
            systemd.settimeout(DEADLINE)
            assert systemd.recv(999) == b"WATCHDOG=1"
            os.kill(new, signal.SIGTERM)
            wait_until_gone([new])
