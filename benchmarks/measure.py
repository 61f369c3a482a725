"""Runs one case: starts the servers, checks them, alternates them over rounds, counts CPU time."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import environment as ground
from benchmarks import loadgen
from benchmarks.environment import BenchmarkError, Environment
from benchmarks.servers import Running, Server

if TYPE_CHECKING:
    from benchmarks.cases import Case, Target

Progress = Callable[[str], None]


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
        """Raises `ValueError` for no values at all; with one value it is all three."""
        if not values:
            raise ValueError("no values")
        if len(values) == 1 or any(map(math.isnan, values)):
            median = statistics.median(values)
            return cls(median, median, median)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours divided by theirs round by round: what drifts during the run cancels out."""
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
        ours, theirs = self.result(self.results[0].server), self.result(server)
        if ours is None or theirs is None:
            return None
        return ratio(ours.values("cpu_us"), theirs.values("cpu_us"))

    def best_peer(self) -> str | None:
        """The peer with the lowest median of CPU time per request."""
        peers = [one for one in self.results[1:] if one.rounds and one.server in self.case.peers]
        costs = {one.server: Spread.of(one.values("cpu_us")).median for one in peers}
        return min(costs, key=costs.__getitem__) if costs else None

    def verdict(self, target: Target) -> tuple[str, Spread | None, str]:
        """Against whom, the ratio, and "met", "missed" or "not measured"."""
        against = self.best_peer() if target.against == "best peer" else target.against
        measured = self.ratio_to(against) if against else None
        if against is None or measured is None:
            return target.against, None, "not measured"
        shown = against if against == target.against else f"{target.against} ({against})"
        return shown, measured, "met" if measured.median <= target.ratio else "missed"


def measure(
    environment: Environment,
    case: Case,
    servers: Sequence[Server],
    *,
    rounds: int,
    seconds: float,
    restart: bool = False,
    progress: Progress = lambda text: None,
) -> Measurement:
    """Run a case. With `restart` every round starts fresh processes (memory layout varies too)."""
    server_core, load_core = ground.cores()
    os.sched_setaffinity(0, {load_core})  # the load generators inherit it
    results = {server.name: Result(server.name) for server in servers}
    run = _Run(environment, case, server_core, seconds, results)
    if case.unavailable and case.ours in results:
        results[case.ours].unavailable = case.unavailable
    if restart:
        for number in range(rounds):
            for server in servers:
                with ExitStack() as stack:
                    progress(f"{case.name}: round {number + 1}/{rounds}, {server.name}")
                    running = run.start(stack, server)
                    if running:
                        run.round(running)
    else:
        with ExitStack() as stack:
            progress(f"{case.name}: starting and checking {len(servers)} servers")
            started = [running for server in servers if (running := run.start(stack, server))]
            for number in range(rounds):
                for running in started:
                    progress(f"{case.name}: round {number + 1}/{rounds}, {running.server.name}")
                    run.round(running)
    for result in results.values():
        if len(result.rounds) < rounds:
            result.rounds.clear()  # a server that broke half-way has no comparable numbers
    return Measurement(case, list(results.values()))


@dataclass
class _Run:
    environment: Environment
    case: Case
    core: int
    seconds: float
    results: dict[str, Result]

    def start(self, stack: ExitStack, server: Server) -> Running | None:
        """A started, checked and warmed-up server; None when it cannot take part."""
        result = self.results[server.name]
        if result.unavailable:
            return None
        try:
            running = Running(server, self.environment, self.case.wanted, self.core)
            stack.enter_context(running)
            result.command = running.shown_command()
            running.wait_listening()
            self._check(running)
        except BenchmarkError as error:
            result.unavailable = str(error)
            return None
        return running

    def _check(self, running: Running) -> None:
        """Check the answers; a listening server may need a moment until its application is up."""
        deadline = time.monotonic() + 5.0
        while True:
            try:
                loadgen.check(self.environment, self.case, running.port, running.server.name)
                return
            except BenchmarkError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def round(self, running: Running) -> None:
        """One run of the load generator, and the CPU time that it cost the server."""
        result = self.results[running.server.name]
        if result.unavailable:
            return
        before = running.cpu_seconds()
        try:
            load = loadgen.generate(
                self.environment, self.case, running.port, self.seconds, running.server.name
            )
        except BenchmarkError as error:
            result.unavailable = str(error)
            return
        used = running.cpu_seconds() - before
        if not load.requests:
            result.unavailable = f"no request succeeded, {load.errors} errors"
            return
        rate = load.requests / load.seconds
        cost = used / load.requests * 1e6
        result.rounds.append(Round(cost, rate, load.p50_us, load.p99_us, load.errors))
