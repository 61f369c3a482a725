"""Start-up time, memory when idle, memory per idle connection, latency in a crowd, a big upload."""

from __future__ import annotations

import select
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks import loadgen
from benchmarks.cases import HTTP_PEERS, PLAIN, PLAINTEXT, WEBSOCKET_PEERS, Case
from benchmarks.charts import Bar, bar_chart
from benchmarks.environment import BenchmarkError
from benchmarks.experiment import Settings, Study, lowest
from benchmarks.measure import serving
from benchmarks.report import Report, number
from benchmarks.servers import SERVERS, Running, Wanted

KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20
IDLE_CONNECTIONS = 1000
UPLOAD_BYTES = 1 << 30

Probe = Callable[[Settings, str], dict[str, float]]


def collect(
    settings: Settings,
    title: str,
    name: str,
    servers: tuple[str, ...],
    probe: Probe,
    rounds: int = 1,
    wanted_lowest: tuple[str, ...] = (),
) -> Report:
    """Probe each server in turn, for some rounds.

    The rows of the report are the medians; its bars are the first column.
    """
    samples: dict[str, list[dict[str, float]]] = {server: [] for server in servers}
    problems: dict[str, str] = {}
    for number_of_round in range(rounds):
        for server in servers:
            if server in problems:
                continue
            settings.progress(f"{name}: round {number_of_round + 1}/{rounds}, {server}")
            try:
                samples[server].append(probe(settings, server))
            except (BenchmarkError, OSError) as error:
                problems[server] = str(error)
    measured = {server: found for server, found in samples.items() if server not in problems}
    columns = tuple(next(iter(measured.values()))[0]) if measured else ("value",)

    def values(server: str, column: str) -> list[float]:
        return [sample[column] for sample in measured[server]]

    medians = {
        column: {server: statistics.median(values(server, column)) for server in measured}
        for column in columns
    }
    rows: list[tuple[str, ...]] = []
    for server in servers:
        if server in measured:
            rows.append((server, *(number(medians[column][server]) for column in columns)))
        else:
            rows.append((server, f"not measured: {problems[server]}"))
    bars = [
        Bar(server, medians[columns[0]][server], min(found), max(found), ours=server == servers[0])
        for server in measured
        if (found := values(server, columns[0]))
    ]
    verdicts = []
    if servers[0] in measured:
        for column in wanted_lowest:
            verdicts += lowest(medians[column], column)
    chart = bar_chart(title, columns[0], bars)
    return Report(name, title, ("server", *columns), rows, chart, verdicts, data=samples)


def probe_start(settings: Settings, server: str) -> dict[str, float]:
    """Time from the start of the process to the first right answer, then the idle memory."""
    with serving(settings.environment, SERVERS[server], PLAINTEXT) as running:
        elapsed = time.monotonic() - running.started
        cpu = running.cpu_seconds()
        time.sleep(0.2)  # a server may still be busy after its first answer
        rss, pss = running.resident_bytes()
        return {
            "idle memory MiB (PSS)": pss / MEBIBYTE,
            "idle memory MiB (RSS)": rss / MEBIBYTE,
            "start ms": elapsed * 1000,
            "start CPU ms": cpu * 1000,
        }


@contextmanager
def idle_connections(
    running: Running, count: int, fields: str = ""
) -> Iterator[list[socket.socket]]:
    """Open connections that each got one answer and then stay silent."""
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n".encode()
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", running.port), 5)
            sockets.append(client)
            client.sendall(request)
            answer = b""
            wanted = b"\r\n\r\n" if fields else b"Hello, world!"
            while wanted not in answer:
                data = client.recv(4096)
                if not data:
                    raise BenchmarkError("closes idle connections at once")
                answer += data
        yield sockets
    finally:
        for client in sockets:
            client.close()


def still_open(sockets: list[socket.socket]) -> int:
    """The number of open connections; one that the server has closed is readable (end of file)."""
    poller = select.poll()
    for client in sockets:
        poller.register(client, select.POLLIN)
    return len(sockets) - len(poller.poll(0))


def memory_per_connection(case: Case, fields: str = "") -> Probe:
    """Growth of the resident memory per idle connection."""

    def probe(settings: Settings, server: str) -> dict[str, float]:
        with serving(settings.environment, SERVERS[server], case) as running:
            # The first connections are not counted: they fill caches, pools and freed memory.
            with idle_connections(running, IDLE_CONNECTIONS // 5, fields) as first:
                time.sleep(0.2)
                before = running.resident_bytes()[0]
                with idle_connections(running, IDLE_CONNECTIONS, fields) as more:
                    time.sleep(0.2)
                    grown = running.resident_bytes()[0] - before
                    closed = len(first) + len(more) - still_open([*first, *more])
            if closed:
                raise BenchmarkError(f"closed {closed} idle connections")
            return {"KiB per connection": grown / IDLE_CONNECTIONS / KIBIBYTE}

    return probe


def probe_crowd(settings: Settings, server: str) -> dict[str, float]:
    """Latency of 100 busy connections while 1,000 others are open and idle."""
    case = replace(CROWD, connections=100)
    with serving(settings.environment, SERVERS[server], case) as running:
        with idle_connections(running, IDLE_CONNECTIONS) as sockets:
            load = loadgen.generate(settings.environment, case, running.port, 2.0)
            left = still_open(sockets)
        return {
            "p99 ms": load.p99_us / 1000,
            "p50 ms": load.p50_us / 1000,
            "requests/s": load.requests / load.seconds,
            "errors": load.errors,
            "idle ones left": left,
        }


def probe_upload(settings: Settings, server: str) -> dict[str, float]:
    """Send 1 GiB as fast as the server takes it; the application drops it as it arrives."""
    with serving(settings.environment, SERVERS[server], UPLOAD) as running:
        before, cpu_before = running.peak_bytes(), running.cpu_seconds()
        block = bytes(MEBIBYTE)
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", running.port), 30) as client:
            head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n"
            client.sendall(head.encode())
            for _ in range(UPLOAD_BYTES // MEBIBYTE):
                client.sendall(block)
                if time.monotonic() - start > 40:
                    raise BenchmarkError("took more than 40 s")
            answer = client.recv(4096)
            while answer and str(UPLOAD_BYTES).encode() not in answer:
                more = client.recv(4096)
                if not more:
                    raise BenchmarkError(f"wrong answer: {answer[:40]!r}")
                answer += more
        return {
            "memory growth MiB": (running.peak_bytes() - before) / MEBIBYTE,
            "CPU seconds": running.cpu_seconds() - cpu_before,
            "MiB/s": UPLOAD_BYTES / MEBIBYTE / (time.monotonic() - start),
        }


CROWD = replace(PLAINTEXT, name="crowd", wanted=replace(PLAIN, keep_alive=75))
UPLOAD = Case("upload", "", Wanted("apps:upload"), answer=b"1024", body_bytes=1024)
SOCKETS = Case(
    "memory-websocket",
    "",
    Wanted("apps:websocket_echo", protocol="websocket"),
    tool="ws_load",
    connections=1,
    body_bytes=64,
)
HTTP = ("asgiserver", *HTTP_PEERS)
WEBSOCKET = ("asgiserver", *WEBSOCKET_PEERS)
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def study(
    name: str, title: str, servers: tuple[str, ...], probe: Probe, **options: Any
) -> tuple[str, Study]:
    """A named study that probes these servers."""

    def run(settings: Settings) -> Report:
        return collect(settings, title, name, servers, probe, **options)

    return name, Study(title, run)


STUDIES: dict[str, Study] = dict(
    (
        study(
            "startup",
            "Start-up, and memory of one idle worker",
            HTTP,
            probe_start,
            rounds=3,
            wanted_lowest=("idle memory MiB (PSS)", "start ms"),
        ),
        study(
            "memory-keepalive",
            "Memory per idle keep-alive connection",
            HTTP,
            memory_per_connection(CROWD),
            rounds=3,
            wanted_lowest=("KiB per connection",),
        ),
        study(
            "memory-websocket",
            "Memory per idle WebSocket",
            WEBSOCKET,
            memory_per_connection(SOCKETS, UPGRADE),
            wanted_lowest=("KiB per connection",),
        ),
        study(
            "memory-websocket-browser",
            "Memory per idle WebSocket that offers compression, as browsers do",
            WEBSOCKET,
            memory_per_connection(SOCKETS, UPGRADE + DEFLATE),
            wanted_lowest=("KiB per connection",),
        ),
        study("crowd", "Latency of 100 busy connections beside 1,000 idle ones", HTTP, probe_crowd),
        study("upload", "Memory during an upload of 1 GiB", HTTP, probe_upload),
    )
)
