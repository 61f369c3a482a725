"""Histograms: how often a time was how long. The module is pure, and imports nothing else."""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["BOUNDS", "BUCKETS", "Histogram"]

BOUNDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds of the buckets of all histograms, in seconds; one more bucket has no bound."""

BUCKETS = len(BOUNDS) + 1


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
