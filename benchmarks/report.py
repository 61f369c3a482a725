"""What was measured as text: terminal table and progress, JSON, Markdown. It measures nothing."""

from __future__ import annotations

import math
import shutil
import sys

from benchmarks.environment import HERE
from benchmarks.measure import Measurement, Spread

RESULTS = HERE / "results"


def progress(text: str) -> None:
    """Show one line of progress in place of the last; on a terminal only."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r\x1b[K" + text[:width])
        sys.stderr.flush()


def number(value: float) -> str:
    """Three significant digits, without an exponent; "-" for what is not known."""
    if math.isnan(value):
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: list[float]) -> str:
    """A median, and half the distance of the quartiles as its spread in percent."""
    found = Spread.of(values)
    if math.isnan(found.median) or not found.median:
        return number(found.median)
    percent = (found.high - found.low) / 2 / found.median * 100
    return f"{number(found.median)} ±{percent:.0f}%"


HEADINGS = ("server", "us/request", "requests/s", "p50 us", "p99 us", "errors", "ours/theirs")


def rows(measurement: Measurement) -> list[tuple[str, ...]]:
    """One row of cells per server, as `HEADINGS` names them."""
    lines = []
    for result in measurement.results:
        if not result.rounds:
            lines.append((result.server, "not measured: " + result.unavailable))
            continue
        ratio = measurement.ratio_to(result.server)
        own = result is measurement.results[0]
        lines.append(
            (
                result.server,
                spread(result.values("cpu_us")),
                number(Spread.of(result.values("requests_per_second")).median),
                number(Spread.of(result.values("p50_us")).median),
                number(Spread.of(result.values("p99_us")).median),
                str(sum(one.errors for one in result.rounds)),
                ""
                if own or ratio is None
                else f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})",
            )
        )
    return lines


def verdicts(measurement: Measurement) -> list[str]:
    """One line per target: what is wanted, what came out, met or missed."""
    lines = []
    for target in measurement.case.targets:
        against, ratio, word = measurement.verdict(target)
        found = f"{ratio.median:.2f}" if ratio else "-"
        lines.append(f"{word}: {found} of {against}, target <= {target.ratio:.2f}")
    return lines


def table(measurement: Measurement) -> str:
    """The case as an aligned table for the terminal."""
    lines = rows(measurement)
    full = [HEADINGS, *(line for line in lines if len(line) == len(HEADINGS))]
    widths = [max(len(line[column]) for line in full) for column in range(len(HEADINGS))]
    widths[0] = max(len(line[0]) for line in (HEADINGS, *lines))
    text = [measurement.case.title]
    for line in (HEADINGS, *lines):
        cells = [line[0].ljust(widths[0])]
        if len(line) == len(HEADINGS):
            cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        else:
            cells += line[1:]
        text.append("  " + "  ".join(cells).rstrip())
    return "\n".join(text) + "\n"
