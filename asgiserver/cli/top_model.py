"""What ``asgiserver top`` shows, computed from one status of a server and the one before.

This module knows neither the terminal nor the network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Reading", "WorkerRow", "events_between", "reading_of"]

PERCENTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class WorkerRow:
    """One worker. Times are seconds, memory is bytes; rates are by the second."""

    index: int
    pid: int
    phase: str
    age: float
    silence: float
    requests: float
    running: int
    connections: int
    cpu: float  # 1 is one CPU
    memory: int
    reason: str


@dataclass(frozen=True)
class Reading:
    """A server between two statuses. Rates are by the second, None where nothing is known yet."""

    ready: bool
    why: str
    wanted: int
    age: float
    version: str
    requests: float | None = None
    errors: float | None = None
    refused: float | None = None
    percentiles: tuple[float | None, ...] = (None,) * len(PERCENTILES)
    in_flight: int = 0
    queued: int = 0
    connections: int = 0
    websockets: int = 0
    workers: list[WorkerRow] = field(default_factory=list)
    running: list[dict[str, Any]] = field(default_factory=list)


def reading_of(
    status: dict[str, Any], before: dict[str, Any] | None, seconds: float, now: float
) -> Reading:
    """What there is to show of `status`, which is `seconds` younger than `before`.

    `now` is seconds since 1970.
    """
    totals = status["totals"]
    ready = status["health"]["ready"]
    rates: dict[str, Any] = {}
    if before is not None and before["began"] == status["began"] and seconds > 0:
        rates = _rates(status, before, seconds)
    return Reading(
        ready=ready["passed"],
        why=ready["reason"],
        wanted=status["workers_wanted"],
        age=now - status["began"],
        version=status["versions"]["asgiserver"],
        in_flight=int(totals.get("in_flight", 0)),
        queued=int(totals.get("queued", 0)),
        connections=int(totals.get("open", 0)),
        websockets=int(totals.get("websockets_open", 0)),
        workers=_workers(status, before, seconds),
        running=status["running"],
        **rates,
    )


def _rates(status: dict[str, Any], before: dict[str, Any], seconds: float) -> dict[str, Any]:
    buckets = len(status["bounds"]) + 1
    rows = _difference(status, before)
    counts = {key: sum(row[:buckets]) for key, row in rows.items()}
    errors = sum(count for key, count in counts.items() if key.split(" ")[1] == "5xx")
    refused = _sum(status, "refused") - _sum(before, "refused")
    histogram = [
        sum(numbers) for numbers in zip(*(r[:buckets] for r in rows.values()), strict=True)
    ]
    return {
        "requests": sum(counts.values()) / seconds,
        "errors": errors / seconds,
        "refused": refused / seconds,
        "percentiles": tuple(percentile(histogram, status["bounds"], p) for p in PERCENTILES),
    }


def _difference(status: dict[str, Any], before: dict[str, Any]) -> dict[str, list[float]]:
    """The rows of requests that have ended between two statuses."""
    old = before["totals"].get("ended", {})
    return {
        key: [a - b for a, b in zip(row, old.get(key) or [0.0] * len(row), strict=True)]
        for key, row in status["totals"].get("ended", {}).items()
    }


def _sum(status: dict[str, Any], name: str) -> float:
    values: dict[str, float] = status["totals"].get(name, {})
    return sum(values.values())


def percentile(counts: list[float], bounds: list[float], share: float) -> float | None:
    """The time below which `share` of the requests ended, by interpolation within its bucket."""
    total = sum(counts)
    if not total:
        return None
    rank, below, lowest = share * total, 0.0, 0.0
    for count, bound in zip(counts, bounds, strict=False):
        if count and below + count >= rank:
            return lowest + (bound - lowest) * (rank - below) / count
        below += count
        lowest = bound
    return lowest


def _workers(
    status: dict[str, Any], before: dict[str, Any] | None, seconds: float
) -> list[WorkerRow]:
    earlier = {} if before is None else {one["pid"]: one for one in before["workers"]}
    rows = []
    for worker in status["workers"]:
        figures = worker["figures"]
        old = earlier.get(worker["pid"], {}).get("figures") or figures
        rows.append(
            WorkerRow(
                index=worker["index"],
                pid=worker["pid"],
                phase=worker["phase"],
                age=worker["age"],
                silence=worker["silence"],
                requests=_rate(figures, old, "requests", seconds),
                running=int(figures.get("running", 0)),
                connections=int(figures.get("open", 0)),
                cpu=_rate(figures, old, "cpu", seconds),
                memory=int(figures.get("rss", 0)),
                reason=worker["reason"],
            )
        )
    return rows


def _rate(figures: dict[str, Any], old: dict[str, Any], name: str, seconds: float) -> float:
    if seconds <= 0:
        return 0.0
    grown: float = figures.get(name, 0) - old.get(name, 0)
    return max(0.0, grown) / seconds


def events_between(status: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    """What has happened between two statuses, one line each."""
    if before is None:
        return []
    events = []
    ready, was_ready = (one["health"]["ready"] for one in (status, before))
    if ready["reason"] != was_ready["reason"]:
        events.append(f"the server is {ready['reason']}" if ready["passed"] else ready["reason"])
    workers, earlier = ({one["pid"]: one for one in each["workers"]} for each in (status, before))
    for pid, worker in workers.items():
        name = f"worker {worker['index']} (pid {pid})"
        was = earlier[pid]["phase"] if pid in earlier else ""
        if worker["phase"] != was:
            reason = f": {worker['reason']}" if worker["reason"] else ""
            events.append(f"{name} is {worker['phase']}{reason}")
    for pid, worker in earlier.items():
        if pid not in workers:
            reason = f": {worker['reason']}" if worker["reason"] else ""
            events.append(f"worker {worker['index']} (pid {pid}) has ended{reason}")
    for cause, count in status["restarts"].items():
        new = count - before["restarts"].get(cause, 0)
        if new and cause != "restart":
            events.append(f"{new:.0f} restart{'s' if new > 1 else ''}, cause: {cause}")
    stalls = status["totals"].get("stalls", 0) - before["totals"].get("stalls", 0)
    if stalls > 0:
        events.append(f"{stalls:.0f} stall{'s' if stalls > 1 else ''} of an event loop")
    return events
