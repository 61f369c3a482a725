"""Workers as Windows has them, in interpreters without what Windows does not have.

This is no test on Windows: the inheritance of handles and process groups are imitated.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from pki import Authority
from process_server import DEADLINE, ServerProcess, replace, wait_until_gone

WINDOWS_LIKE = str(Path(__file__).with_name("windows_like.py"))
THROUGH = f"""
import os, sys
os.execv(sys.executable, [sys.executable, {WINDOWS_LIKE!r}, *sys.argv[2:]])
"""
CTRL_BREAK = signal.SIGUSR1  # see windows_like.py


def start(tmp_path, *options):
    return ServerProcess(tmp_path, *options, through=THROUGH)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_one_process_serves(tmp_path, tls):
    ca = Authority()
    certificate, key = ca.issue("127.0.0.1").write(tmp_path, "server")
    options = ("--ssl-certfile", certificate, "--ssl-keyfile", key) if tls else ()
    with start(tmp_path, *options) as server:
        server.ready()
        parts = urlsplit(server.address)
        client = http.client.HTTPConnection(parts.hostname, parts.port, timeout=DEADLINE)
        if tls:
            context = ssl.create_default_context(cadata=ca.pem)
            client = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=DEADLINE, context=context
            )
        for _ in range(3):
            client.request("GET", "/")
            assert json.loads(client.getresponse().read())["pid"] == server.process.pid
        server.signal(signal.SIGINT)
        client.close()
        assert server.wait() == 0
        assert "Traceback" not in server.log


def test_serves_files(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    contents = {"small.txt": b"small\r\n\x1a", "large.bin": bytes(range(256)) * 4096}
    for name, content in contents.items():
        (files / name).write_bytes(content)
    with start(tmp_path, "--static", f"/files={files}") as server:
        server.ready()
        for name, content in contents.items():
            with urlopen(f"{server.address}/files/{name}", timeout=DEADLINE) as answer:
                assert answer.read() == content


@pytest.mark.parametrize("number", [signal.SIGINT, CTRL_BREAK], ids=["Ctrl-C", "Ctrl-Break"])
def test_serves_with_workers_and_stops_without_leftovers(tmp_path, number):
    with start(tmp_path, "--workers", "2") as server:
        server.ready()
        workers = server.worker_pids()
        assert len(workers) == 2
        assert server.get()["pid"] in workers
        client = server.send_request("/sleep/0.5")
        server.signal(number)
        assert client.recv(12) == b"HTTP/1.1 200"
        client.close()
        assert server.wait() == 0
        wait_until_gone(workers)
        assert len((tmp_path / "shutdowns").read_text().split()) == 2
        assert "Traceback" not in server.log


def test_a_worker_killed_under_load_is_replaced(tmp_path):
    with start(tmp_path, "--workers", "2") as server:
        server.ready()
        answers, failures, stop = [], [], threading.Event()

        def load() -> None:
            while not stop.is_set():
                try:
                    answers.append(server.get()["pid"])
                except (OSError, ValueError) as exc:
                    failures.append(exc)

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        for count in range(1, 3):
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            server.see("died: ", count)
            server.see("is ready", 2 + count)
        stop.set()
        for thread in threads:
            thread.join()
        assert len(failures) <= 2 * len(threads)
        assert answers
        server.signal(signal.SIGINT)
        assert server.wait() == 0


def test_replaces_workers_without_losing_a_request(tmp_path):
    with start(tmp_path, "--workers", "2", "--limit-max-requests", "40") as server:
        server.ready()
        pids = set()
        while len(pids) < 4:
            pids.add(server.get()["pid"])
        server.see("is replaced: it has served")
        server.signal(signal.SIGINT)
        assert server.wait() == 0


def test_reloads_what_changed_and_survives_a_syntax_error(tmp_path):
    with start(tmp_path, "--reload") as server:
        server.ready()
        source = tmp_path / "app.py"
        good = source.read_text()
        replace(source, good.replace("VERSION = 1", "VERSION = = 3"))
        server.see(r"app\.py changed, reloading")
        server.see("SyntaxError")
        server.see("Waiting for a file to change")
        replace(source, good.replace("VERSION = 1", "VERSION = 22"))
        server.see("Restart complete")
        assert server.get()["version"] == 22
        server.signal(signal.SIGINT)
        assert server.wait() == 0


def test_a_blocked_loop_tells_where_and_is_replaced(tmp_path):
    with start(tmp_path, "--workers", "2", "--timeout-worker-stuck", "2") as server:
        server.ready()
        client = server.send_request("/block/600")
        server.see("event loop blocked")
        server.see(r"app\.py\", line \d+ in answer")
        server.see("is still blocked")
        server.see("is ready", 3)
        client.close()
        assert server.get()["pid"] in server.worker_pids()
        server.signal(signal.SIGINT)
        assert server.wait() == 0


def test_nobody_is_left_when_the_supervisor_is_killed(tmp_path):
    with start(tmp_path, "--workers", "2") as server:
        server.ready()
        workers = server.worker_pids()
        server.signal(signal.SIGKILL)
        wait_until_gone(workers)


def test_runs_a_function_once_before_the_workers(tmp_path):
    (tmp_path / "migrate.py").write_text("def run():\n    open('migrated', 'a').write('x')\n")
    with start(tmp_path, "--supervise", "--run-once", "migrate:run") as server:
        server.ready()
        assert (tmp_path / "migrated").read_text() == "x"
        server.signal(signal.SIGINT)
        assert server.wait() == 0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--workers", "2", "--preload"), "--preload: not on Windows; leave it out"),
        (("--reload", "--user", "me", "--group", "us"), "--group, --user: not on Windows"),
        (("--uds", "socket", "--workers", "2"), "no unix sockets"),
    ],
    ids=["preload", "user", "unix socket"],
)
def test_what_cannot_be_had_is_refused_in_one_line(tmp_path, options, line):
    with start(tmp_path, *options) as server:
        assert server.wait() == 2
        assert line in server.log
        assert len(server.lines) <= 2
        assert "Traceback" not in server.log


def test_a_loop_that_several_processes_cannot_have_is_refused(tmp_path):
    with start(tmp_path, "--workers", "2", "--loop", "none") as server:
        assert server.wait() == 2
        server.see("workers on Windows need --loop auto or asyncio, not none")
        assert "Traceback" not in server.log


def test_queues_of_their_own_are_replaced_by_one(tmp_path):
    with start(tmp_path, "--workers", "2", "--balance", "reuseport") as server:
        server.ready()
        server.see("balance=reuseport needs Linux: one shared queue is used")
        assert server.get()["pid"] in server.worker_pids()
        server.signal(signal.SIGINT)
        assert server.wait() == 0
