"""Restarts that lose nothing: rolling, failed, and by a stop; new certificates and logs."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import threading
from urllib.parse import urlsplit

import pytest
from pki import Authority
from process_server import DEADLINE, ServerProcess
from restart_load import Load


@pytest.mark.parametrize(
    ("workers", "restarts", "balance"), [(1, 5, "auto"), (2, 10, "auto"), (2, 5, "reuseport")]
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
        for number in range(1, 9):
            server.restart()
            server.see("has ended", number)
            counts.append(server.fd_count())
        # A line that is just being written has the stream open once more.
        assert max(counts) - min(counts) <= 1, counts
        assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_drain_delay_keeps_accepting(tmp_path, workers):
    """Until it is over, or an interrupt ends it."""
    options = ("--workers", workers, "--drain-delay", "600", "--ready-file", "ready")
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
        server.signal(signal.SIGINT)
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
