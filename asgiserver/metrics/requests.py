"""Counts requests that have ended: by method, class of status and outcome, with their times.

The labels are bounded, whatever clients send. The module is pure, and imports nothing of the
package. A server that nobody watches does not load it.
"""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["BOUNDS", "BUCKETS", "RECEIVED", "SECONDS", "SENT", "Histogram", "RequestTally"]

BOUNDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds of the buckets of all histograms, in seconds; one more bucket has no bound."""

BUCKETS = len(BOUNDS) + 1

SECONDS, SENT, RECEIVED = range(BUCKETS, BUCKETS + 3)
"""Where a row has its sums; the numbers in front of them are its buckets."""

METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY")
)
OTHER = "other"
"""Stands for every other method, as a client may invent any number of them."""


class Histogram:
    """How often a time was how long: `numbers` are the buckets' counts, then the sum in seconds."""

    __slots__ = ("numbers",)

    def __init__(self) -> None:
        self.numbers = [0.0] * (BUCKETS + 1)

    def __repr__(self) -> str:
        return f"<Histogram {sum(self.numbers[:BUCKETS]):.0f} times>"

    def add(self, seconds: float, times: int = 1) -> None:
        """Count `seconds`, as often as `times` says; -1 takes back what was counted."""
        self.numbers[bisect_left(BOUNDS, seconds)] += times
        self.numbers[BUCKETS] += seconds * times


class RequestTally:
    """One row of numbers for each method, class of status and outcome that has occurred.

    The time to the first byte has no buckets of its own for most requests, because their head
    leaves together with the end of the body: `early` has what is different for the others.
    """

    __slots__ = ("_found", "_rows", "early")

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int, str], list[float]] = {}
        # The same rows, by a status and not by its class.
        self._found: dict[tuple[str, int, str], list[float]] = {}
        self.early = Histogram()

    def __repr__(self) -> str:
        return f"<RequestTally rows={len(self._rows)}>"

    def count(
        self,
        method: str,
        status: int,
        outcome: str,
        duration: float,
        first: float,
        sent: int,
        received: int,
    ) -> None:
        """Count a request that has ended after `duration` seconds.

        `first` is the seconds until its head left, 0 if that left together with the end. Sizes are
        bytes of the bodies.
        """
        row = self._found.get((method, status, outcome)) or self._row(method, status, outcome)
        row[bisect_left(BOUNDS, duration)] += 1
        row[SECONDS] += duration
        row[SENT] += sent
        row[RECEIVED] += received
        if first:
            self.early.add(first)
            self.early.add(duration, -1)

    def _row(self, method: str, status: int, outcome: str) -> list[float]:
        key = method if method in METHODS else OTHER, status // 100, outcome
        row = self._rows.setdefault(key, [0.0] * (BUCKETS + 3))
        if method in METHODS:
            self._found[method, status, outcome] = row
        return row

    def rows(self) -> dict[str, list[float]]:
        """A copy of all rows, by ``GET 2xx ok``; the class of a request without a status is 0xx."""
        return {
            f"{method} {status}xx {outcome}": list(row)
            for (method, status, outcome), row in list(self._rows.items())
        }
