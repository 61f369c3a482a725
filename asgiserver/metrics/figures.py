"""Declares every figure of a server once, with its name, help text, type and labels.

Each figure is one line: a field of `Counters` if the server counts it as it runs, else a field of
`Snapshot`. The live counters are plain attributes: ``counters.requests += 1`` is all that counting
costs. The module is pure, and imports nothing of the package.
"""

# ruff: noqa: RUF009  (one line per figure)
from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["FIGURES", "OTHER_REASONS", "Counters", "Figure", "Snapshot"]

MAX_REASONS = 128
"""Reasons of refusals that are counted separately. All of them are constants of this package, about
80; the limit keeps a snapshot small if a reason ever comes from elsewhere."""

OTHER_REASONS = "other"
"""The reason under which refusals are counted when there are `MAX_REASONS` already."""


class Figure(NamedTuple):
    """What a program that shows figures needs to know about one of them."""

    name: str
    help: str
    kind: str  # a counter only grows; a gauge goes up and down
    labels: tuple[str, ...] = ()  # with labels the value is a dict, whose keys are label values


def _figure(help: str, kind: str) -> Any:
    return dataclasses.field(default=0, metadata={"figure": (help, kind, ())})


def _labelled(help: str, kind: str, label: str) -> Any:
    metadata = {"figure": (help, kind, (label,))}
    return dataclasses.field(default_factory=dict, metadata=metadata)


@dataclass(slots=True)
class Counters:
    """What one server has counted since it started."""

    connections: int = _figure("Connections accepted", "counter")
    requests: int = _figure("Requests begun, handshakes of WebSockets among them", "counter")
    refused: dict[str, int] = _labelled("Connections and requests refused", "counter", "reason")
    lingering: int = _figure("Connections closed but for what the client still sends", "gauge")
    stalls: int = _figure("Times that the event loop was blocked for --loop-stall-warn", "counter")
    stalled_seconds: float = _figure("Seconds for which the event loop was blocked so", "counter")
    slow_requests: int = _figure(
        "Requests that ran for --request-warn without an answer", "counter"
    )
    gc_pauses: int = _figure("Pauses of 50 ms and more for the garbage collector", "counter")
    gc_seconds: float = _figure("Seconds spent in the garbage collector", "counter")

    def count_refused(self, reason: str) -> None:
        """Count one connection or request that was refused for `reason`."""
        refused = self.refused
        if reason not in refused and len(refused) >= MAX_REASONS:
            reason = OTHER_REASONS
        refused[reason] = refused.get(reason, 0) + 1


@dataclass(slots=True)
class Snapshot(Counters):
    """All figures of one worker at one moment, a copy: ``dataclasses.asdict`` of it is JSON."""

    open: int = _figure("Connections now", "gauge")
    running: int = _figure("Requests and WebSockets for which the application runs now", "gauge")
    rss: int = _figure("Resident memory of the process in bytes; 0: not known", "gauge")


FIGURES = tuple(
    Figure(field.name, *field.metadata["figure"]) for field in dataclasses.fields(Snapshot)
)
