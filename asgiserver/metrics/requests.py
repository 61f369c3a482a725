"""Counts requests that have ended: by method, class of status and outcome, with their times.

The labels are bounded, whatever clients send. The module is pure. A server that nobody watches
does not load it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Protocol

from asgiserver.metrics.histogram import BOUNDS, BUCKETS, Histogram

__all__ = ["RECEIVED", "SECONDS", "SENT", "UNANSWERED", "RequestTally"]

LEAST = BOUNDS[0]

SECONDS, SENT, RECEIVED = range(BUCKETS, BUCKETS + 3)
"""Where a row has its sums; the numbers in front of them are its buckets."""

# Whole numbers where they can be: to add a float to one takes twice as long.
EMPTY = [*[0] * BUCKETS, 0.0, 0, 0]

METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY")
)
UNANSWERED = "0xx"
"""The class of status of requests without one: nothing of an answer was sent."""

OTHER = "other"
"""Stands for every other method, as a client may invent any number of them."""


class Request(Protocol):
    """What is known of the head of a request."""

    @property
    def method(self) -> str: ...


class Ended(Protocol):
    """A request that has ended. Sizes are bytes of the bodies."""

    @property
    def request(self) -> Request: ...
    @property
    def outcome(self) -> str: ...
    @property
    def sent(self) -> int: ...
    @property
    def received(self) -> int: ...
    @property
    def begun(self) -> float:
        """When it began, by `time.perf_counter`."""
        ...

    @property
    def first_byte(self) -> float:
        """When its head left, by the same clock; 0 if that left together with the end."""
        ...


class RequestTally:
    """One row of numbers for each method, class of status and outcome that has occurred.

    The time to the first byte has no buckets of its own for most requests, because their head
    leaves together with the end of the body: `early` has what is different for the others.
    """

    __slots__ = ("_found", "_rows", "early")

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int, str], list[float]] = {}
        # The same rows by outcome, method and status: three texts and numbers are found in half
        # the time that one tuple takes.
        self._found: dict[str, dict[str, dict[int, list[float]]]] = {}
        self.early = Histogram()

    def __repr__(self) -> str:
        return f"<RequestTally rows={len(self._rows)}>"

    def count(self, ended: Ended, status: int, duration: float) -> None:
        """Count a request that has ended after `duration` seconds, with `status`; 0: with none."""
        try:
            row = self._found[ended.outcome][ended.request.method][status]
        except KeyError:
            row = self._row(ended.request.method, status, ended.outcome)
        # Most requests end within the first bucket, without a body, and all at once.
        row[bisect_left(BOUNDS, duration) if duration > LEAST else 0] += 1
        row[SECONDS] += duration
        row[SENT] += ended.sent
        if ended.received:
            row[RECEIVED] += ended.received
        if first := ended.first_byte:
            self.early.add(first - ended.begun)
            self.early.add(duration, -1)

    def _row(self, method: str, status: int, outcome: str) -> list[float]:
        key = method if method in METHODS else OTHER, status // 100, outcome
        row = self._rows.setdefault(key, [*EMPTY])
        if method in METHODS:
            self._found.setdefault(outcome, {}).setdefault(method, {})[status] = row
        return row

    def rows(self) -> dict[str, list[float]]:
        """A copy of all rows, by ``GET 2xx ok``; see `UNANSWERED`."""
        return {
            f"{method} {status}xx {outcome}": list(row)
            for (method, status, outcome), row in list(self._rows.items())
        }
