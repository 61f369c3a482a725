"""Lines for programs: JSON, ECS, Google Cloud Logging and logfmt, of both logs."""

from __future__ import annotations

import json
import logging
import math
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logfmt import read_logfmt

from asgiserver.log import origin, structured, timestamps
from asgiserver.log.access_format import STRUCTURED, compile_format
from asgiserver.log.record import AccessRecord, RequestDetails

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1795258873.25  # 2026-11-21T11:01:13.25Z
STAMP = "2026-11-21T11:01:13.250Z"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

# What the reference of the Elastic Common Schema, version 8.11, says of the fields that are used.
ECS_TYPES: dict[str, type | tuple[type, ...]] = {
    "@timestamp": str,
    "log.level": str,
    "message": str,
    "ecs.version": str,
    "log.logger": str,
    "process.pid": int,
    "trace.id": str,
    "span.id": str,
    "error.type": str,
    "error.message": str,
    "error.stack_trace": str,
    "event.kind": str,
    "event.category": list,
    "event.type": list,
    "event.dataset": str,
    "event.duration": int,  # nanoseconds
    "event.outcome": str,
    "client.address": str,
    "client.ip": str,
    "client.port": int,
    "http.request.method": str,
    "http.request.body.bytes": int,
    "http.request.id": str,
    "http.request.referrer": str,
    "http.response.status_code": int,
    "http.response.body.bytes": int,
    "http.version": str,
    "url.path": str,
    "url.query": str,
    "url.original": str,
    "url.scheme": str,
    "user_agent.original": str,
}
# Its allowed values.
ECS_VALUES = {
    "event.kind": {"event"},
    "event.category": {"web"},
    "event.type": {"access"},
    "event.outcome": {"success", "failure", "unknown"},
}


def record(**changes: Any) -> AccessRecord:
    values: dict[str, Any] = {
        "client": ("127.0.0.1", 51422),
        "method": "GET",
        "target": b"/items?q=1",
        "http_version": "1.1",
        "status": 200,
        "sent": 13,
        "duration": 0.000412,
        "outcome": "ok",
        "fields": [(b"referer", b"http://a/"), (b"user-agent", b"curl/8")],
    }
    details = changes.pop("details", None)
    made = AccessRecord(**values | changes)
    made.details = details
    return made


DETAILS = RequestDetails("abc", 7, TRACE, SPAN, 0.0002)


@pytest.fixture
def at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timestamps.time, "time", lambda: NOW)


@pytest.fixture
def as_worker() -> Iterator[None]:
    origin.set_worker(2, True)
    yield
    origin._worker, origin._label = None, ""


def read(log_format: str, line: str) -> dict[str, Any]:
    """One line as a shipper reads it."""
    assert line.isascii()
    assert "\n" not in line
    return read_logfmt(line) if log_format == "logfmt" else json.loads(line)


def check_ecs(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if name.startswith("asgiserver."):
            continue  # a namespace of our own, which the schema allows
        assert isinstance(value, ECS_TYPES[name]), name
        allowed = ECS_VALUES.get(name)
        if allowed is not None:
            assert allowed.issuperset(value if isinstance(value, list) else [value]), name
    for name in ("@timestamp", "log.level", "message", "ecs.version"):
        assert name in fields


# Access records


@pytest.mark.usefixtures("at_now", "as_worker")
def test_json_has_what_is_known() -> None:
    fields = json.loads(compile_format("json")(record(details=DETAILS)))
    assert fields == {
        "time": STAMP,
        "level": "INFO",
        "logger": "asgiserver.access",
        "client": "127.0.0.1:51422",
        "method": "GET",
        "path": "/items",
        "query": "q=1",
        "version": "1.1",
        "status": 200,
        "bytes": 13,
        "received": 0,
        "duration": 0.000412,
        "outcome": "ok",
        "scheme": "http",
        "ttfb": 0.0002,
        "connection": 7,
        "worker": 2,
        "request_id": "abc",
        "trace_id": TRACE,
        "span_id": SPAN,
        "user_agent": "curl/8",
        "referer": "http://a/",
    }


@pytest.mark.usefixtures("at_now")
def test_logfmt_has_the_same_names_as_json() -> None:
    made = record(details=DETAILS)
    as_json = json.loads(compile_format("json")(made))
    as_logfmt = read_logfmt(compile_format("logfmt")(made))
    assert as_logfmt == {name: str(value) for name, value in as_json.items()}


@pytest.mark.usefixtures("at_now", "as_worker")
def test_ecs_has_names_and_types_of_the_reference() -> None:
    fields = json.loads(compile_format("ecs")(record(details=DETAILS)))
    check_ecs(fields)
    assert set(ECS_TYPES) - set(fields) == {"error.type", "error.message", "error.stack_trace"}
    assert fields["@timestamp"] == STAMP
    assert fields["event.duration"] == 412_000
    assert fields["client.ip"] == "127.0.0.1"
    assert fields["url.original"] == "/items?q=1"
    assert fields["asgiserver.ttfb"] == 200_000
    assert fields["asgiserver.worker"] == 2
    assert fields["message"] == '127.0.0.1:51422 "GET /items?q=1 HTTP/1.1" 200 13B 0.4ms'


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "success"),
        ({"status": 404}, "success"),
        ({"status": 499, "outcome": "client_gone"}, "success"),
        ({"status": 503}, "failure"),
        ({"status": 200, "outcome": "app_error"}, "failure"),
    ],
)
def test_the_outcome_in_ecs(changes: dict[str, Any], outcome: str) -> None:
    assert json.loads(compile_format("ecs")(record(**changes)))["event.outcome"] == outcome


def test_ecs_without_an_address() -> None:
    fields = json.loads(compile_format("ecs")(record(client=None)))
    assert not [name for name in fields if name.startswith("client.")]
    fields = json.loads(compile_format("ecs")(record(client=("proxy", 0))))
    assert fields["client.address"] == "proxy"
    assert "client.ip" not in fields


@pytest.mark.usefixtures("at_now", "as_worker")
def test_gcp_has_an_http_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "shop")
    structured.google_project.cache_clear()
    fields = json.loads(compile_format("gcp")(record(details=DETAILS, client=("::1", 5))))
    assert fields["time"] == STAMP
    assert fields["severity"] == "INFO"
    assert fields["httpRequest"] == {
        "requestMethod": "GET",
        "requestUrl": "/items?q=1",
        "requestSize": "0",
        "status": 200,
        "responseSize": "13",
        "userAgent": "curl/8",
        "remoteIp": "::1",
        "referer": "http://a/",
        "latency": "0.000412s",
        "protocol": "HTTP/1.1",
    }
    assert fields["logging.googleapis.com/trace"] == f"projects/shop/traces/{TRACE}"
    assert fields["logging.googleapis.com/spanId"] == SPAN
    labels = fields["logging.googleapis.com/labels"]
    assert (labels["logger"], labels["worker"]) == ("asgiserver.access", "2")
    assert (fields["request_id"], fields["ttfb"]) == ("abc", 0.0002)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    structured.google_project.cache_clear()
    fields = json.loads(compile_format("gcp")(record(details=DETAILS)))
    assert fields["logging.googleapis.com/trace"] == TRACE


@pytest.mark.parametrize("log_format", STRUCTURED)
def test_the_end_of_a_websocket(log_format: str) -> None:
    made = record(status=101, scheme="ws")
    made.event, made.close_code, made.close_reason = "websocket_close", 1001, 'by"e'
    fields = read(log_format, compile_format(log_format)(made))
    prefix = "asgiserver." if log_format == "ecs" else ""
    assert fields[f"{prefix}event"] == "websocket_close"
    assert str(fields[f"{prefix}close_code"]) == "1001"
    assert fields[f"{prefix}close_reason"] == "by\\x22e"


@pytest.mark.parametrize("log_format", STRUCTURED)
@given(target=st.binary(), value=st.binary(), host=st.text(), method=st.text(), name=st.text())
def test_whatever_a_client_sends_is_one_line_that_can_be_read(
    log_format: str, target: bytes, value: bytes, host: str, method: str, name: str
) -> None:
    made = record(
        target=target,
        client=(host, 1),
        method=method,
        fields=[(b"referer", value), (b"user-agent", value)],
        details=RequestDetails(request_id=name),
    )
    line = compile_format(log_format)(made)
    assert line.isprintable()
    fields = read(log_format, line)
    if log_format == "ecs":
        check_ecs(fields)


# Records of the server's own log


def own(message: str = "Serving on %s", *args: Any, **values: Any) -> logging.LogRecord:
    made = logging.LogRecord("asgiserver", logging.INFO, __file__, 1, message, args, None)
    made.created = NOW
    made.__dict__.update(values)
    return made


def raised() -> Any:
    try:
        raise ValueError("no\x1b[2J\nline")
    except ValueError:
        return sys.exc_info()


@pytest.mark.parametrize("log_format", STRUCTURED)
def test_a_line_of_the_server(log_format: str) -> None:
    fields = read(log_format, structured.make_formatter(log_format).format(own("%d ready", 3)))
    assert fields["message"] == "3 ready"
    time = fields["@timestamp" if log_format == "ecs" else "time"]
    assert time == STAMP
    if log_format == "ecs":
        check_ecs(fields)
        assert fields["log.level"] == "info"
    elif log_format == "gcp":
        assert fields["severity"] == "INFO"
    else:
        assert (fields["level"], fields["logger"]) == ("INFO", "asgiserver")


@pytest.mark.parametrize("log_format", STRUCTURED)
def test_an_exception_is_in_its_line(log_format: str) -> None:
    line = structured.make_formatter(log_format).format(own("failed", exc_info=raised()))
    fields = read(log_format, line)
    names = {"ecs": "error.stack_trace", "gcp": "stack_trace"}
    trace = fields[names.get(log_format, "exception")]
    assert trace.startswith("Traceback (most recent call last):")
    assert "line" in trace.splitlines()[-1]
    if log_format == "ecs":
        check_ecs(fields)
        assert fields["error.type"] == "ValueError"
        assert fields["error.message"] == "no\x1b[2J\nline"


class Shy(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not telling")


def test_an_exception_without_a_text() -> None:
    line = structured.make_formatter("json").format(own("failed", exc_info=(Shy, Shy(), None)))
    assert json.loads(line)["exception_message"] == "(its text fails)"


def test_extra_attributes_become_fields() -> None:
    formatter = structured.make_formatter("json")
    fields = json.loads(
        formatter.format(own("stalled", seconds=1.5, frame="app.py:3", odd=math.nan))
    )
    assert (fields["seconds"], fields["frame"], fields["odd"]) == ("1.5", "app.py:3", "nan")
    fields = json.loads(formatter.format(own("stalled", seconds=1.5, what=object, stack_info="s")))
    assert fields["seconds"] == 1.5
    assert (fields["what"], fields["stack"]) == ("<class 'object'>", "s")
    line = structured.make_formatter("logfmt").format(
        own("x", **{"a b": "c=d", "no": None, "t": True})
    )
    assert read_logfmt(line)["a_b"] == "c=d"
    assert read_logfmt(line)["t"] == "true"
    assert "no" not in read_logfmt(line)
    ecs = json.loads(
        structured.make_formatter("ecs").format(own("x", seconds=2, **{"host.name": "a"}))
    )
    assert (ecs["asgiserver.seconds"], ecs["host.name"]) == (2, "a")


@pytest.mark.usefixtures("as_worker")
def test_a_line_names_the_request_and_the_worker() -> None:
    token = origin.current_request.set(DETAILS)
    try:
        fields = json.loads(structured.make_formatter("json").format(own()))
    finally:
        origin.current_request.reset(token)
    assert (fields["worker"], fields["request_id"]) == (2, "abc")
    assert (fields["trace_id"], fields["span_id"]) == (TRACE, SPAN)


def test_levels() -> None:
    trace = own()
    trace.levelname, trace.levelno = "TRACE", 5
    assert json.loads(structured.make_formatter("json").format(trace))["level"] == "DEBUG"
    trace.levelname = "NOTICE"
    assert json.loads(structured.make_formatter("gcp").format(trace))["severity"] == "DEFAULT"


@pytest.mark.parametrize("log_format", ["ecs", "gcp"])
def test_access_records_of_logging_are_formatted_alike(log_format: str) -> None:
    """For a --log-config in which these formatters take the records of `asgiserver.access`."""
    from asgiserver.log.access import LoggerAccessLog

    seen: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(self.format(record))

    target = logging.Logger("asgiserver.access")  # noqa: LOG001 (not the server's own one)
    handler = Keep()
    handler.setFormatter(structured.make_formatter(log_format))
    target.addHandler(handler)
    LoggerAccessLog(target).log(record(details=DETAILS))
    fields = json.loads(seen[0])
    direct = json.loads(compile_format(log_format)(record(details=DETAILS)))
    assert set(fields) == set(direct)
