"""The worker class under a real gunicorn."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from process_server import child_pids

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

from asgiserver.gunicorn import Worker

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60  # seconds; far more than anything takes
APP = """
import asyncio, os, time

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if "FAIL" in os.environ:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("lifespan ended", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/wait":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "more_body": True})
        await scope["extensions"]["asgiserver.shutdown"]["wait"]()
        await send({"type": "http.response.body", "body": b"the end"})
        return
    if scope["path"] == "/endless":
        await asyncio.Event().wait()
    if scope["path"] == "/block":
        time.sleep(60)
    body = f"{os.getpid()} {scope['client'][0]}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"it is WSGI"]
"""


class Gunicorn:
    """A running gunicorn; `log` is what it and its workers have said so far."""

    def __init__(self, process, port, log):
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self._log = log

    @property
    def log(self):
        return self._log.read_text()

    def until(self, text, times=1):
        """Wait for `text` in the log."""
        end = time.monotonic() + DEADLINE
        while True:
            has_ended = self.process.poll() is not None  # first: what it says last comes before
            if self.log.count(text) >= times:
                return
            assert time.monotonic() < end, self.log
            assert not has_ended, self.log
            time.sleep(0.02)

    def get(self, path="/", **options):
        return httpx.get(self.url + path, trust_env=False, timeout=DEADLINE, **options)

    def stop(self, number=signal.SIGTERM):
        """Stop it; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


@pytest.fixture
def start(tmp_path):
    """``start(*flags)`` is a gunicorn that serves on a free port with one worker."""
    with contextlib.ExitStack() as stack:

        def start(*flags, app="gunicorn_app:app", ready=True, **variables):
            (tmp_path / "gunicorn_app.py").write_text(APP)
            # gunicorn would log port 0 as it is: it gets a socket that is bound.
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            log = tmp_path / "log"
            command = [sys.executable, "-m", "gunicorn", "-k", "asgiserver.gunicorn.Worker"]
            command += ["--bind", f"fd://{listener.fileno()}", "--access-logfile", "-", *flags, app]
            ours = ("ASGISERVER_", "UVICORN_", "GUNICORN_", "WEB_CONCURRENCY", "PORT")
            env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
            env |= {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), **variables}
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command,
                    cwd=tmp_path,
                    env=env,
                    pass_fds=[listener.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            stack.callback(end, process)
            server = Gunicorn(process, listener.getsockname()[1], log)
            if ready:
                server.until("Serving on")
            return server

        yield start


def end(process):
    """Nothing of a failed test stays."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(DEADLINE)


def in_background(function, *args):
    """Call it in a thread; what it returned or raised, once asked for."""
    results = []

    def call():
        try:
            results.append(function(*args))
        except httpx.HTTPError as error:
            results.append(error)

    thread = threading.Thread(target=call)
    thread.start()

    def result():
        thread.join(DEADLINE)
        return results[0]

    return result


def test_serves_and_stops_gracefully(start):
    server = start()
    response = server.get(headers={"x-forwarded-for": "10.1.2.3"})
    assert response.text.split()[1:] == ["10.1.2.3"]
    assert response.headers["server"] == "asgiserver"
    with httpx.stream("GET", server.url + "/wait", trust_env=False, timeout=DEADLINE) as waiting:
        assert waiting.status_code == 200  # its head has come: it is being served
        server.process.send_signal(signal.SIGTERM)
        assert waiting.read() == b"the end"
    assert server.process.wait(DEADLINE) == 0
    assert "lifespan ended" in server.log
    assert '"GET / HTTP/1.1" 200' in server.log
    assert "Traceback" not in server.log


def test_workers_share_the_socket_and_are_reloaded(start):
    server = start("--workers", "2")
    server.until("Serving on", 2)
    before = {server.get().text.split()[0] for _ in range(20)}
    server.process.send_signal(signal.SIGHUP)
    server.until("Serving on", 4)
    server.until("Stopped", 2)
    assert not before & {server.get().text.split()[0] for _ in range(20)}
    assert server.stop() == 0


def test_a_quick_stop(start):
    server = start()
    endless = in_background(server.get, "/endless")
    server.get()
    assert server.stop(signal.SIGQUIT) == 0
    assert isinstance(endless(), httpx.HTTPError) or endless().status_code >= 500
    assert "lifespan ended" in server.log


def test_a_worker_is_replaced_after_its_requests(start):
    server = start("--max-requests", "3")
    first = {server.get().text.split()[0] for _ in range(3)}
    server.until("3 requests served")
    server.until("Serving on", 2)
    assert server.get().text.split()[0] not in first
    assert server.stop() == 0


def test_a_blocked_worker_is_replaced(start):
    server = start("--timeout", "3")
    blocked = in_background(server.get, "/block")
    server.until("WORKER TIMEOUT")
    server.until("Serving on", 2)
    answer = blocked()
    assert isinstance(answer, httpx.HTTPError) or answer.status_code == 500
    assert server.get().status_code == 200
    assert server.stop() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
def test_an_idle_worker_is_not(start):
    """It gives a sign of life now and then: it touches a file, which gunicorn looks at."""
    server = start("--timeout", "30")
    (worker,) = child_pids(server.process.pid)
    (file,) = (
        path for path in Path(f"/proc/{worker}/fd").iterdir() if "wgunicorn-" in os.readlink(path)
    )
    signs, end = {file.stat().st_ctime_ns}, time.monotonic() + 20  # before the timeout
    while len(signs) < 3:
        assert time.monotonic() < end
        signs.add(file.stat().st_ctime_ns)
        time.sleep(0.02)
    assert "TIMEOUT" not in server.log
    assert server.stop() == 0


def test_a_failing_start_up_ends_gunicorn(start):
    server = start(ready=False, FAIL="1")
    assert server.process.wait(DEADLINE) == 3
    assert "no database" in server.log


@pytest.mark.parametrize("flags", [["--threads", "3"], ["--preload"]])
def test_wsgi(start, flags):
    server = start(*flags, app="gunicorn_app:wsgi")
    assert server.get().text == "it is WSGI"
    assert server.stop() == 0
    assert "The application is served as WSGI" in server.log


def configured(**settings):
    """The configuration that a worker makes of gunicorn's settings."""
    from gunicorn.config import Config

    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    worker = object.__new__(Worker)
    worker.cfg, worker.wsgi = cfg, len
    return worker._config()


def test_settings():
    config = configured(
        keepalive=7,
        graceful_timeout=20,
        forwarded_allow_ips="10.0.0.1,10.0.0.2",
        backlog=99,
        threads=5,
        limit_request_fields=50,
        workers=4,
    )
    assert config.timeout_keep_alive == 7
    assert config.timeout_graceful_shutdown == 18  # before gunicorn kills it
    assert set(config.forwarded_allow_ips) == {"10.0.0.1", "10.0.0.2", "unix"}
    assert (config.backlog, config.wsgi_threads, config.limit_request_fields) == (99, 5, 50)
    assert config.workers == 1
    assert not config.access_log
    assert configured(accesslog="-").access_log


def test_options_of_a_subclass_and_of_the_environment(monkeypatch):
    monkeypatch.setenv("ASGISERVER_WS_MAX_QUEUE", "5")
    monkeypatch.setattr(Worker, "OPTIONS", {"timeout_keep_alive": 9, "loop": "asyncio"})
    config = configured(keepalive=7)
    assert (config.timeout_keep_alive, config.loop, config.ws_max_queue) == (9, "asyncio", 5)


def test_tls_settings():
    config = configured(certfile="c.pem", keyfile="k.pem", ca_certs="a.pem", cert_reqs=2)
    assert (config.ssl_certfile, config.ssl_keyfile) == ("c.pem", "k.pem")
    assert (config.ssl_ca_certs, config.ssl_cert_reqs) == ("a.pem", 2)
    assert config.ssl_context_factory is None
    made = configured(certfile="c.pem", ssl_context=lambda config, make: "mine")
    assert made.ssl_context_factory(made, None) == "mine"
