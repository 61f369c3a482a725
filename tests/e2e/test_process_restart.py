"""Restarts that lose nothing: rolling, failed, handed over; what systemd is told."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import threading
from urllib.parse import urlsplit

import pytest
from pki import Authority
from process_server import DEADLINE, ServerProcess, wait_until_gone
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket


class Load:
    """Clients of three kinds, each in a thread; every failure is kept."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.failures: list[BaseException] = []
        self.counts = {"close": 0, "keep-alive": 0, "websocket": 0}
        self.websocket_closes: set[int] = set()
        self._stop = threading.Event()
        kinds = (self.with_close, self.with_close, self.with_keep_alive, self.with_keep_alive)
        self._threads = [
            threading.Thread(target=self._run, args=(kind,)) for kind in (*kinds, self.websocket)
        ]

    def _run(self, kind) -> None:
        try:
            kind()
        except BaseException as exc:
            self.failures.append(exc)

    def with_close(self) -> None:
        while not self._stop.is_set():
            self.server.get()
            self.counts["close"] += 1

    def with_keep_alive(self) -> None:
        """Heeds `Connection: close`, as http.client does, and never sends a request twice."""
        connection = self.server.connect()
        while not self._stop.is_set():
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.status == 200
            response.read()
            self.counts["keep-alive"] += 1
        connection.close()

    def websocket(self) -> None:
        """Connects again when it is told that the service restarts (1012)."""
        url = self.server.address.replace("http", "ws")
        while not self._stop.is_set():
            with connect_websocket(url, open_timeout=DEADLINE, proxy=None) as client:
                try:
                    while not self._stop.is_set():
                        client.send("hello")
                        assert client.recv(DEADLINE) == "hello"
                        self.counts["websocket"] += 1
                except ConnectionClosed as exc:
                    self.websocket_closes.add(exc.rcvd.code if exc.rcvd else 1006)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("workers", "restarts", "balance"), [(1, 10, "auto"), (2, 20, "auto"), (2, 10, "reuseport")]
)
def test_rolling_restarts_under_load_fail_no_request(tmp_path, workers, restarts, balance):
    options = ("--workers", str(workers), "--balance", balance, *SUPERVISED)
    with ServerProcess(tmp_path, *options) as server:
        server.ready()
        with Load(server) as load:
            for number in range(restarts):
                before = set(server.worker_pids())
                server.restart()
                server.see("has ended", (number + 1) * workers)
                assert not before & set(server.worker_pids())
                if load.failures:
                    break
        assert not load.failures
        assert all(count > restarts for count in load.counts.values()), load.counts
        assert load.websocket_closes == {1012}
        assert server.stop() == 0
        assert "Traceback" not in server.log


# One worker runs without a supervisor unless something needs one.
SUPERVISED = ("--pid", "server.pid")


def test_a_restart_brings_new_code(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        assert server.get()["version"] == 1
        source = tmp_path / "app.py"
        source.write_text(source.read_text().replace("VERSION = 1", "VERSION = 22"))
        server.restart()
        server.see("has ended", 2)  # until then an old one takes what comes to it
        assert server.get()["version"] == 22
        assert server.stop() == 0


def test_new_certificates_come_with_sighup_and_fail_no_request(tmp_path):
    ca = Authority()
    old, new = ca.issue("127.0.0.1"), ca.issue("127.0.0.1")
    certificate, key = old.write(tmp_path, "server")
    context = ssl.create_default_context(cadata=ca.pem)
    options = ("--ssl-certfile", certificate, "--ssl-keyfile", key)

    def get() -> bytes:
        """The certificate with which a request on a connection of its own was answered."""
        parts = urlsplit(server.address)
        client = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=DEADLINE, context=context
        )
        try:
            client.request("GET", "/", headers={"Connection": "close"})
            shown = client.sock.getpeercert(binary_form=True)
            response = client.getresponse()
            assert response.status == 200
            assert response.read()
            return shown
        finally:
            client.close()

    def load() -> None:
        try:
            while not stop.is_set():
                seen.add(get())
        except BaseException as exc:
            failures.append(exc)

    with ServerProcess(tmp_path, "--workers", "2", *options) as server:
        server.ready()
        assert get() == old.der
        seen, failures, stop = set(), [], threading.Event()
        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        new.write(tmp_path, "server")
        server.restart()
        server.see("has ended", 2)
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures
        assert seen <= {old.der, new.der}
        assert {get() for _ in range(10)} == {new.der}
        assert server.stop() == 0


def test_a_failing_replacement_leaves_the_old_ones_serving(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        workers = set(server.worker_pids())
        (tmp_path / "broken").touch()
        server.signal(signal.SIGHUP)
        server.see("could not start: .*the application is broken")
        server.see("Restart given up: the workers that were there go on serving")
        assert set(server.worker_pids()) == workers
        assert server.get()["pid"] in workers
        (tmp_path / "broken").unlink()
        server.restart()
        server.see("has ended", 2)
        assert not set(server.worker_pids()) & workers
        assert server.stop() == 0


def test_descriptors_do_not_leak(tmp_path):
    with ServerProcess(tmp_path, "--workers", "1", *SUPERVISED) as server:
        server.ready()
        counts = []
        for number in range(1, 16):
            server.restart()
            server.see("has ended", number)
            counts.append(server.fd_count())
        # A line that is just being written has the stream open once more.
        assert max(counts) - min(counts) <= 1, counts
        assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_drain_delay_keeps_accepting(tmp_path, workers):
    options = ("--workers", workers, "--drain-delay", "1.5", "--ready-file", "ready")
    with ServerProcess(tmp_path, *options) as server:
        server.ready()
        assert (tmp_path / "ready").exists()
        server.signal(signal.SIGTERM)
        server.see(r"Stopping \(SIGTERM\)")
        announced = False
        while not announced:  # the order is on its way to the workers
            client = server.connect()
            client.request("GET", "/")
            response = client.getresponse()
            assert response.read()
            announced = response.getheader("connection") == "close"
            client.close()
        assert not (tmp_path / "ready").exists()
        assert server.get()["version"] == 1
        assert server.wait() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupt_does_not_wait_for_the_drain_delay(tmp_path, workers):
    with ServerProcess(tmp_path, "--workers", workers, "--drain-delay", "600") as server:
        server.ready()
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.wait() == 0


def test_logging_is_read_again(tmp_path):
    def log_to(name: str) -> None:
        file = {"class": "logging.FileHandler", "filename": name}
        stderr = {"class": "logging.StreamHandler"}
        handlers = {"file": file, "stderr": stderr}
        loggers = {"asgiserver": {"handlers": list(handlers), "level": "DEBUG"}}
        text = json.dumps({"version": 1, "handlers": handlers, "loggers": loggers})
        (tmp_path / "log.json").write_text(text)

    log_to("first")
    with ServerProcess(tmp_path, "--workers", "2", "--log-config", "log.json") as server:
        server.ready()
        log_to("second")
        server.restart()
        server.see("has ended", 2)
        assert server.stop() == 0
        second = (tmp_path / "second").read_text()
        assert "Serving on" in (tmp_path / "first").read_text()
        assert "Restart complete" in second  # the supervisor
        assert second.count("Stopped") == 2  # the workers
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        (tmp_path / "asgiserver.toml").write_text('log_level = "nonsense"')
        server.signal(signal.SIGHUP)
        server.see("kept as it was, no restart: .*nonsense")
        (tmp_path / "asgiserver.toml").write_text('log_level = "debug"\nworkers = 3')
        server.restart()
        server.see("has ended", 2)
        assert server.get()["pid"] in server.worker_pids()
        assert server.stop() == 0


def test_requests_in_flight_are_finished(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        client = server.send_request("/sleep/1")
        server.signal(signal.SIGTERM)
        data = b""
        while chunk := client.recv(65536):
            data += chunk
        client.close()
        assert data.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in data.lower()
        assert server.wait() == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(
    "options", [(), ("--workers", "2"), ("--workers", "2", "--balance", "reuseport")], ids=" ".join
)
def test_what_waits_in_the_queue_at_the_stop_is_answered(tmp_path, loop, options):
    with ServerProcess(tmp_path, "--loop", loop, *options) as server:
        server.ready()
        serving = server.worker_pids() or [server.process.pid]
        for pid in serving:
            os.kill(pid, signal.SIGSTOP)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.send_request("/")) for _ in range(30)]
            server.signal(signal.SIGTERM)
            if options:
                server.see(r"Stopping \(SIGTERM\)")
            for pid in serving:
                os.kill(pid, signal.SIGCONT)
            for client in clients:
                assert client.recv(12) == b"HTTP/1.1 200"
        assert server.wait() == 0


# Handing over ---------------------------------------------------------------------------------


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
