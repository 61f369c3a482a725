"""Our server on uvloop and on the standard library's loop, to decide what `--loop auto` means."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from benchmarks.cases import CASES, PLAINTEXT, Case
from benchmarks.measure import measure
from benchmarks.report import Report, number
from benchmarks.results import Spread
from benchmarks.servers import SERVERS

if TYPE_CHECKING:
    from benchmarks.experiment import Settings

UVLOOP, ASYNCIO = SERVERS["asgiserver"], SERVERS["asgiserver-asyncio"]
TITLE = "asgiserver on uvloop and on the standard library's loop"
NAMES = (
    "plaintext access-log headers post-10k stream body-1m body-1m-tls file-1m close pipelined tls"
    " websocket-64 websocket-16384 fastapi"
)
CROWDS = tuple(
    replace(
        PLAINTEXT, name=f"connections-{count}", title=f"{count:,} connections", connections=count
    )
    for count in (1, 500, 2000)
)
HEADINGS = (
    "case",
    "uvloop CPU us/request",
    "asyncio CPU us/request",
    "uvloop/asyncio",
    "uvloop p99 us",
    "asyncio p99 us",
    "errors",
)


def cases() -> list[Case]:
    return [*(CASES[name] for name in NAMES.split()), *CROWDS]


def run(settings: Settings) -> Report:
    """Every case on both loops, a row for each."""
    rows: list[tuple[str, ...]] = []
    data = []
    for case in cases():
        found = measure(
            settings.environment,
            case,
            [UVLOOP, ASYNCIO],
            rounds=settings.rounds,
            seconds=settings.seconds,
            progress=settings.progress,
        )
        data.append({"case": case.name, "results": [asdict(one) for one in found.results]})
        ratio = found.ratio_of(UVLOOP.name, ASYNCIO.name)
        if ratio is None:
            reasons = {one.unavailable for one in found.results if one.unavailable}
            rows.append((case.title, f"not measured: {'; '.join(sorted(reasons))}"))
            continue
        medians = [
            number(Spread.of(one.values(column)).median)
            for column in ("cpu_us", "p99_us")
            for one in found.results
        ]
        errors = sum(one.errors for result in found.results for one in result.rounds)
        shown = f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"
        rows.append((case.title, *medians[:2], shown, *medians[2:], str(errors)))
    return Report("loops", TITLE, HEADINGS, rows, data=data)
