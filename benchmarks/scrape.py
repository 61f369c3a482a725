"""What it takes to ask the admin listener of eight workers for their figures, and who pays."""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import time
from dataclasses import replace

from benchmarks.cases import PLAIN, PLAINTEXT
from benchmarks.environment import ALL_CORES, BenchmarkError
from benchmarks.experiment import Settings, Study
from benchmarks.report import Report
from benchmarks.servers import ASGISERVER, OURS, Running, process_cpu_seconds, uvicorn_style

WORKERS = 8
SCRAPES = 200
REQUESTS = 400  # before the scrapes, so that there are figures; each has a connection of its own
SOCKET = "admin.sock"
TICK = 1.0  # seconds after which a worker has published what it counted
TITLE = f"A scrape of {WORKERS} workers"
HEADINGS = ("page", "KiB", "median ms", "lowest ms", "supervisor CPU ms", "workers' CPU ms")

SERVER = replace(
    ASGISERVER, command=uvicorn_style("asgiserver", *OURS, "--admin", f"unix:{SOCKET}")
)
CASE = replace(PLAINTEXT, wanted=replace(PLAIN, workers=WORKERS))


class AdminConnection(http.client.HTTPConnection):
    """A kept connection to the admin listener, as a collector of figures has it."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self._path)

    def get(self, path: str) -> bytes:
        self.request("GET", path)
        response = self.getresponse()
        body = response.read()
        if response.status != 200:
            raise BenchmarkError(f"{path}: {response.status}")
        return body


def until_ready(admin: AdminConnection) -> None:
    """Wait until all workers serve. Raises `BenchmarkError`."""
    for _ in range(600):
        if b'asgiserver_workers{state="ready"} %d' % WORKERS in admin.get("/metrics"):
            return
        time.sleep(0.05)
    raise BenchmarkError(f"{WORKERS} workers do not become ready")


def some_requests(port: int) -> None:
    for number in range(REQUESTS):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        client.request(("GET", "POST", "PUT")[number % 3], "/", b"body" if number % 3 else None)
        client.getresponse().read()
        client.close()
    time.sleep(2 * TICK)


def scraped(admin: AdminConnection, running: Running, path: str) -> tuple[str, ...]:
    """The row of one page. The workers' time is that beyond what they take when idle."""
    supervisor, workers = running.process.pid, set(running.tree()) - {running.process.pid}

    def spent() -> tuple[float, float]:
        return process_cpu_seconds(supervisor), sum(map(process_cpu_seconds, workers))

    before, begun, times = spent(), time.perf_counter(), []
    for _ in range(SCRAPES):
        since = time.perf_counter()
        body = admin.get(path)
        times.append((time.perf_counter() - since) * 1000)
    seconds, after = time.perf_counter() - begun, spent()
    time.sleep(seconds)
    idle = spent()
    own, others = ((after[n] - before[n] - (idle[n] - after[n])) for n in (0, 1))
    return (
        f"GET {path}",
        f"{len(body) / 1024:.1f}",
        f"{statistics.median(times):.2f}",
        f"{min(times):.2f}",
        *(f"{max(0.0, one) * 1000 / SCRAPES:.2f}" for one in (own, others)),
    )


def run(settings: Settings) -> Report:
    """Scrape a server that has served a little, on a kept connection."""
    settings.progress(f"scrape: {SCRAPES} times each page")
    with Running(SERVER, settings.environment, CASE.wanted, set(ALL_CORES)) as running:
        running.wait_listening()
        admin = AdminConnection(os.path.join(running.directory.name, SOCKET))
        until_ready(admin)
        some_requests(running.port)
        rows = [scraped(admin, running, path) for path in ("/metrics", "/status", "/readyz")]
        admin.close()
        commands = {SERVER.name: running.shown_command()}
    return Report("scrape", TITLE, HEADINGS, rows, commands=commands)


STUDY = Study(TITLE, run)
