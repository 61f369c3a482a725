"""Runs ``python -m asgiserver`` for tests of its processes, and waits for events, not for time."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

DEADLINE = 60.0  # seconds for anything that must happen

APP = """
import asyncio, json, os, signal, sys, time

if os.path.exists("broken"):
    raise RuntimeError("the application is broken")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if os.path.exists("slow"):
            await asyncio.sleep(float(open("slow").read()))
        while os.path.exists("held"):
            await asyncio.sleep(0.01)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        with open("shutdowns", "a") as file:
            file.write(f"{os.getpid()}\\n")
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    else:
        await answer(scope, receive, send)


async def answer(scope, receive, send):
    path, _, argument = scope["path"][1:].partition("/")
    if path == "block":
        time.sleep(float(argument))
    elif path == "hold":
        while os.path.exists(argument):
            time.sleep(0.01)
    elif path == "exit":
        os._exit(int(argument))
    elif path == "sleep":
        await asyncio.sleep(float(argument))
    elif path == "grow":
        app.kept = bytearray(os.urandom(1 << 20)) * int(argument)
    state = scope.get("state", {})
    body = json.dumps({
        "pid": os.getpid(),
        "index": state.get("worker_index"),
        "environ": os.environ.get("ASGISERVER_WORKER_INDEX"),
        "version": VERSION,
    }).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == "stream":
        await send({"type": "http.response.body", "body": body[:5], "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.body", "body": body})


VERSION = 1
"""


class ServerProcess:
    """One server process and its log. Use it as a context manager."""

    def __init__(self, folder: Path, *options: str, through: str = "", **environ: str) -> None:
        """Start the server.

        `through` is a Python program that is started instead, and then becomes the server; its
        arguments are those for the interpreter.
        """
        self.folder = folder
        if not (folder / "app.py").exists():
            (folder / "app.py").write_text(APP)
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._closed = False
        reader, writer = os.pipe()
        command = [sys.executable, *(["-c", through] if through else [])]
        command += ["-m", "asgiserver", "app:app", "--no-access-log"]
        if not any(option in options for option in ("--bind", "--uds", "--fd")):
            command += ["--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--ready-fd", str(writer), *options],
            cwd=folder,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environ},
            pass_fds=(writer,),
            text=True,
            process_group=0,
        )
        os.close(writer)
        self._ready = os.fdopen(reader, "rb")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self._thread.join()
        self._ready.close()
        self.process.stderr.close()

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    # Waiting -----------------------------------------------------------------------------------

    def ready(self) -> ServerProcess:
        """Wait until the server announces that it is ready."""
        line = self._ready.readline()
        assert line, f"the server has ended:\n{self.log}"
        self.address = json.loads(line)["addresses"][0]
        return self

    def see(
        self, pattern: str, count: int = 1, since: int = 0, deadline: float = DEADLINE
    ) -> re.Match[str]:
        """Wait for the `count`-th line that matches `pattern`."""
        end = time.monotonic() + deadline
        with self._news:
            while True:
                found = [m for line in self.lines[since:] if (m := re.search(pattern, line))]
                if len(found) >= count:
                    return found[count - 1]
                left = end - time.monotonic()
                assert left > 0, f"{pattern!r} not seen:\n{self.log}"
                assert not self._closed, f"ended before {pattern!r}:\n{self.log}"
                self._news.wait(left)

    def wait(self) -> int:
        """Wait for the end of the process, and return its exit code."""
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server does not end:\n{self.log}") from None
        self._thread.join(DEADLINE)
        return code

    # Doing -------------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the workers too, as a terminal does."""
        os.killpg(self.process.pid, number)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def restart(self) -> None:
        """Ask for a rolling restart, and wait until it is complete."""
        since = len(self.lines)
        self.signal(signal.SIGHUP)
        self.see("Restart complete", since=since)

    def connect(self, timeout: float = DEADLINE) -> http.client.HTTPConnection:
        parts = urlsplit(self.address)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def open_socket(self) -> socket.socket:
        parts = urlsplit(self.address)
        return socket.create_connection((parts.hostname, parts.port), DEADLINE)

    def send_request(self, path: str) -> socket.socket:
        """A connection on which a request was sent; its answer is not read."""
        client = self.open_socket()
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client

    def get(self, path: str = "/", timeout: float = DEADLINE) -> dict[str, object]:
        connection = self.connect(timeout)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            assert response.status == 200
            return json.loads(response.read())
        finally:
            connection.close()

    def worker_pids(self) -> list[int]:
        """All children of the supervisor, as the kernel lists them."""
        return child_pids(self.process.pid)

    def fd_count(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def replace(file: Path, text: str) -> None:
    """Write a file as a whole, so that nobody who watches it sees it empty."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    new.replace(file)


def child_pids(pid: int) -> list[int]:
    """The children of a process, including children that have ended and were not reaped."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def wait_until_gone(pids: list[int]) -> None:
    """Wait for the end of processes that need not be children of this one."""
    end = time.monotonic() + DEADLINE
    fds = []
    for pid in pids:
        try:
            fds.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    waiting = set(fds)
    while waiting:
        left = end - time.monotonic()
        assert left > 0, f"still there: {pids}"
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            waiting.discard(fd)
    for fd in fds:
        os.close(fd)
