"""OpenTelemetry: one server span for each request, and metrics, by the HTTP semantic conventions.

A span begins with the request's head and ends with the request, as its access record does; what
the application receives and sends makes no spans. This module alone imports OpenTelemetry.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from asgiserver._version import __version__
from asgiserver.errors import ConfigError
from asgiserver.http.fields import values_of
from asgiserver.log.escape import escape
from asgiserver.log.loggers import logger
from asgiserver.log.origin import worker

try:
    from opentelemetry import context as otel_context
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.propagators.textmap import Getter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:
    raise ConfigError(
        f'--otel needs OpenTelemetry ({error}): pip install "asgiserver-py[otel]"'
    ) from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Histogram, Observation
    from opentelemetry.trace import Span

    from asgiserver.asgi.observed import Observed
    from asgiserver.context import ServerContext
    from asgiserver.log.record import AccessRecord
    from asgiserver.types import Fields

__all__ = ["Telemetry", "start_telemetry"]

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)
"""The methods that the conventions know; any other is ``_OTHER``, so that labels are bounded."""

BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds: the buckets that the conventions recommend for durations of requests."""

CLOSE_TIME = 5000
"""Milliseconds that the end of a server waits for the exporters."""


class FieldsGetter(Getter["Fields"]):
    """Reads what a caller passes on, for the propagators of OTEL_PROPAGATORS."""

    def get(self, carrier: Fields, key: str) -> list[str] | None:
        """The values of the field `key`."""
        values = values_of(key.lower().encode("latin-1"), carrier)
        return [value.decode("latin-1") for value in values] or None

    def keys(self, carrier: Fields) -> list[str]:
        """The names of all fields."""
        return [name.decode("latin-1") for name, _ in carrier]


_GETTER = FieldsGetter()


class Telemetry:
    """The spans and metrics of one server. `close` ends what `start_telemetry` has set up."""

    def __init__(
        self, context: ServerContext, closing: tuple[Callable[[], object], ...] = ()
    ) -> None:
        self._context = context
        self._closing = closing
        self._tracer = trace.get_tracer("asgiserver", __version__)
        self._durations = _instruments()
        _contexts.append(context)
        # A span, and the context of which it is the current span, for each session.
        self._spans: dict[Observed, tuple[Span, Any]] = {}

    def __repr__(self) -> str:
        return f"<Telemetry spans={len(self._spans)}>"

    def begin(self, session: Observed) -> None:
        """Begin the span of a session; its ids go into the session's details."""
        request, scope = session.request, session.scope
        fields = request.fields
        parent = propagate.extract(fields, getter=_GETTER)
        known = request.method in METHODS
        method = request.method if known else "_OTHER"
        path, _, query = request.target.partition(b"?")
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "url.path": escape(path),
            "url.scheme": scope["scheme"],
            "network.protocol.version": request.http_version,
        }
        if not known:
            attributes["http.request.method_original"] = escape(request.method)
        if query:
            attributes["url.query"] = escape(query)
        if scope["client"] is not None:
            attributes["client.address"] = scope["client"][0]
        agents = values_of(b"user-agent", fields)
        if agents:
            attributes["user_agent.original"] = escape(agents[0])
        hosts = values_of(b"host", fields)
        if hosts:
            attributes |= _server_attributes(escape(hosts[0]))
        name = method if known else "HTTP"
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)
        own = span.get_span_context()
        if own.is_valid:
            session.notes.details.trace_id = f"{own.trace_id:032x}"
            session.notes.details.span_id = f"{own.span_id:016x}"
        self._spans[session] = span, trace.set_span_in_context(span, parent)

    def enter(self, session: Observed) -> None:
        """Make the span the current one in the application's task."""
        if (begun := self._spans.get(session)) is not None:
            otel_context.attach(begun[1])  # the task's own context ends with the task

    def leave(self, session: Observed, record: AccessRecord) -> None:
        """End the span with the record of the request, or with the last one of a WebSocket."""
        if record.event == "websocket_open" or session not in self._spans:
            return
        span, _ = self._spans.pop(session)
        labels: dict[str, Any] = {
            "http.request.method": record.method if record.method in METHODS else "_OTHER",
            "url.scheme": record.scheme,
            "network.protocol.version": record.http_version,
        }
        if record.status and record.outcome != "client_gone":
            labels["http.response.status_code"] = record.status
        error = _error_type(session.notes.error, record)
        if error:
            labels["error.type"] = error
        route = getattr(session.scope.get("route"), "path", None)
        if isinstance(route, str):
            labels["http.route"] = route
        if span.is_recording():
            if "http.route" in labels:
                name = record.method if record.method in METHODS else "HTTP"
                span.update_name(f"{name} {route}")
            span.set_attributes(labels)
            if session.notes.error is not None:
                span.record_exception(session.notes.error)
            if error and record.outcome != "client_gone":
                span.set_status(Status(StatusCode.ERROR))
        span.end()
        if record.event == "request":
            self._durations.record(record.duration, labels)

    def close(self) -> None:
        """End the spans that are left, and send what waits."""
        for span, _ in self._spans.values():
            span.end()
        self._spans.clear()
        _contexts.remove(self._context)
        for close in self._closing:
            try:
                close()
            except Exception as error:
                logger.warning("OpenTelemetry could not be ended: %s", error)


# The servers of this process whose requests are counted; they share the instruments.
_contexts: list[ServerContext] = []


@functools.cache
def _instruments() -> Histogram:
    """Make the instruments, once in each process; the one that requests record to."""
    meter = metrics.get_meter("asgiserver", __version__)
    # A request that ends at once is never active, so counting begins and ends costs nothing.
    meter.create_observable_up_down_counter(
        "http.server.active_requests",
        [_count_active],
        unit="{request}",
        description="Number of active HTTP server requests.",
    )
    return meter.create_histogram(
        "http.server.request.duration",
        unit="s",
        description="Duration of HTTP server requests.",
        explicit_bucket_boundaries_advisory=BOUNDARIES,
    )


def _count_active(_: CallbackOptions) -> Iterable[Observation]:
    """How many requests run, by method and scheme; called when metrics are collected."""
    counts = Counter(
        (one.request.method if one.request.method in METHODS else "_OTHER", one.scope["scheme"])
        for context in _contexts
        for one in list(context.running.values())
    )
    return [
        metrics.Observation(count, {"http.request.method": method, "url.scheme": scheme})
        for (method, scheme), count in counts.items()
    ]


def _server_attributes(host: str) -> dict[str, Any]:
    """The name and the port in a Host field."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        return {"server.address": host}
    return {"server.address": name, "server.port": int(port)}


def _error_type(error: BaseException | None, record: AccessRecord) -> str:
    """The class of error with which a request ended; empty when it went well."""
    if error is not None:
        kind = type(error)
        name = kind.__qualname__
        return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"
    if record.outcome in ("client_gone", "timeout", "shutdown"):
        return record.outcome
    return str(record.status) if record.status >= 500 else ""


# The SDK --------------------------------------------------------------------------------------


def start_telemetry(context: ServerContext) -> Telemetry:
    """Set up the SDK in this process, unless the application has done so by now.

    Raises `ConfigError` when an exporter that OTEL_* variables name is not installed.
    """
    closing: list[Callable[[], object]] = []
    resource = Resource.create(_identity(context.config.app))
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        provider = TracerProvider(resource=resource)
        for exporter in _exporters("OTEL_TRACES_EXPORTER", "opentelemetry_traces_exporter"):
            provider.add_span_processor(BatchSpanProcessor(exporter()))
        trace.set_tracer_provider(provider)
        closing.append(lambda: provider.force_flush(CLOSE_TIME))
    if not isinstance(metrics.get_meter_provider(), MeterProvider):
        readers: list[MetricReader] = []
        for exporter in _exporters("OTEL_METRICS_EXPORTER", "opentelemetry_metrics_exporter"):
            made = exporter()
            is_reader = isinstance(made, MetricReader)
            readers.append(made if is_reader else PeriodicExportingMetricReader(made))
        meters = MeterProvider(readers, resource)
        metrics.set_meter_provider(meters)
        closing.append(lambda: meters.force_flush(CLOSE_TIME))
    return Telemetry(context, tuple(closing))


def _identity(app: object) -> dict[str, Any]:
    """The attributes of this process that OTEL_SERVICE_NAME and its like do not give."""
    identity: dict[str, Any] = {"process.pid": os.getpid()}
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if "OTEL_SERVICE_NAME" not in os.environ and "service.name=" not in given:
        identity["service.name"] = app if isinstance(app, str) else "asgiserver"
    if (index := worker()) is not None:
        identity["asgiserver.worker"] = index
    return identity


def _exporters(variable: str, group: str) -> list[Any]:
    """The classes that a variable names, by default those of the OTLP over HTTP."""
    names = [name.strip() for name in os.environ.get(variable, "otlp").split(",")]
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    otlp = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    found = []
    for name in names:
        if name in ("", "none"):
            continue
        points = list(entry_points(group=group, name=otlp if name == "otlp" else name))
        if not points:
            raise ConfigError(f"--otel: {variable}={name} is not installed")
        found.append(points[0].load())
    return found
