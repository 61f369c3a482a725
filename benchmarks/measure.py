"""Runs one case: starts the servers, checks them, alternates them over rounds, counts CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from benchmarks import environment as ground
from benchmarks import loadgen
from benchmarks.environment import BenchmarkError, Environment
from benchmarks.front import nginx
from benchmarks.results import Measurement, Result, Round
from benchmarks.servers import Running, Server

if TYPE_CHECKING:
    from benchmarks.cases import Case

Progress = Callable[[str], None]
PATIENCE_SECONDS = 5.0


@contextmanager
def serving(environment: Environment, server: Server, case: Case) -> Iterator[Running]:
    """The server, pinned and started, with its answers checked. Raises `BenchmarkError`.

    One worker has a core of its own; several share all cores, with the load generator too.
    """
    cores = {ground.cores()[0]} if case.wanted.workers == 1 else set(ground.ALL_CORES)
    with ExitStack() as stack:
        running = stack.enter_context(Running(server, environment, case.wanted, cores))
        running.wait_listening()
        if case.behind_nginx:  # whoever asks now asks nginx
            running.port = stack.enter_context(nginx(running.port))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:  # a parent may listen before its worker has loaded the application
            try:
                loadgen.check(environment, case, running.port, server.name)
                break
            except BenchmarkError as error:
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{server.name} answers wrong: {error}") from None
                time.sleep(0.01)
        yield running


def see_answers(
    environment: Environment, case: Case, servers: Sequence[Server], progress: Progress
) -> dict[str, str]:
    """Start each server of a case and check its answers; the errors by server."""
    loadgen.ready(environment, case)
    problems = {}
    for server in servers:
        if case.unavailable and server.name == case.ours:
            continue
        progress(f"{case.name}: {server.name}")
        try:
            with serving(environment, server, case) as running:
                if case.wanted.access_log:
                    running.wait_logged(1)
        except BenchmarkError as error:
            problems[server.name] = str(error)
    return problems


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
    loadgen.ready(environment, case)
    results = {server.name: Result(server.name) for server in servers}
    if case.unavailable and case.ours in results:
        results[case.ours].unavailable = case.unavailable
    with ExitStack() as whole_run:
        started: dict[str, Running] = {}
        for number in range(rounds):
            # The order alternates, so that a steady drift of the machine favours no server.
            for server in servers if number % 2 == 0 else reversed(servers):
                result = results[server.name]
                if result.unavailable:
                    continue
                progress(f"{case.name}: round {number + 1}/{rounds}, {server.name}")
                try:
                    if restart:
                        with serving(environment, server, case) as running:
                            run_round(environment, case, running, seconds, result)
                        continue
                    if server.name not in started:
                        context = serving(environment, server, case)
                        started[server.name] = whole_run.enter_context(context)
                    run_round(environment, case, started[server.name], seconds, result)
                except BenchmarkError as error:
                    result.unavailable = str(error)
                    result.rounds.clear()  # rounds before a failure are not comparable
    return Measurement(case, list(results.values()))


def run_round(
    environment: Environment, case: Case, running: Running, seconds: float, result: Result
) -> None:
    """One run of the load generator, and the CPU time that it cost the server."""
    result.command = running.shown_command()
    if case.wanted.access_log:
        running.wait_logged(0)
    before = running.cpu_seconds()
    load = loadgen.generate(environment, case, running.port, seconds, running.server.name)
    if case.wanted.access_log:
        running.wait_logged(load.requests)
    used = running.cpu_seconds() - before
    if not load.requests:
        raise BenchmarkError(f"no request succeeded, {load.errors} errors")
    rate = load.requests / load.seconds
    cost = used / load.requests * 1e6
    result.rounds.append(Round(cost, rate, load.p50_us, load.p99_us, load.errors))
