"""Serves applications of frameworks, each by the command in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
ENDED_IN = 40  # seconds; far more than a request or a stop takes


class Running:
    """An application that is being served; `log` is complete after the stop."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.websocket_url = url.replace("http", "ws", 1)
        self._log = log

    @property
    def log(self) -> str:
        """The server's log so far."""
        return self._log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop the server with the signal `number`; its exit code must be 0."""
        self.process.send_signal(number)
        assert self.process.wait(ENDED_IN) == 0, self.log

    @contextlib.contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """A client of the application."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=ENDED_IN) as client:
            yield client


@contextlib.contextmanager
def running(target: str, log: Path, *flags: str) -> Iterator[Running]:
    """Serve ``examples.frameworks.<target>``; it must stop with 0 and without logged errors."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "asgiserver", f"examples.frameworks.{target}"]
    ours = ("ASGISERVER_", "UVICORN_", "PORT", "WEB_CONCURRENCY", "PYTHONWARNINGS")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with open(reader) as ready, log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", "0", "--ready-fd", str(writer), *flags],
            cwd=ROOT,
            env=env,
            pass_fds=[writer],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
        )
        os.close(writer)
        with process:
            try:
                report = ready.read()  # ends when the server closes the other side, or ends itself
                assert report, log.read_text()
                server = Running(process, json.loads(report)["addresses"][0], log)
                yield server
                if process.returncode is None:
                    server.stop()
                assert "Traceback" not in server.log, server.log
                assert " ERROR " not in server.log, server.log
            finally:
                if process.poll() is None:
                    process.kill()


@pytest.fixture(scope="module")
def served(request, tmp_path_factory):
    """The application ``(target, *flags)`` that a test is parametrized with."""
    target, *flags = request.param
    log = tmp_path_factory.mktemp("served") / "log"
    with running(target, log, *flags) as server:
        yield server


@pytest.fixture
def run(tmp_path):
    """``with run(target, *flags) as server`` serves an application for one test."""
    return lambda target, *flags: running(target, tmp_path / "log", *flags)
