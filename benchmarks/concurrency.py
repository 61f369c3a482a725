"""WSGI and ASGI under rising concurrency: a handler that waits, and one that computes.

The comparison that the project was born from; it also shows where ASGI does not win.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from benchmarks import loadgen
from benchmarks.cases import PLAIN, PLAINTEXT, Case
from benchmarks.charts import line_chart
from benchmarks.environment import BenchmarkError
from benchmarks.experiment import Settings, Study
from benchmarks.measure import serving
from benchmarks.report import Report, number
from benchmarks.servers import SERVERS

if TYPE_CHECKING:
    from benchmarks.loadgen import Load

LEVELS = (1, 10, 100, 400)
SECONDS, QUICK_SECONDS = 2.0, 1.0

# label, server, applications by handler
CONTENDERS = (
    ("ASGI on asgiserver", "asgiserver", {"wait": "apps:wait", "cpu": "apps:cpu"}),
    (
        "WSGI on asgiserver, 40 threads",
        "asgiserver-wsgi",
        {"wait": "wsgi_apps:wait", "cpu": "wsgi_apps:cpu"},
    ),
    ("WSGI on gunicorn, sync", "gunicorn-sync", {"wait": "wsgi_apps:wait", "cpu": "wsgi_apps:cpu"}),
    (
        "WSGI on gunicorn, 40 threads",
        "gunicorn-gthread",
        {"wait": "wsgi_apps:wait", "cpu": "wsgi_apps:cpu"},
    ),
)
TITLES = {"wait": "A handler that waits 100 ms", "cpu": "A handler that computes"}


def case(app: str, connections: int, workers: int) -> Case:
    wanted = replace(PLAIN, app=app, workers=workers)
    return replace(
        PLAINTEXT, name="concurrency", wanted=wanted, connections=connections, may_close=True
    )


def compare(settings: Settings, handler: str, workers: int) -> Report:
    """Requests/s and latency of every contender at every level of concurrency."""
    series: dict[str, list[tuple[float, float]]] = {}
    rows: list[tuple[str, ...]] = []
    data = []
    for label, server, apps in CONTENDERS:
        try:
            loads = measure_levels(settings, label, server, apps[handler], workers)
        except BenchmarkError as error:
            rows.append((label, f"not measured: {error}"))
            continue
        series[label] = [(level, load.requests / load.seconds) for level, load in loads]
        cells = [f"{number(load.requests / load.seconds)}/s" for _, load in loads]
        cells += [f"{number(load.p99_us / 1000)} ms" for _, load in loads]
        cells.append(str(sum(load.errors for _, load in loads)))
        rows.append((label, *cells))
        data.append({"server": label, "loads": {level: asdict(load) for level, load in loads}})
    name = f"concurrency-{handler}-{workers}"
    title = f"{TITLES[handler]}, {workers} worker{'s' * (workers > 1)}"
    headings = (
        "server",
        *(f"c={level}" for level in LEVELS),
        *(f"p99 c={level}" for level in LEVELS),
        "errors",
    )
    chart = line_chart(title, "concurrent connections", "requests per second", series)
    return Report(name, title, headings, rows, chart, data=data)


def measure_levels(
    settings: Settings, label: str, server: str, app: str, workers: int
) -> list[tuple[int, Load]]:
    """Load one server at each level. Raises `BenchmarkError` when it cannot be measured."""
    found = []
    seconds = QUICK_SECONDS if settings.quick else SECONDS
    # Each level has fresh processes, because a slow server is still busy with the level before.
    for level in LEVELS:
        settings.progress(f"{label}: {app}, {level} connections, {workers} workers")
        wanted = case(app, level, workers)
        with serving(settings.environment, SERVERS[server], wanted) as running:
            load = loadgen.generate(settings.environment, wanted, running.port, seconds)
        if not load.requests:
            load = replace(load, p50_us=math.nan, p99_us=math.nan)
        found.append((level, load))
    return found


def study(handler: str, workers: int) -> tuple[str, Study]:
    """A named study of one handler."""
    title = f"WSGI and ASGI: {TITLES[handler].lower()}, workers: {workers}"
    return f"concurrency-{handler}-{workers}", Study(
        title, lambda settings: compare(settings, handler, workers)
    )


STUDIES: dict[str, Study] = dict(
    study(handler, workers) for handler in ("wait", "cpu") for workers in (1, 2)
)
