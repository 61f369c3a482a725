"""Log lines for programs: JSON, Elastic Common Schema, Google Cloud Logging, logfmt.

Each line is made of plain fields: those of an access record, or those of a `logging.LogRecord`.
The classes are formatters for `logging`, also for a ``--log-config`` of the user's.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from asgiserver.log.escape import escape
from asgiserver.log.flat import record_fields
from asgiserver.log.formatters import traceback_text
from asgiserver.log.loggers import ACCESS_LOGGER
from asgiserver.log.origin import current_request, request_id, worker
from asgiserver.log.timestamps import iso_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asgiserver.log.record import AccessRecord, Render

__all__ = [
    "EcsFormatter",
    "GcpFormatter",
    "JsonFormatter",
    "LogfmtFormatter",
    "RequestIdFilter",
    "StructuredFormatter",
    "compile_structured",
    "make_formatter",
]

ECS_VERSION = "8.11.0"

Fields = dict[str, Any]


# Encoding -------------------------------------------------------------------------------------

_encode_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=str).encode


def json_line(fields: Mapping[str, Any]) -> str:
    """One line of JSON in ASCII; values that JSON does not have become text."""
    try:
        return _encode_json(fields)
    except (ValueError, TypeError, RecursionError):  # NaN, a key that is no text, a cycle
        return _encode_json({str(name): str(value) for name, value in fields.items()})


_PLAIN_WORD = re.compile(r"[!#-<>-\[\]-~]+").fullmatch  # no blank, quote, backslash or "="
_NOT_IN_KEY = re.compile(r'[\s"=\x00-\x1f\x7f-\U0010ffff]')


def logfmt_line(fields: Mapping[str, Any]) -> str:
    """One line of ``key=value`` in ASCII; a value that is no plain word is quoted as in JSON."""
    pairs = []
    for name, value in fields.items():
        if value is None:
            continue
        text = str(value).lower() if value is True or value is False else str(value)
        word = text if _PLAIN_WORD(text) else json.dumps(text)
        pairs.append(f"{_key(name)}={word}")
    return " ".join(pairs)


@functools.lru_cache(256)
def _key(name: str) -> str:
    return _NOT_IN_KEY.sub("_", name)


# Schemas --------------------------------------------------------------------------------------


def ecs_access(fields: Fields) -> Fields:
    """An access record in the Elastic Common Schema; the namespace ``asgiserver`` is our own."""
    host, port = split_client(fields.get("client"))
    failed = fields["status"] >= 500 or fields["outcome"] not in ("ok", "client_gone")
    query = fields.get("query")
    known = {
        "event.kind": "event",
        "event.category": ["web"],
        "event.type": ["access"],
        "event.dataset": "asgiserver.access",
        "event.duration": nanoseconds(fields["duration"]),
        "event.outcome": "failure" if failed else "success",
        "client.address": host,
        "client.ip": host if is_ip(host) else None,
        "client.port": port,
        "http.request.method": fields["method"],
        "http.request.body.bytes": fields["received"],
        "http.request.id": fields.get("request_id"),
        "http.request.referrer": fields.get("referer"),
        "http.response.status_code": fields["status"],
        "http.response.body.bytes": fields["bytes"],
        "http.version": fields["version"],
        "url.path": fields["path"],
        "url.query": query,
        "url.original": f"{fields['path']}?{query}" if query else fields["path"],
        "url.scheme": fields["scheme"],
        "user_agent.original": fields.get("user_agent"),
        "asgiserver.outcome": fields["outcome"],
        "asgiserver.connection": fields.get("connection"),
        "asgiserver.ttfb": nanoseconds(fields["ttfb"]) if "ttfb" in fields else None,
    }
    for name in ("event", "close_code", "close_reason", "messages_received", "messages_sent"):
        known[f"asgiserver.{name}"] = fields.get(name)
    return {name: value for name, value in known.items() if value not in (None, "")}


def gcp_access(fields: Fields) -> Fields:
    """An access record with an ``httpRequest`` as Google Cloud Logging reads it."""
    query = fields.get("query")
    request = {
        "requestMethod": fields["method"],
        "requestUrl": f"{fields['path']}?{query}" if query else fields["path"],
        "requestSize": str(fields["received"]),
        "status": fields["status"],
        "responseSize": str(fields["bytes"]),
        "userAgent": fields.get("user_agent"),
        "remoteIp": split_client(fields.get("client"))[0],
        "referer": fields.get("referer"),
        "latency": f"{fields['duration']:.6f}s",
        "protocol": f"HTTP/{fields['version']}",
    }
    further = ("outcome", "connection", "ttfb", "request_id", "event", "close_code", "close_reason")
    return {
        "httpRequest": {name: value for name, value in request.items() if value is not None},
        **{name: fields[name] for name in further if fields.get(name) is not None},
    }


def ecs_head(fields: Fields) -> Fields:
    """Time, level, logger and all else in the Elastic Common Schema, some of them first."""
    error = fields.pop("exception", None)
    kind, text = fields.pop("exception_type", None), fields.pop("exception_message", None)
    named = {
        "@timestamp": fields.pop("time"),
        "log.level": fields.pop("level").lower(),
        "message": fields.pop("message", None),
        "ecs.version": ECS_VERSION,
        "log.logger": fields.pop("logger"),
        "process.pid": os.getpid(),
        "trace.id": fields.pop("trace_id", None),
        "span.id": fields.pop("span_id", None),
        "http.request.id": fields.pop("request_id", None),
        "error.type": kind,
        "error.message": text,
        "error.stack_trace": error,
        "asgiserver.worker": fields.pop("worker", None),
    }
    rest = {name if "." in name else f"asgiserver.{name}": value for name, value in fields.items()}
    return {name: value for name, value in (named | rest).items() if value is not None}


def gcp_head(fields: Fields) -> Fields:
    """The same as Google Cloud Logging reads it."""
    level = fields.pop("level")
    trace, project = fields.pop("trace_id", None), google_project()
    fields.pop("exception_type", None)
    fields.pop("exception_message", None)
    labels = {"logger": fields.pop("logger"), "pid": str(os.getpid())}
    if (index := fields.pop("worker", None)) is not None:
        labels["worker"] = str(index)
    named = {
        "time": fields.pop("time"),
        "severity": level if level in _SEVERITIES else "DEFAULT",
        "message": fields.pop("message", ""),
        "logging.googleapis.com/labels": labels,
        "stack_trace": fields.pop("exception", None),
        "logging.googleapis.com/trace": f"projects/{project}/traces/{trace}"
        if project and trace
        else trace,
        "logging.googleapis.com/spanId": fields.pop("span_id", None),
    }
    return {name: value for name, value in (named | fields).items() if value is not None}


_SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@functools.cache
def google_project() -> str:
    """The project of which traces are; empty when the environment does not say."""
    return os.environ.get("GOOGLE_CLOUD_PROJECT", "")


def split_client(client: str | None) -> tuple[str | None, int | None]:
    """Host and port of ``127.0.0.1:51422`` or ``[::1]:51422``."""
    if not client:
        return None, None
    host, _, port = client.rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else None


@functools.lru_cache(1024)
def is_ip(host: str | None) -> bool:
    """Whether `host` is an address and no name."""
    import ipaddress

    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


def nanoseconds(seconds: float) -> int:
    """Whole nanoseconds."""
    return round(seconds * 1_000_000_000)


# Formatters -----------------------------------------------------------------------------------

# The attributes that every record has; all others are fields of the line.
_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message"}


class Schema(NamedTuple):
    """How lines are encoded, and what their fields are called."""

    encode: Callable[[Mapping[str, Any]], str]
    head: Callable[[Fields], Fields] = lambda fields: fields
    access: Callable[[Fields], Fields] = lambda fields: fields
    has_message: bool = False  # access lines have one: the line as text


class StructuredFormatter(logging.Formatter):
    """Makes one line of a record: its standard fields, the request's, and each extra attribute."""

    schema: ClassVar[Schema]

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        fields: Fields = {
            "time": iso_time(record.created),
            "level": record.levelname if record.levelname != "TRACE" else "DEBUG",
            "logger": record.name,
        }
        message = record.getMessage()
        extra = {name: v for name, v in record.__dict__.items() if name not in _STANDARD}
        if record.name == ACCESS_LOGGER and "outcome" in extra:
            return self.access_line(fields, extra, message)
        fields["message"] = message
        fields |= _request_fields()
        fields |= extra
        if not record.exc_info and record.exc_text:  # the traceback of another process
            fields["exception"] = record.exc_text
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["exception_type"] = type(error).__qualname__
            fields["exception_message"] = _text_of(error)
            fields["exception"] = traceback_text(error)
        if record.stack_info:
            fields["stack"] = record.stack_info
        return self.schema.encode(self.schema.head(fields))

    @classmethod
    def access_line(cls, fields: Fields, request: Fields, message: str) -> str:
        """The line of an access record with the fields `request`."""
        schema = cls.schema
        if not schema.has_message:
            return schema.encode(fields | request)
        fields["message"] = message
        for name in ("worker", "trace_id", "span_id"):
            if name in request:
                fields[name] = request.pop(name)
        return schema.encode(schema.head(fields) | schema.access(request))


def _request_fields() -> Fields:
    """Of the worker, and of the request for which the current task runs."""
    fields: Fields = {}
    if (index := worker()) is not None:
        fields["worker"] = index
    details = current_request.get()
    if details is not None:
        values = {
            "request_id": escape(details.request_id),
            "trace_id": details.trace_id,
            "span_id": details.span_id,
        }
        fields |= {name: value for name, value in values.items() if value}
    return fields


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the exception's own `__str__` fails, too
        return "(its text fails)"


class JsonFormatter(StructuredFormatter):
    """``{"time":"2026-11-21T11:01:13.250Z","level":"INFO","logger":"asgiserver",...}``."""

    schema = Schema(json_line)


class LogfmtFormatter(StructuredFormatter):
    """``time=2026-11-21T11:01:13.250Z level=INFO logger=asgiserver message="Serving on ..."``."""

    schema = Schema(logfmt_line)


class EcsFormatter(StructuredFormatter):
    """JSON in the Elastic Common Schema."""

    schema = Schema(json_line, ecs_head, ecs_access, has_message=True)


class GcpFormatter(StructuredFormatter):
    """JSON as Google Cloud Logging reads it."""

    schema = Schema(json_line, gcp_head, gcp_access, has_message=True)


class RequestIdFilter(logging.Filter):
    """Gives each record of a handler the attribute ``request_id``, ``-`` without a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        record.request_id = request_id.get() or "-"
        return True


_FORMATTERS: dict[str, type[StructuredFormatter]] = {
    "json": JsonFormatter,
    "ecs": EcsFormatter,
    "gcp": GcpFormatter,
    "logfmt": LogfmtFormatter,
}


def make_formatter(log_format: str) -> logging.Formatter:
    """The formatter of the server's own log for one of these formats."""
    return _FORMATTERS[log_format]()


def compile_structured(log_format: str, text: Render) -> Render:
    """A function from an access record to its line; `text` makes its message."""
    formatter = _FORMATTERS[log_format]

    def render(record: AccessRecord) -> str:
        fields = {"time": iso_time(time.time()), "level": "INFO", "logger": ACCESS_LOGGER}
        message = text(record) if formatter.schema.has_message else ""
        return formatter.access_line(fields, record_fields(record), message)

    return render
