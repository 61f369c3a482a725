"""The measurements and their arithmetic: medians, spread, ratios within the run, verdicts."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.cases import Case, Target


@dataclass(frozen=True)
class Round:
    """One run of the load generator against one server."""

    cpu_us: float  # CPU time of the server's process tree per request
    requests_per_second: float
    p50_us: float
    p99_us: float
    errors: int


@dataclass
class Result:
    """All rounds of one server; `unavailable` says why there are none."""

    server: str
    command: str = ""
    rounds: list[Round] = field(default_factory=list)
    unavailable: str = ""

    def values(self, name: str) -> list[float]:
        return [float(getattr(one, name)) for one in self.rounds]


@dataclass(frozen=True)
class Spread:
    """A median with the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of `values`; one value is its own quartiles. Raises `ValueError` for none."""
        if not values:
            raise ValueError("no values")
        if any(map(math.isnan, values)):
            return cls(math.nan, math.nan, math.nan)
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours divided by theirs round by round, so that a drift during the run cancels out."""
    return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


@dataclass
class Measurement:
    """One case with the results of its servers, ours first."""

    case: Case
    results: list[Result]

    def result(self, server: str) -> Result | None:
        return next((one for one in self.results if one.server == server and one.rounds), None)

    def ratio_to(self, server: str) -> Spread | None:
        """CPU time per request of the first server divided by that of this one."""
        return self.ratio_of(self.results[0].server, server)

    def ratio_of(self, server: str, other: str) -> Spread | None:
        """CPU time per request of one server divided by that of another; None: not measured."""
        mine, theirs = self.result(server), self.result(other)
        if mine is None or theirs is None:
            return None
        return ratio(mine.values("cpu_us"), theirs.values("cpu_us"))

    def floor(self, target: Target) -> Spread | None:
        """The ratio that a server without any HTTP work would reach in place of ours."""
        against = self.meant(target)
        if against is None or against in self.case.limits:
            return None
        return self.ratio_of("limit", against)

    def meant(self, target: Target) -> str | None:
        """The server that a target is about; None when none of them was measured."""
        if target.against == "best peer":
            return self.cheapest(self.case.peers)
        if target.against == "best granian":
            return self.cheapest([peer for peer in self.case.peers if peer.startswith("granian")])
        return target.against

    def cheapest(self, servers: Sequence[str]) -> str | None:
        """The one of these with the lowest median of CPU time per request."""
        found = [one for one in self.results[1:] if one.rounds and one.server in servers]
        costs = {one.server: Spread.of(one.values("cpu_us")).median for one in found}
        return min(costs, key=costs.__getitem__) if costs else None

    def verdict(self, target: Target) -> tuple[str, Spread | None, str]:
        """The other server, the ratio, and "met", "missed" or "not measured"."""
        against = self.meant(target)
        measured = self.ratio_to(against) if against else None
        if against is None or measured is None:
            return target.against, None, "not measured"
        shown = against if against == target.against else f"{target.against} ({against})"
        failed = any(one.errors for one in self.results[0].rounds)
        met = measured.median <= target.ratio and not failed
        return shown, measured, "met" if met else "missed"
