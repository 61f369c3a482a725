"""Counts requests that have ended: by method, class of status and outcome, with their times.

The labels are bounded, whatever clients send. The module is pure. A server that nobody watches
does not load it.
"""

from __future__ import annotations

from bisect import bisect_left
from sys import intern
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, TypeAlias

from asgiserver.metrics.histogram import BOUNDS, BUCKETS, Histogram
from asgiserver.speedups import choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.speedups import _core

__all__ = ["RECEIVED", "SECONDS", "SENT", "UNANSWERED", "CountUsual", "RequestTally"]

LEAST = BOUNDS[0]

_CoreTally: type[_core.Tally] | None = choose("Tally", None)

CountUsual: TypeAlias = "Callable[[str, int, float, int], bool]"
"""Counts a request that has ended just now, by method, status, when it began and bytes sent.

It was one with the outcome ``ok``, without a body, whose answer left together with its head. False:
it has counted nothing.
"""

SECONDS, SENT, RECEIVED = range(BUCKETS, BUCKETS + 3)
"""Where a row has its sums; the numbers in front of them are its buckets."""

# Whole numbers where they can be: to add a float to one takes twice as long.
EMPTY = [*[0] * BUCKETS, 0.0, 0, 0]

METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY")
)
USUAL = intern("ok")
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

    Most requests are counted by the compiled core, if there is one. It knows the rows that it was
    asked to open, and leaves all other requests to Python. `count_usual` is its fastest function.

    The time to the first byte has no buckets of its own for most requests, because their head
    leaves together with the end of the body: `early` has what is different for the others.
    """

    __slots__ = ("_core", "_found", "_rows", "count_usual", "early")

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int, str], list[float]] = {}
        # The same rows by outcome, method and status: three texts and numbers are found in half
        # the time that one tuple takes.
        self._found: dict[str, dict[str, dict[int, list[float]]]] = {}
        self._core = core = None if _CoreTally is None else _CoreTally(BOUNDS, USUAL)
        self.count_usual: CountUsual | None = None if core is None else core.count
        self.early = Histogram()

    def __repr__(self) -> str:
        return f"<RequestTally rows={len(self.rows())}>"

    def count(self, ended: Ended, status: int) -> float:
        """Count a request that has ended with `status`, 0: with none; return what it took."""
        method, outcome, begun = ended.request.method, ended.outcome, ended.begun
        sent, received, core = ended.sent, ended.received, self._core
        duration = perf_counter() - begun
        if core is None or not core.add(method, status, outcome, duration, sent, received):
            try:
                row = self._found[outcome][method][status]
            except KeyError:
                row = self._row(method, status, outcome)
            # Most requests end within the first bucket, without a body, and all at once.
            row[bisect_left(BOUNDS, duration) if duration > LEAST else 0] += 1
            row[SECONDS] += duration
            row[SENT] += sent
            if received:
                row[RECEIVED] += received
        if first := ended.first_byte:
            self.early.add(first - begun)
            self.early.add(duration, -1)
        return duration

    def _row(self, method: str, status: int, outcome: str) -> list[float]:
        row = self._rows.setdefault(_key(method, status, outcome), [*EMPTY])
        if method in METHODS:
            self._found.setdefault(outcome, {}).setdefault(method, {})[status] = row
            if self._core is not None:  # which counts the next one
                self._core.open(intern(method), status, intern(outcome))
        return row

    def rows(self) -> dict[str, list[float]]:
        """A copy of all rows, by ``GET 2xx ok``; see `UNANSWERED`."""
        counted = [] if self._core is None else self._core.rows()  # first: each has a row here
        rows = {key: list(row) for key, row in list(self._rows.items())}
        for method, status, outcome, numbers in counted:
            key = _key(method, status, outcome)
            rows[key] = [one + more for one, more in zip(rows[key], numbers, strict=True)]
        return {
            f"{method} {status}xx {outcome}": row for (method, status, outcome), row in rows.items()
        }


def _key(method: str, status: int, outcome: str) -> tuple[str, int, str]:
    return method if method in METHODS else OTHER, status // 100, outcome
