"""Growth curves: what a request costs as connections, header fields, body or workers grow."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.cases import PLAIN, PLAINTEXT, Case
from benchmarks.charts import line_chart
from benchmarks.measure import measure
from benchmarks.report import Report, number
from benchmarks.results import Spread
from benchmarks.servers import SERVERS, Wanted

if TYPE_CHECKING:
    from benchmarks.experiment import Settings

COMPARED = ("asgiserver", "uvicorn", "granian-mt")
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Curve:
    """The same request at growing sizes; the cost at a size is divided by the size's `units`."""

    name: str
    title: str
    x_unit: str
    y_unit: str
    points: tuple[tuple[int, Case], ...]
    per_mebibyte: bool = False

    def run(self, settings: Settings) -> Report:
        """Measure every point with each server."""
        series: dict[str, list[tuple[float, float]]] = {name: [] for name in COMPARED}
        data = []
        notes = []
        for x, case in self.points:
            measurement = measure(
                settings.environment,
                case,
                [SERVERS[name] for name in COMPARED],
                rounds=min(settings.rounds, 2),
                seconds=settings.seconds,
                progress=settings.progress,
            )
            data.append({"x": x, "results": [asdict(one) for one in measurement.results]})
            for result in measurement.results:
                if result.rounds:
                    cost = Spread.of(result.values("cpu_us")).median
                    units = x / MEBIBYTE if self.per_mebibyte else 1.0
                    series[result.server].append((x, cost / units))
                else:
                    notes.append(f"{result.server} at {x}: {result.unavailable}")
        return Report(
            self.name,
            self.title,
            (self.x_unit, *COMPARED),
            [self._row(x, series) for x, _ in self.points],
            line_chart(self.title, self.x_unit, self.y_unit, series),
            notes=[f"Cells: {self.y_unit}.", *notes],
            data=data,
        )

    def _row(self, x: int, series: dict[str, list[tuple[float, float]]]) -> tuple[str, ...]:
        found = [dict(series[name]).get(x) for name in COMPARED]
        return (f"{x:,}", *("-" if value is None else number(value) for value in found))


def connections(count: int) -> Case:
    return replace(PLAINTEXT, name=f"curve-connections {count}", connections=count)


def header_fields(count: int) -> Case:
    fields = {f"X-Benchmark-{index}": "some value of a usual size" for index in range(count)}
    return replace(PLAINTEXT, name=f"curve-headers {count}", headers=fields)


def body(size: int) -> Case:
    return Case(
        f"curve-body {size}",
        "",
        Wanted("apps:sized"),
        answer=b"m" * size,
        path=f"/?{size}",
        connections=16 if size <= MEBIBYTE else 4,
    )


def workers(count: int) -> Case:
    return replace(PLAINTEXT, name=f"curve-workers {count}", wanted=replace(PLAIN, workers=count))


COST = "CPU microseconds per request"
CURVES = (
    Curve(
        "curve-connections",
        "Cost per request by number of connections",
        "connections",
        COST,
        tuple((count, connections(count)) for count in (1, 10, 100, 500, 2000)),
    ),
    Curve(
        "curve-headers",
        "Cost per request by number of header fields",
        "header fields",
        COST,
        tuple((count, header_fields(count)) for count in (1, 10, 30, 60, 100)),
    ),
    Curve(
        "curve-body",
        "Cost per MiB by size of the response body",
        "bytes",
        "CPU microseconds per MiB",
        tuple((size, body(size)) for size in (1 << 10, 1 << 14, 1 << 18, 1 << 22, 1 << 26)),
        per_mebibyte=True,
    ),
    Curve(
        "curve-workers",
        "Cost per request by number of workers (all cores, shared with the load generator)",
        "workers",
        COST,
        tuple((count, workers(count)) for count in (1, 2)),
    ),
)
