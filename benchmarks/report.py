"""Results as text: terminal table and progress, JSON, Markdown. This module measures nothing."""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.cases import CASES
from benchmarks.charts import Bar, bar_chart
from benchmarks.results import Measurement, Spread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass
class Report:
    """One named result, ready to be printed and written. A row may end early with a remark."""

    name: str
    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    chart: str = ""  # SVG
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)  # how each server was started
    data: Any = None  # the raw numbers

    def table(self) -> str:
        """Title, aligned columns, verdicts: for the terminal."""
        count = len(self.headings)
        full = [self.headings, *(row for row in self.rows if len(row) == count)]
        widths = [max(len(row[column]) for row in full) for column in range(count)]
        widths[0] = max(len(row[0]) for row in (self.headings, *self.rows))
        lines = [self.title]
        for row in (self.headings, *self.rows):
            cells = [row[0].ljust(widths[0])]
            if len(row) == count:
                cells += [cell.rjust(size) for cell, size in zip(row[1:], widths[1:], strict=True)]
            else:
                cells += row[1:]
            lines.append("  " + "  ".join(cells).rstrip())
        lines += [f"  {sentence(verdict)}" for verdict in self.verdicts]
        return "\n".join(lines + [f"  {note}" for note in self.notes]) + "\n"


def progress(words: str) -> None:
    """Show one line of progress in place of the last; on a terminal only."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r\x1b[K" + words[:width])
        sys.stderr.flush()


def number(value: float) -> str:
    """Three significant digits, without an exponent; "-" for an unknown value."""
    if math.isnan(value):
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """A median, and half the distance of the quartiles as its spread in percent."""
    found = Spread.of(values)
    if math.isnan(found.median) or not found.median:
        return number(found.median)
    percent = (found.high - found.low) / 2 / found.median * 100
    return f"{number(found.median)} ±{percent:.0f}%"


def sentence(verdict: dict[str, Any]) -> str:
    """One target as a line: met or missed, the ratio found, the ratio wanted."""
    found = "-" if verdict["ratio"] is None else f"{verdict['ratio']:.2f}"
    text = f"{verdict['verdict']}: {found} of {verdict['against']}, target <= {verdict['target']}"
    if verdict["verdict"] == "missed" and verdict.get("floor") is not None:
        text += f" (the limit without any HTTP work: {verdict['floor']:.2f}; "
        text += f"ours is {verdict['of_limit']:.2f} of that limit)"
    return text


HEADINGS = ("server", "CPU us/request", "requests/s", "p50 us", "p99 us", "errors", "ours/theirs")


def measurement_report(measurement: Measurement) -> Report:
    """The report of one case: a row and a bar per server, a verdict per target."""
    rows: list[tuple[str, ...]] = []
    bars = []
    for index, result in enumerate(measurement.results):
        if not result.rounds:
            rows.append((result.server, f"not measured: {result.unavailable}"))
            continue
        costs = result.values("cpu_us")
        cost = Spread.of(costs)
        bars.append(Bar(result.server, cost.median, cost.low, cost.high, ours=index == 0))
        medians = [
            number(Spread.of(result.values(name)).median)
            for name in ("requests_per_second", "p50_us", "p99_us")
        ]
        errors = str(sum(one.errors for one in result.rounds))
        ratio = measurement.ratio_to(result.server) if index else None
        shown = f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})" if ratio else ""
        rows.append((result.server, spread(costs), *medians, errors, shown))
    case = measurement.case
    return Report(
        case.name,
        case.title,
        HEADINGS,
        rows,
        bar_chart(case.title, "CPU microseconds per request", bars),
        verdicts(measurement),
        commands={one.server: one.command for one in measurement.results if one.command},
        data=[asdict(one) for one in measurement.results],
    )


def rounded(found: Spread | None) -> float | None:
    return round(found.median, 3) if found else None


def verdicts(measurement: Measurement) -> list[dict[str, Any]]:
    """The verdict on each target."""
    found = []
    for target in measurement.case.targets:
        against, ratio, word = measurement.verdict(target)
        floor, of_limit = measurement.floor(target), measurement.ratio_to("limit")
        found.append(
            {
                "target_against": target.against,
                "against": against,
                "target": target.ratio,
                "ratio": rounded(ratio),
                "floor": rounded(floor),  # the limit's in place of ours
                "of_limit": rounded(of_limit),  # ours against the limit
                "verdict": word,
            }
        )
    return found


def write(report: Report, directory: Path, context: dict[str, Any]) -> None:
    """Write NAME.json, NAME.md and NAME.svg, and renew the summary over all results."""
    directory.mkdir(parents=True, exist_ok=True)
    if report.chart:
        (directory / f"{report.name}.svg").write_text(report.chart)
    (directory / f"{report.name}.md").write_text(markdown(report, context))
    content = {**asdict(report), **context}
    del content["chart"]
    path = directory / f"{report.name}.json"
    text = json.dumps(without_nan(content), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n")
    (directory / "README.md").write_text(summary(directory))


def without_nan(value: Any) -> Any:
    """Replace NaN, which JSON has not, with null."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; short rows are filled up with empty cells."""
    lines = ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|"]
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells + [""] * (len(headings) - len(row))) + " |")
    return lines


def markdown(report: Report, context: dict[str, Any]) -> str:
    """The report as a page that says how to repeat it."""
    machine = context["machine"]
    lines = [f"# {report.title}", "", *markdown_table(report.headings, report.rows), ""]
    lines += [f"- {sentence(verdict)}" for verdict in report.verdicts]
    lines += [f"- {note}" for note in report.notes]
    if report.chart:
        lines += ["", f"![{report.title}]({report.name}.svg)"]
    lines += ["", f"Measured {context['date']} with `{context['command']}`", ""]
    lines += [f"- Machine: {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}"]
    lines += [f"- Load average before: {', '.join(map(str, machine['load_average']))}"]
    versions = ", ".join(f"{name} {version}" for name, version in context["versions"].items())
    lines += [f"- Versions: {versions}", ""]
    if report.commands:
        commands = [f"{name}: {command}" for name, command in report.commands.items()]
        lines += ["```", *commands, "```", ""]
    return "\n".join(lines)


def summary(directory: Path) -> str:
    """All results in one table, read back from their JSON files: later runs add to earlier ones."""
    found = {path.stem: json.loads(path.read_text()) for path in directory.glob("*.json")}
    order = {name: index for index, name in enumerate(CASES)}
    rows = []
    others = []
    met = count = 0
    for name in sorted({*found, *CASES}, key=lambda name: (order.get(name, len(order)), name)):
        if name not in found:
            rows.append((CASES[name].title, "", f"not measured yet: `python -m benchmarks {name}`"))
            continue
        result = found[name]
        link = f"[{result['title']}]({name}.md)"
        measured = f"{result['date'].partition(' ')[0]}, {result['versions']['asgiserver']}"
        if not result["verdicts"]:
            others.append(f"- {link} ({measured})")
            continue
        count += len(result["verdicts"])
        met += sum(verdict["verdict"] == "met" for verdict in result["verdicts"])
        rows.append((link, ours(result), "<br>".join(map(outcome, result["verdicts"])), measured))
    lines = ["# Results", "", "Written by `python -m benchmarks`; do not edit.", ""]
    lines += [f"{met} of the {count} targets that were measured are met.", ""]
    lines += markdown_table(("case", "asgiserver", "ours / theirs", "measured"), rows)
    return "\n".join([*lines, "", *others, ""])


def ours(result: dict[str, Any]) -> str:
    """Our first figure of a written result."""
    if len(result["rows"][0]) < len(result["headings"]):
        return "not measured"
    return f"{result['rows'][0][1]} {result['headings'][1]}"


def outcome(verdict: dict[str, Any]) -> str:
    word, _, text = sentence(verdict).partition(": ")
    return f"**{word}**: {text}"
