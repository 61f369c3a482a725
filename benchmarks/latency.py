"""Latency at fixed rates: what a client waits for when the server is not driven to its limit.

The load is open: requests leave at a rate that does not depend on the answers, 30, 60 and 80 % of
what the same server reached just before. A slow answer holds back nothing but what its own
connection has to send next.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import loadgen
from benchmarks.cases import HTTP_PEERS, PLAIN, PLAINTEXT
from benchmarks.charts import line_chart
from benchmarks.environment import BenchmarkError, run
from benchmarks.experiment import Study
from benchmarks.footprint import IDLE_CONNECTIONS, idle_connections
from benchmarks.measure import serving
from benchmarks.report import Report, number
from benchmarks.servers import SERVERS

if TYPE_CHECKING:
    from benchmarks.experiment import Settings

TITLE = "Latency at fixed rates beside 1,000 idle connections"
RATES = (0.30, 0.60, 0.80)
PERCENTILES = (50.0, 99.0, 99.9)
CONNECTIONS = 64
FASTEST = ("weft", "peregrine")  # compiled as a whole: they may be quicker, by a fifth at most
WITHIN = 1.2
CASE = replace(
    PLAINTEXT,
    name="latency",
    tool="h2load-h1",
    connections=CONNECTIONS,
    wanted=replace(PLAIN, keep_alive=75),
)


def percentile(ordered: list[float], wanted: float) -> float:
    """The smallest value that `wanted` percent of the values do not exceed; nan of none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * wanted / 100) - 1)]


def read_log(path: Path) -> tuple[list[float], int]:
    """The times of h2load's log in us, in order, and how many requests failed."""
    times, failed = [], 0
    for line in path.read_text().splitlines():
        _, status, time, *_ = line.split("\t")
        if status == "200":
            times.append(float(time))
        else:
            failed += 1
    return sorted(times), failed


def at_rate(settings: Settings, port: int, rate: float, seconds: int) -> dict[str, float]:
    """The percentiles in us of an open load of `rate` requests a second."""
    command, _ = loadgen.load_command(settings.environment, CASE, port, seconds, "")
    with tempfile.TemporaryDirectory(prefix="asgiserver-benchmark-") as directory:
        log = Path(directory) / "h2load.log"
        each = f"--rps={rate / CONNECTIONS:.3f}"
        run([command[0], each, f"--log-file={log}", *command[1:]])
        times, failed = read_log(log)
    if failed:
        raise BenchmarkError(f"{failed} requests failed at {rate:.0f} a second")
    found = {f"p{wanted:g}": percentile(times, wanted) for wanted in PERCENTILES}
    return found | {"rate": len(times) / seconds}


def probe(settings: Settings, server: str, seconds: int) -> dict[str, Any]:
    """The most that the server answers, and its percentiles at each share of that."""
    with (
        serving(settings.environment, SERVERS[server], CASE) as running,
        idle_connections(running, IDLE_CONNECTIONS),
    ):
        load = loadgen.generate(settings.environment, CASE, running.port, 2.0)
        most = load.requests / load.seconds
        shares = {
            f"{share:.0%}": at_rate(settings, running.port, most * share, seconds)
            for share in RATES
        }
    return {"most": most, **shares}


def measure(settings: Settings) -> Report:
    """Measure each server in turn."""
    seconds = 2 if settings.quick else 5
    found: dict[str, dict[str, Any]] = {}
    problems: dict[str, str] = {}
    for server in ("asgiserver", *HTTP_PEERS):
        settings.progress(f"latency: {server}")
        try:
            found[server] = probe(settings, server, seconds)
        except (BenchmarkError, OSError) as error:
            problems[server] = str(error)
    return report(found, problems)


def report(found: dict[str, dict[str, Any]], problems: dict[str, str]) -> Report:
    """The table, the chart of p99 over the share, and the verdicts."""
    names = [f"{share:.0%}" for share in RATES]
    kinds = [f"p{wanted:g}" for wanted in PERCENTILES]
    headings = (
        "server",
        "most requests/s",
        *(f"{kind} us at {n}" for n in names for kind in kinds),
    )
    rows: list[tuple[str, ...]] = [
        (
            server,
            number(values["most"]),
            *(number(values[name][kind]) for name in names for kind in kinds),
        )
        for server, values in found.items()
    ]
    rows += [(server, f"not measured: {why}") for server, why in problems.items()]
    lines = {
        server: [(share * 100, values[f"{share:.0%}"]["p99"]) for share in RATES]
        for server, values in found.items()
    }
    chart = line_chart(TITLE, "percent of its own maximum", "p99 us", lines)
    return Report("latency", TITLE, headings, rows, chart, verdicts(found), data=found)


def verdicts(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """p99 at 80 %: the lowest of all, but for those that are compiled as a whole."""
    if "asgiserver" not in found:
        return []
    p99 = {server: values["80%"]["p99"] for server, values in found.items()}
    others = [server for server in p99 if server not in ("asgiserver", *FASTEST)]
    lowest = [min(others, key=p99.__getitem__)] if others else []
    wanted = [(name, 1.0) for name in lowest]
    wanted += [(name, WITHIN) for name in FASTEST if name in p99]
    made = []
    for name, target in wanted:
        ratio = p99["asgiserver"] / p99[name]
        made.append(
            {
                "target_against": name,
                "against": f"the p99 at 80 % of {name}",
                "target": target,
                "ratio": round(ratio, 3),
                "verdict": "met" if ratio <= target else "missed",
            }
        )
    return made


STUDY = Study(TITLE, measure)
