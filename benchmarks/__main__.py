"""The command line of the benchmarks: list, run, compare."""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import compare
from benchmarks import environment as ground
from benchmarks.cases import CASES, Case
from benchmarks.environment import HERE, BenchmarkError, Environment, find
from benchmarks.experiment import Settings
from benchmarks.measure import measure, see_answers
from benchmarks.report import Report, measurement_report, progress, write
from benchmarks.servers import SERVERS, Server
from benchmarks.studies import STUDIES

USAGE = """\
python -m benchmarks                  list the cases
       python -m benchmarks NAME ...         run some, each in about a minute
       python -m benchmarks --all            run everything
       python -m benchmarks ab [CASE ...]    compare with uvicorn or, with --base REV, a revision
       python -m benchmarks budget           count what a request costs, without a clock"""


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", usage=USAGE)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a case; see the list")
    parser.add_argument("--all", action="store_true", help="every case")
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 5, and less")
    parser.add_argument("--check", action="store_true", help="start and ask every server only")
    parser.add_argument("--rounds", type=int, help="alternations of the servers, default 5")
    parser.add_argument("--seconds", type=float, default=1.0, help="of load per round and server")
    parser.add_argument("--restart", action="store_true", help="fresh processes in each round")
    parser.add_argument("--servers", metavar="A,B", help="these instead of the case's, ours first")
    parser.add_argument("--also", metavar="A,B", help="these besides the case's")
    parser.add_argument("--loops", action="store_true", help="asgiserver on the stdlib loop too")
    parser.add_argument("--python", default=ground.VERSION, help="version, default %(default)s")
    parser.add_argument(
        "--output", type=Path, help="for results; default: benchmarks/results, none with --servers"
    )
    return parser.parse_args(arguments)


def list_cases() -> None:
    width = max(map(len, [*CASES, *STUDIES]))
    for case in CASES.values():
        wanted = ", ".join(f"{one.ratio:.2f} of {one.against}" for one in case.targets)
        note = f" ({case.unavailable})" if case.unavailable else ""
        target = f"; target {wanted}" if wanted else ""
        print(f"{case.name:{width}}  {case.title}{note}{target}")
    for name, study in STUDIES.items():
        print(f"{name:{width}}  {study.title}")
    print(f"\nusage: {USAGE}\nservers: {', '.join(SERVERS)}")


def servers_of(case: Case, options: argparse.Namespace) -> list[Server]:
    """The servers that take part, ours first."""
    names = options.servers.split(",") if options.servers else list(case.servers())
    names += options.also.split(",") if options.also else []
    names += ["asgiserver-asyncio"] if options.loops and "asgiserver" in names else []
    return [find(SERVERS, server) for server in dict.fromkeys(names)]


def run_case(settings: Settings, name: str, options: argparse.Namespace) -> Report:
    """Measure one case of the table."""
    case = find(CASES, name)
    servers = servers_of(case, options)
    case = replace(case, ours=servers[0].name)
    measurement = measure(
        settings.environment,
        case,
        servers,
        rounds=settings.rounds,
        seconds=settings.seconds,
        restart=options.restart,
        progress=settings.progress,
    )
    return measurement_report(measurement)


def check_cases(environment: Environment, names: list[str], options: argparse.Namespace) -> int:
    """Start the servers of these cases and check their answers, without any load."""
    wrong = 0
    for case in (CASES[name] for name in names if name in CASES):
        problems = see_answers(environment, case, servers_of(case, options), progress)
        progress("")
        print(f"{case.name}: {len(problems) or 'no'} problems", flush=True)
        for problem in problems.values():
            print(f"  {problem}", flush=True)
        wrong += len(problems)
    return 1 if wrong else 0


def chosen(options: argparse.Namespace) -> list[str]:
    """The names to run. "curve" stands for every name that starts with "curve-"."""
    known = CASES | STUDIES
    if options.all:
        return list(known)
    names: list[str] = []
    for name in options.names:
        group = [one for one in known if one.startswith(f"{name}-")]
        names += [name] if name in known or not group else group
    for name in names:
        find(known, name)
    return names


def run(arguments: list[str]) -> int:
    options = parse(arguments)
    names = chosen(options)
    if not names:
        list_cases()
        return 0
    ground.require("wrk", "wrk")
    environment = ground.prepare(options.python)
    if options.check:
        return check_cases(environment, names, options)
    rounds = options.rounds or (3 if options.quick else 5)
    settings = Settings(environment, rounds, options.seconds, progress, options.quick)
    context = {
        "command": shlex.join(["python", "-m", "benchmarks", *arguments]),
        "versions": ground.versions(environment),
        "machine": ground.machine(),
    }
    # A run of only some servers is not kept as the record of a case.
    output = options.output or (None if options.servers else HERE / "results")
    started = time.monotonic()
    missed = failed = 0
    for position, name in enumerate(names, 1):
        settings.prefix = f"[{position}/{len(names)}] "
        study = STUDIES.get(name)
        try:
            report = study.run(settings) if study else run_case(settings, name, options)
        except BenchmarkError as error:
            progress("")
            print(f"error: {name}: {error}\n", file=sys.stderr)
            failed += 1
            continue
        progress("")
        print(report.table(), flush=True)
        date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        if output:
            write(report, output, {"date": date, **context})
        missed += sum(verdict["verdict"] != "met" for verdict in report.verdicts)
    kept = f"written to {os.path.relpath(output)}" if output else "not written: no --output"
    minutes = (time.monotonic() - started) / 60
    print(f"{kept}; {missed} targets missed or not measured; {minutes:.0f} min")
    return 1 if failed else 0


def show_budget(arguments: list[str]) -> int:
    """Count in the environment of the benchmarks, which has asgiserver's dependencies."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks budget")
    parser.add_argument("--python", default=ground.VERSION, help="version, default %(default)s")
    python = ground.prepare(parser.parse_args(arguments).python).python
    return subprocess.run([python, "-m", "benchmarks.budget"], cwd=ground.ROOT).returncode


def main(arguments: list[str]) -> int:
    if os.uname().sysname != "Linux":
        raise BenchmarkError("these benchmarks read /proc and need Linux")
    # A case with 2,000 connections needs more descriptors than the usual soft limit.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    ground.pin_load()
    # The servers have sessions of their own, so they stop only when the stack is unwound.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    if arguments[:1] == ["budget"]:
        return show_budget(arguments[1:])
    if arguments[:1] != ["ab"]:
        return run(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks ab")
    compare.add_arguments(parser)
    return compare.main(parser.parse_args(arguments[1:]))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BenchmarkError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
