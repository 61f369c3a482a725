"""Logs that a program ships: whole lines, none lost, whoever rotates the files, whoever dies."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
from cli_server import WAIT, Command
from logfmt import read_logfmt

APP = """
import asyncio, json, logging
import asgiserver

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/fail":
        raise RuntimeError("no")
    given = scope["extensions"].get("asgiserver.request", {})
    body = json.dumps({"scope": given.get("id"), "variable": asgiserver.request_id.get()}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def start(tmp_path):
    """Start servers, and end them with the test."""
    (tmp_path / "main.py").write_text(APP)
    started = []

    def start(*options, **arguments):
        options = ["main:app", "--port", "0", "--lifespan", "off", *options]
        started.append(Command(tmp_path, *options, **arguments))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for command in started:
        command.close()


def end(server):
    server.kill(signal.SIGTERM)
    assert server.wait() == 0, server.output
    return server.output.splitlines()


def fetch(server, path="/", *fields):
    """The head and the body of a response."""
    with server.connect() as sock:
        lines = [f"GET {path} HTTP/1.1", "host: a", "connection: close", *fields, "", ""]
        sock.sendall("\r\n".join(lines).encode())
        data = b""
        while part := sock.recv(65536):
            data += part
    head, _, body = data.decode().partition("\r\n\r\n")
    return head, body


class Load:
    """Clients that ask for /1, /2, ... on connections of their own, until the test says stop."""

    def __init__(self, server, clients=4):
        self.asked = []
        self._server = server
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._ended.is_set():
            with self._server.connect() as sock:
                for _ in range(50):
                    with self._lock:
                        number = len(self.asked) + 1
                        self.asked.append(number)
                    sock.sendall(f"GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
                    while not sock.recv(65536).endswith(b"}"):
                        pass

    def wait(self, more):
        """Return after so many more requests."""
        target, deadline = len(self.asked) + more, time.monotonic() + WAIT
        while len(self.asked) < target:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def wait_for(self, path):
        """Return when the file is there."""
        deadline = time.monotonic() + WAIT
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def stop(self):
        self._ended.set()
        for thread in self._threads:
            thread.join(WAIT)
            assert not thread.is_alive()


def numbers(paths, read=json.loads):
    """The numbers of all requests in the files, each of whose lines has to be whole."""
    found = []
    for path in paths:
        text = path.read_text()
        assert not text or text.endswith("\n")
        found += [int(read(line)["path"][1:]) for line in text.splitlines()]
    return sorted(found)


def wait_for_lines(path, count):
    """Wait until the file has so many: a line is written after its answer has been sent."""
    deadline = time.monotonic() + WAIT
    while path.read_text().count("\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("buffer", [(), ("--no-access-log-buffer",)], ids=["batches", "at once"])
def test_no_line_is_torn_or_lost_when_files_are_renamed(start, tmp_path, buffer):
    log = tmp_path / "access.log"
    options = ["--workers", "3", "--access-log-format", "json", "--access-log-file", str(log)]
    server = start(*options, *buffer)
    load = Load(server)
    for rotation in range(5):
        load.wait(200)
        load.wait_for(log)
        log.rename(tmp_path / f"access.log.{rotation}")
        if rotation % 2:  # logrotate's `create` puts an empty file there, `nocreate` does not
            log.touch()
    load.wait(200)
    load.stop()
    end(server)
    assert numbers(sorted(tmp_path.glob("access.log*"))) == load.asked


def test_files_that_are_copied_and_truncated(start, tmp_path):
    """Between the copy and the truncation nothing is written, or that would be lost."""
    log = tmp_path / "access.log"
    options = ["--workers", "2", "--log-format", "logfmt", "--access-log-file", str(log)]
    server = start(*options, "--no-access-log-buffer")
    asked = []
    for rotation in range(3):
        load = Load(server)
        load.wait(100)
        load.stop()
        asked.append(len(load.asked))
        wait_for_lines(log, asked[-1])
        shutil.copy(log, tmp_path / f"access.log.{rotation}")
        os.truncate(log, 0)
    fetch(server, "/1")
    end(server)
    for rotation, count in enumerate(asked):
        assert numbers([tmp_path / f"access.log.{rotation}"], read_logfmt) == [*range(1, count + 1)]
    assert numbers([log], read_logfmt) == [1]


LOGROTATE = shutil.which("logrotate", path="/usr/sbin:/usr/bin")


@pytest.mark.skipif(LOGROTATE is None, reason="logrotate is not installed")
def test_with_logrotate_itself(start, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    log = logs / "access.log"
    server = start("--access-log-format", "json", "--access-log-file", str(log))
    (tmp_path / "conf").write_text(
        f'"{log}" {{\n  su {os.getuid()} {os.getgid()}\n  rotate 9\n  create\n}}\n'
    )
    load = Load(server)
    for _ in range(3):
        load.wait(100)
        command = [LOGROTATE, "--force", "--state", str(tmp_path / "state"), str(tmp_path / "conf")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
        assert done.returncode == 0, done.stderr
    load.wait(100)
    load.stop()
    end(server)
    assert len(list(logs.iterdir())) == 4
    assert numbers(sorted(logs.iterdir())) == load.asked


def test_a_killed_process_loses_nothing_without_the_buffer(start, tmp_path):
    log = tmp_path / "access.log"
    server = start("--access-log-file", str(log), "--no-access-log-buffer")
    for number in range(20):
        fetch(server, f"/{number}")
    wait_for_lines(log, 20)
    server.kill(signal.SIGKILL)
    server.wait()
    assert [int(n) for n in re.findall(r'"GET /(\d+) HTTP', log.read_text())] == [*range(20)]


@pytest.mark.parametrize(
    ("log_format", "read"),
    [("json", json.loads), ("ecs", json.loads), ("gcp", json.loads), ("logfmt", read_logfmt)],
)
def test_a_containers_stream_is_of_one_kind(start, log_format, read):
    server = start("--workers", "2", "--log-format", log_format, "--request-id", "on")
    fetch(server, "/a?b=1", f"traceparent: 00-{TRACE}-{SPAN}-01", "user-agent: test")
    fetch(server, "/fail")
    lines = [read(line) for line in end(server)]  # each one can be read
    texts = "\n".join(map(str, lines))
    assert TRACE in texts
    assert SPAN in texts
    assert "Serving on" in texts
    assert "RuntimeError: no" in texts
    # An exception, its request and the access line have the same id.
    name = {"ecs": "http.request.id"}.get(log_format, "request_id")
    ids = [line[name] for line in lines if name in line]
    assert len(ids) == 3
    assert len(set(ids)) == 2


def test_lines_are_in_order_on_a_pipe(start):
    server = start()
    fetch(server, "/1")
    fetch(server, "/fail")
    lines = end(server)
    place = {
        word: next(n for n, line in enumerate(lines) if word in line)
        for word in (
            "Serving on",
            "GET /1 ",
            "Exception in ASGI application",
            '"GET /fail ',
            "Stopping",
        )
    }
    assert sorted(place.values()) == list(place.values())
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO     "
    line = lines[place["GET /1 "]]
    assert re.match(stamp + r'127\.0\.0\.1:\d+ "GET /1 HTTP/1.1" 200 \d+B [\d.]+ms$', line)


def test_a_request_has_an_id(start):
    server = start("--request-id", "send", "--access-log-format", "{path} {request_id}")
    head, body = fetch(server, "/made")
    made = json.loads(body)["scope"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert json.loads(body)["variable"] == made
    assert f"x-request-id: {made}" in head
    head, body = fetch(server, "/given", "X-Request-Id: abc-1")
    assert json.loads(body) == {"scope": "abc-1", "variable": "abc-1"}
    assert "x-request-id: abc-1" in head
    head, _ = fetch(server, "/fail", "X-Request-Id: abc-2")
    assert head.startswith("HTTP/1.1 500")
    assert "x-request-id: abc-2" in head
    forged, _ = fetch(server, "/forged", 'X-Request-Id: a" b')
    assert 'a"' not in forged
    lines = end(server)
    assert f"/made {made}" in lines
    assert {"/given abc-1", "/fail abc-2"} <= set(lines)


def test_an_id_of_a_stranger_is_not_taken_over(start):
    server = start("--request-id", "send", "--forwarded-allow-ips", "10.0.0.1")
    head, _ = fetch(server, "/", "X-Request-Id: mine")
    assert "x-request-id: mine" not in head
    assert re.search("x-request-id: [0-9a-f]{32}", head)


def test_health_checks_are_left_out_unless_they_fail(start):
    server = start("--access-log-skip", "/f*", "--access-log-skip", "/live")
    for path in ("/live", "/fine", "/fail", "/"):
        fetch(server, path)
    assert re.findall(r'"GET (\S+) ', "\n".join(end(server))) == ["/fail", "/"]


def test_connections_are_numbered(start):
    server = start("--access-log-format", "{connection} {path}")
    with server.connect() as sock:
        for path in (b"/a", b"/b"):
            sock.sendall(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path)
            while not sock.recv(65536).endswith(b"}"):
                pass
    fetch(server, "/c")
    assert [line for line in end(server) if re.match(r"\d /", line)] == ["1 /a", "1 /b", "2 /c"]


def test_a_folder_that_is_missing_is_one_line(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    for flag in ("--log-file", "--access-log-file"):
        command = Command(
            tmp_path, "main:app", "--lifespan", "off", "--port", "0", flag, "no/a.log"
        )
        try:
            assert command.wait() == 2
        finally:
            command.close()
        last = command.output.splitlines()[-1]
        assert last == f"asgiserver: error: {flag} no/a.log: No such file or directory"


def test_both_logs_in_files_leave_the_streams_empty(start, tmp_path):
    server = start("--log-file", "own.log", "--access-log-file", "access.log")
    fetch(server, "/1")
    assert end(server) == []
    assert "Serving on" in (tmp_path / "own.log").read_text()
    assert '"GET /1 HTTP/1.1" 200' in (tmp_path / "access.log").read_text()
