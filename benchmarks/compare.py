"""A/B: one case, two servers, fresh processes every round, and the ratio of their CPU times.

``python -m benchmarks ab`` compares the working tree with uvicorn; ``--base REV`` compares it with
another revision of asgiserver, so that the gain of an optimisation is one ratio in one run.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import environment as ground
from benchmarks.cases import CASES
from benchmarks.environment import ROOT, find
from benchmarks.measure import measure
from benchmarks.report import measurement_report, progress
from benchmarks.servers import SERVERS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from benchmarks.environment import Environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: plaintext")
    parser.add_argument(
        "--ours", help="the first server (default: the case's, of the working tree)"
    )
    parser.add_argument("--against", help="the other server (default: the case's first peer)")
    parser.add_argument("--base", metavar="REV", help="against asgiserver of this git revision")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.0, help="of load per round and server")
    parser.add_argument("--python", default=ground.VERSION, help="version of Python")


@contextmanager
def source_of(revision: str | None, environment: Environment) -> Iterator[Path]:
    """A copy of the package at a git revision, or of the working tree for None.

    It is a copy so that the rounds measure the same code while somebody edits the working tree.
    """
    with tempfile.TemporaryDirectory(prefix="asgiserver-ab-") as directory:
        if revision is None:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / "asgiserver", Path(directory) / "asgiserver", ignore=ignored)
        else:
            archive = Path(directory) / "base.tar"
            ground.run(["git", "-C", str(ROOT), "archive", "-o", str(archive), revision])
            with tarfile.open(archive) as packed:
                packed.extractall(directory, filter="data")
            ground.build_core(Path(directory), environment)
        yield Path(directory)


def main(options: argparse.Namespace) -> int:
    """Run the comparisons and print them. Raises `BenchmarkError`."""
    environment = ground.prepare(options.python)
    complete = True
    with ExitStack() as stack:
        tree = stack.enter_context(source_of(None, environment))
        base = stack.enter_context(source_of(options.base, environment)) if options.base else None
        for name in options.cases or ["plaintext"]:
            case = find(CASES, name)
            ours = replace(find(SERVERS, options.ours or case.ours), source=tree)
            if base:
                theirs = replace(ours, name=f"{ours.name}@{options.base}", source=base)
            else:
                theirs = replace(find(SERVERS, options.against or case.peers[0]), source=tree)
            measurement = measure(
                environment,
                case,
                [ours, theirs],
                rounds=options.rounds,
                seconds=options.seconds,
                restart=True,
                progress=progress,
            )
            progress("")
            report = measurement_report(measurement)
            report.verdicts.clear()  # these verdicts are about all peers, not about two servers
            print(report.table())
            complete = complete and measurement.ratio_to(theirs.name) is not None
    return 0 if complete else 1
