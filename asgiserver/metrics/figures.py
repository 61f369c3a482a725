"""Declares every figure of a server once, with its name, help text, kind and labels.

Each figure is one line: a field of `Counters` if the server counts it as it runs, else a field of
`Snapshot`. The live counters are plain attributes: ``counters.requests += 1`` is all that counting
costs. The module is pure, and imports nothing else of the package.
"""

# ruff: noqa: RUF009  (one line per figure)
from __future__ import annotations

import dataclasses
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.metrics.requests import CountUsual, RequestTally

__all__ = ["FIGURES", "OTHER_REASONS", "Counters", "Figure", "Snapshot", "Values", "add"]

MAX_REASONS = 128
"""Reasons of refusals that are counted separately. All of them are constants of this package, about
80; the limit keeps a snapshot small if a reason ever comes from elsewhere."""

OTHER_REASONS = "other"
"""The reason under which refusals are counted when there are `MAX_REASONS` already."""

Value: TypeAlias = "float | list[float] | dict[str, float] | dict[str, list[float]]"
Values: TypeAlias = "dict[str, Value]"
"""Figures by their names, as plain JSON. With labels a figure is a dict; its keys are the values of
the labels, with a blank between them."""


class Figure(NamedTuple):
    """What a program that shows figures needs to know about one of them.

    A counter only grows, whichever worker counts; a gauge goes up and down. A histogram is a list
    (see `Histogram.numbers`; empty, if nothing was counted), and so is each of the rows by method,
    status and outcome. `merge` is how the figures of several workers become one.
    """

    name: str
    help: str
    kind: str  # counter, gauge, histogram or rows
    labels: tuple[str, ...] = ()
    metric: str = ""  # the name in /metrics, without prefix and suffix, where that is another one
    merge: str = "sum"  # sum, min, or worker: they do not, as each worker has a label

    @property
    def grows(self) -> bool:
        """Whether the figure of a worker that has ended still counts."""
        return self.kind != "gauge"


def _figure(help: str, kind: str, metric: str = "", merge: str = "sum") -> Any:
    info = help, kind, (), metric, merge
    return field(default=0, metadata={"figure": info})


def _labelled(help: str, kind: str, *labels: str, metric: str = "", merge: str = "sum") -> Any:
    info = help, kind, labels, metric, merge
    return field(default_factory=dict, metadata={"figure": info})


def _histogram(help: str, metric: str) -> Any:
    info = help, "histogram", (), metric
    return field(default_factory=list, metadata={"figure": info})


class Received(Protocol):
    """What a WebSocket's inbox has counted."""

    received: int  # bytes of frames
    messages_received: int


@dataclass(slots=True)
class Counters:
    """What one server has counted since it started.

    `tally` counts the requests that have ended; None, if nobody wants to know. `count_usual` is the
    fast part of it, if there is one, and nobody wants a record of each request besides. The
    histograms are the lists of those who measure, and grow with them.
    """

    connections: int = _figure("Connections accepted", "counter", metric="connections_accepted")
    requests: int = _figure(
        "Requests begun, handshakes of WebSockets among them", "counter", metric="requests_begun"
    )
    refused: dict[str, int] = _labelled("Connections and requests refused", "counter", "reason")
    stalls: int = _figure("Times that the event loop was blocked for --loop-stall-warn", "counter")
    stalled_seconds: float = _figure("Seconds for which the event loop was blocked so", "counter")
    slow_requests: int = _figure(
        "Requests that ran for --request-warn without an answer", "counter"
    )
    gc_pauses: int = _figure("Pauses of 50 ms and more for the garbage collector", "counter")
    gc: list[float] = _histogram(
        "How long each run of the garbage collector paused the process", metric="gc_pause_seconds"
    )
    lag: list[float] = _histogram(
        "How late the event loop did what it was asked for, twice in --loop-stall-warn",
        metric="loop_lag_seconds",
    )
    lingering: int = _figure(
        "Connections closed but for what the client still sends",
        "gauge",
        metric="connections_lingering",
    )
    websockets: int = _figure("WebSockets opened", "counter", metric="websockets_opened")
    websocket_bytes_sent: int = _figure("Bytes sent by WebSockets that have ended", "counter")
    websocket_bytes_received: int = _figure(
        "Bytes received by WebSockets that have ended", "counter"
    )
    websocket_messages_sent: int = _figure("Messages sent by WebSockets that have ended", "counter")
    websocket_messages_received: int = _figure(
        "Messages received by WebSockets that have ended", "counter"
    )
    h2_streams: int = _figure(
        "HTTP/2 streams that clients have opened", "counter", metric="http2_streams"
    )
    h2_streams_lost: int = _figure(
        "HTTP/2 streams that ended because their connection did",
        "counter",
        metric="http2_streams_lost",
    )
    h2_resets: dict[str, int] = _labelled(
        "HTTP/2 streams reset, by whom and with which error code",
        "counter",
        "by",
        "code",
        metric="http2_streams_reset",
    )
    tally: RequestTally | None = None
    count_usual: CountUsual | None = None

    def count_reset(self, side: str, code: str) -> None:
        """Count a stream that `side`, client or server, has reset with an error code."""
        key = f"{side} {code}"
        self.h2_resets[key] = self.h2_resets.get(key, 0) + 1

    def count_websocket(self, sent: int, messages_sent: int, inbox: Received) -> None:
        """Count what has travelled over a WebSocket that has ended; `sent` is bytes of frames."""
        self.websocket_bytes_sent += sent
        self.websocket_bytes_received += inbox.received
        self.websocket_messages_sent += messages_sent
        self.websocket_messages_received += inbox.messages_received

    def count_refused(self, reason: str) -> None:
        """Count one connection or request that was refused for `reason`."""
        refused = self.refused
        if reason not in refused and len(refused) >= MAX_REASONS:
            reason = OTHER_REASONS
        refused[reason] = refused.get(reason, 0) + 1


@dataclass(slots=True)
class Snapshot(Counters):
    """All figures of one worker at one moment, a copy, which is plain JSON."""

    open: int = _figure("Connections now", "gauge", metric="connections_open")
    states: dict[str, int] = _labelled(
        "Connections now, by wire and by whom they wait for",
        "gauge",
        "wire",
        "state",
        metric="connections",
    )
    h2_streams_open: int = _figure("HTTP/2 streams now", "gauge", metric="http2_streams_open")
    running: int = _figure("Requests and WebSockets for which the application runs now", "gauge")
    in_flight: int = _figure(
        "Requests for which the application runs now", "gauge", metric="requests_in_flight"
    )
    queued: int = _figure(
        "Requests that wait for their turn (--overload queue)", "gauge", metric="requests_queued"
    )
    websockets_open: int = _figure("WebSockets for which the application runs now", "gauge")
    ended: dict[str, list[float]] = _labelled(
        "Requests that have ended", "rows", "method", "status", "outcome", metric="requests"
    )
    early: list[float] = _histogram(
        "Seconds to the first byte of a response, less those until its end", metric="early"
    )
    rss: int = _figure(
        "Resident memory of the process in bytes; 0: not known",
        "gauge",
        metric="worker_resident_memory_bytes",
        merge="worker",
    )
    cpu: float = _figure(
        "CPU time of the process in seconds", "counter", metric="worker_cpu_seconds", merge="worker"
    )
    certificates: dict[str, float] = _labelled(
        "When each TLS certificate expires, seconds since 1970",
        "gauge",
        "name",
        metric="certificate_expiry_timestamp_seconds",
        merge="min",
    )

    def values(self) -> Values:
        """The figures by name."""
        return {figure.name: getattr(self, figure.name) for figure in FIGURES}


FIGURES = tuple(
    Figure(one.name, *one.metadata["figure"])
    for one in dataclasses.fields(Snapshot)
    if one.metadata
)


def add(total: Values, values: Values, worker: int, *, gone: bool = False) -> None:
    """Merge the figures of a worker into `total`; of one that is `gone`, only what grows.

    `values` may lack figures. A figure that each worker has by itself becomes one with labels.
    """
    for figure in FIGURES:
        if figure.name in values and (figure.grows or not gone):
            value: Any = values[figure.name]
            if figure.merge == "worker":
                value = {str(worker): value}
            merge = min if figure.merge == "min" else operator.add
            total[figure.name] = _merged(total.get(figure.name), value, merge)


def _merged(one: Any, other: Any, merge: Callable[[float, float], float]) -> Any:
    if one is None:
        return other
    if isinstance(other, dict):
        return {**one, **{key: _merged(one.get(key), other[key], merge) for key in other}}
    if isinstance(other, list):
        if not (one and other):
            return one or other
        return [merge(a, b) for a, b in zip(one, other, strict=True)]
    return merge(one, other)
