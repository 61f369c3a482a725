"""The figures as text that Prometheus reads, or OpenMetrics 1.0; pure functions of a state.

Both formats have the same families. Counters of all workers are one sum, which the end of a worker
does not change; what is a worker's own has its number as label.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from asgiserver._version import __version__
from asgiserver.admin.health import is_stalled
from asgiserver.metrics.figures import FIGURES, add
from asgiserver.metrics.histogram import BOUNDS, BUCKETS
from asgiserver.metrics.requests import RECEIVED, SECONDS, SENT, UNANSWERED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asgiserver.admin.source import ServerState
    from asgiserver.metrics.figures import Figure, Values

__all__ = ["OPENMETRICS", "PROMETHEUS", "Family", "families", "render", "totals"]

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

PREFIX = "asgiserver_"
_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Family(NamedTuple):
    """All samples of one metric. `name` has no ``_total``, which `render` adds for counters."""

    name: str
    kind: str  # counter, gauge or histogram
    help: str
    samples: list[Sample]


class Sample(NamedTuple):
    """One number; `suffix` is for the parts of a histogram."""

    labels: dict[str, str]
    value: float
    suffix: str = ""


def totals(state: ServerState) -> Values:
    """The figures of all workers, and what those that are gone have counted."""
    total = dict(state.gone)
    for worker in state.workers:
        add(total, worker.figures, worker.index)
    return total


def families(state: ServerState) -> Iterator[Family]:
    """Every metric of a server, in a fixed order."""
    total = totals(state)
    yield from _about_workers(state)
    for figure in FIGURES:
        if figure.kind == "rows":
            yield from _about_requests(total)
        elif figure.name != "early":
            name = PREFIX + (figure.metric or figure.name)
            yield Family(name, figure.kind, figure.help, _samples(figure, total))


def _samples(figure: Figure, total: Values) -> list[Sample]:
    value: Any = total.get(figure.name)
    if figure.kind == "histogram":
        return _histogram(value or [0.0] * (BUCKETS + 1))
    labels = ("worker",) if figure.merge == "worker" else figure.labels
    return _labelled(labels, value or ({} if labels else 0))


def _labelled(labels: tuple[str, ...], value: Any) -> list[Sample]:
    if not labels:
        return [Sample({}, value)]
    return [
        Sample(dict(zip(labels, key.split(" ", len(labels) - 1), strict=True)), number)
        for key, number in value.items()
    ]


def _histogram(numbers: list[float]) -> list[Sample]:
    samples = []
    count = 0.0
    for bound, number in zip((*BOUNDS, float("inf")), numbers[:BUCKETS], strict=True):
        count += number
        samples.append(Sample({"le": _float(bound)}, count, "_bucket"))
    return [*samples, Sample({}, count, "_count"), Sample({}, max(0.0, numbers[BUCKETS]), "_sum")]


# Requests ---------------------------------------------------------------------------------------


def _about_requests(total: Values) -> Iterator[Family]:
    rows: dict[str, list[float]] = total.get("ended") or {}  # type: ignore[assignment]
    all_rows = _sums(rows.values())
    answered = _sums(row for key, row in rows.items() if f" {UNANSWERED} " not in key)
    early: list[float] = total.get("early") or [0.0] * (BUCKETS + 1)  # type: ignore[assignment]
    duration = [*all_rows[:BUCKETS], all_rows[SECONDS]]
    first = [
        one + other
        for one, other in zip([*answered[:BUCKETS], answered[SECONDS]], early, strict=True)
    ]
    labels = ("method", "status", "outcome")
    counts = {key: sum(row[:BUCKETS]) for key, row in rows.items()}
    yield Family(
        PREFIX + "requests",
        "counter",
        "Requests that have ended, by method, class of status and outcome",
        _labelled(labels, counts),
    )
    for name, help_text, numbers in (
        ("request_duration_seconds", "Time from a request's head to the end of it", duration),
        (
            "time_to_first_byte_seconds",
            "Time from a request's head to that of its answer, if any",
            first,
        ),
    ):
        yield Family(PREFIX + name, "histogram", help_text, _histogram(numbers))
    for name, help_text, column in (
        ("response_body_bytes", "Bytes of response bodies that were sent", SENT),
        ("request_body_bytes", "Bytes of request bodies that were received", RECEIVED),
    ):
        yield Family(PREFIX + name, "counter", help_text, [Sample({}, all_rows[column])])


def _sums(rows: Iterable[list[float]]) -> list[float]:
    return [sum(column) for column in zip(*rows, strict=True)] or [0.0] * (BUCKETS + 3)


# Workers ----------------------------------------------------------------------------------------


def _about_workers(state: ServerState) -> Iterator[Family]:
    versions = {"version": __version__, "python": sys.version.partition(" ")[0]}
    yield _gauge("info", "What runs here", [Sample(versions, 1)])
    yield _gauge("start_time_seconds", "When the server began", [Sample({}, state.began)])
    yield _gauge("workers_wanted", "Workers that there should be", [Sample({}, state.wanted)])
    phases = ("starting", "ready", "stalled", "draining")
    counts = dict.fromkeys(phases, 0)
    for worker in state.workers:
        counts["stalled" if is_stalled(worker) else worker.phase] += 1
    samples = [Sample({"state": phase}, count) for phase, count in counts.items()]
    yield _gauge("workers", "Workers that there are", samples)
    restarts = [Sample({"cause": cause}, count) for cause, count in state.restarts.items()]
    help_text = "Workers that ended and were to be replaced, by cause"
    yield Family(PREFIX + "worker_restarts", "counter", help_text, restarts)
    now = time.time()
    begins: dict[str, float] = {}
    silences: dict[str, float] = {}
    for worker in state.workers:  # two may have one number, when one replaces the other
        number = str(worker.index)
        begins[number] = max(now - worker.age, begins.get(number, 0.0))
        silences[number] = max(worker.silence, silences.get(number, 0.0))
    for name, help_text, values in (
        ("start_time_seconds", "When the worker was started", begins),
        ("silence_seconds", "How long the worker's loop has not turned", silences),
    ):
        yield _gauge(f"worker_{name}", help_text, _labelled(("worker",), values))


def _gauge(name: str, help_text: str, samples: list[Sample]) -> Family:
    return Family(PREFIX + name, "gauge", help_text, samples)


# Text -------------------------------------------------------------------------------------------


def render(metrics: Iterable[Family], openmetrics: bool) -> str:
    """The text of all metrics, in OpenMetrics or in Prometheus' own format."""
    lines = []
    for family in metrics:
        total = "_total" if family.kind == "counter" else ""
        name = family.name if openmetrics else family.name + total
        lines.append(f"# HELP {name} {family.help.translate(_ESCAPED)}")
        lines.append(f"# TYPE {name} {family.kind}")
        for sample in family.samples:
            labels = ",".join(
                f'{label}="{value.translate(_ESCAPED)}"' for label, value in sample.labels.items()
            )
            labels = f"{{{labels}}}" if labels else ""
            suffix = sample.suffix or total
            lines.append(f"{family.name}{suffix}{labels} {_number(sample.value)}")
    if openmetrics:
        lines.append("# EOF")
    return "\n".join([*lines, ""])


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _float(bound: float) -> str:
    return "+Inf" if bound == float("inf") else repr(bound)
