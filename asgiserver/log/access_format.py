"""The access log's formats: each is compiled once into a function from a record to its line.

This module must not know where the lines go.
"""

from __future__ import annotations

import logging
import string
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from asgiserver import speedups
from asgiserver.errors import ConfigError, closest
from asgiserver.http.bounded import BoundedDict
from asgiserver.http.fields import values_of
from asgiserver.log.columns import Columns, paint
from asgiserver.log.escape import client_text, escape
from asgiserver.log.flat import details_of
from asgiserver.log.origin import worker
from asgiserver.log.record import AccessRecord, Render
from asgiserver.log.timestamps import clf_time, iso_time

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "STRUCTURED",
    "compile_format",
    "measures",
    "wants_details",
    "websocket_text",
]

COMBINED = (
    "{client_host} - - [{clf_time}] "
    '"{method} {target} HTTP/{version}" {status} {bytes} "{h[referer]}" "{h[user-agent]}"'
)
STRUCTURED = ("json", "ecs", "gcp", "logfmt")
PRESETS = ("text", "combined", *STRUCTURED)
_core_line = speedups.choose("access_line", None)
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {499: "Client Closed Request"}
_STATUS_COLORS = {2: "32", 3: "36", 4: "33", 5: "31"}


class _Remembered(BoundedDict[Any, str]):
    """Keeps the text made for each key, with a bound on the number and the size of the texts."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[Any], str], most: int = 1024) -> None:
        super().__init__(most)
        self._make = make

    def __missing__(self, key: Any) -> str:
        text = self._make(key)
        if len(text) <= 64:
            self.remember(key, text)
        return text


# Template field -> a function to its value, and the format used when the template gives none.
_FIELDS: dict[str, tuple[Callable[[AccessRecord], object], str]] = {
    "bytes": (lambda r: r.sent, ""),
    "client": (lambda r: client_text(r.client), ""),
    "client_host": (lambda r: "-" if r.client is None else escape(r.client[0]), ""),
    "clf_time": (lambda _: clf_time(time.time()), ""),
    "close_code": (lambda r: r.close_code, ""),
    "close_reason": (lambda r: escape(r.close_reason), ""),
    "connection": (lambda r: details_of(r).connection, ""),
    "duration": (lambda r: r.duration, ".6f"),
    "duration_ms": (lambda r: r.duration * 1000, ".3f"),
    "event": (lambda r: r.event, ""),
    "messages_received": (lambda r: r.messages_received, ""),
    "messages_sent": (lambda r: r.messages_sent, ""),
    "method": (lambda r: escape(r.method), ""),
    "outcome": (lambda r: escape(r.outcome), ""),
    "path": (lambda r: escape(r.target.partition(b"?")[0]), ""),
    "query": (lambda r: escape(r.target.partition(b"?")[2]), ""),
    "reason": (lambda r: _REASONS.get(r.status, "-"), ""),
    "received": (lambda r: r.received, ""),
    "request_id": (lambda r: escape(details_of(r).request_id) or "-", ""),
    "scheme": (lambda r: escape(r.scheme), ""),
    "span_id": (lambda r: details_of(r).span_id or "-", ""),
    "status": (lambda r: r.status, ""),
    "target": (lambda r: escape(r.target), ""),
    "time": (lambda _: iso_time(time.time()), ""),
    "trace_id": (lambda r: details_of(r).trace_id or "-", ""),
    "ttfb": (lambda r: _first_byte(r), ".6f"),
    "ttfb_ms": (lambda r: _first_byte(r) * 1000, ".3f"),
    "version": (lambda r: escape(r.http_version), ""),
    "worker": (lambda _: "-" if worker() is None else worker(), ""),
}
_OF_DETAILS = ("connection", "request_id", "span_id", "trace_id", "ttfb", "ttfb_ms")


def _first_byte(record: AccessRecord) -> float:
    """Seconds to the first byte of the answer; all of them when there was none."""
    found = details_of(record).ttfb
    return record.duration if found is None else found


def wants_details(access_log_format: str) -> bool:
    """Whether lines in this format show what only `RequestDetails` have."""
    if access_log_format in STRUCTURED:
        return True
    if "{" not in access_log_format:
        return False
    names = [name for _, name, _, _ in string.Formatter().parse(access_log_format)]
    return not set(_OF_DETAILS).isdisjoint(names)


def compile_format(access_log_format: str, columns: Columns | None = None) -> Render:
    """A function from a record to its line, without the line's end.

    Lines in the format ``text`` begin with `columns`, if there are any. Raises `ConfigError` when
    the format is neither a preset nor a valid template.
    """
    if access_log_format == "text":
        return _compile_text(columns)
    if access_log_format in STRUCTURED:
        from asgiserver.log.structured import compile_structured

        return compile_structured(access_log_format, _compile_text(None))
    if access_log_format == "combined":
        return _compile_template(COMBINED)
    if "{" not in access_log_format:
        close = closest(access_log_format, PRESETS)
        hint = f"did you mean {close}?" if close else f"use {', '.join(PRESETS)} or a template"
        raise ConfigError(
            f"--access-log-format {access_log_format!r} is no preset and has no {{field}}; {hint}"
        )
    return _compile_template(access_log_format)


def _compile_text(columns: Columns | None) -> Render:
    r"""``127.0.0.1:51422 "GET /items?q=1 HTTP/1.1" 200 13B 0.4ms``, and the outcome if not ok."""
    line = _compile_line(columns is not None and columns.colors)
    if columns is None:
        return line
    level = columns.level("INFO", logging.INFO)

    def render(record: AccessRecord) -> str:
        return f"{columns.time(time.time())}{level}{line(record)}"

    if _core_line is None or columns.colors or columns.terminal:
        return render
    return _prefer_core(render, columns.second, level)


def _prefer_core(render: Render, text_of: Callable[[float], str], level: str) -> Render:
    """`render`, but in the compiled core what most records are; `text_of` a second is known."""

    # HOT 20 %: of a logged request.
    def render_usual(record: AccessRecord) -> str:
        if record.outcome == "ok" and record.event == "request":
            now = time.time()
            line: str | None = _core_line(
                text_of(now),
                now,
                level,
                record.client,
                record.method,
                record.target,
                record.http_version,
                record.status,
                record.sent,
                record.duration,
            )
            if line is not None:
                return line
        return render(record)

    return render_usual


def _compile_line(colors: bool) -> Render:
    """A ``text`` line without its columns."""
    # HOT 10 %: of a logged request. Written out by hand, this takes 0.7 us for a record in CPython
    # 3.13, where a template takes 2.1 us and one `logging.info` 12 us. Clients, methods, versions
    # and durations repeat, so their texts are kept. `get` comes first because subscription of a
    # dict's subclass costs half as much again.
    peers = _Remembered(client_text, 8192)  # about a MiB
    words = _Remembered(escape)
    statuses = _Remembered(_colored_status if colors else str)
    times = _Remembered(lambda tenths: f"{tenths / 10:.1f}ms")

    def render(record: AccessRecord) -> str:
        client, method, version = record.client, record.method, record.http_version
        status, tenths = record.status, int(record.duration * 10_000 + 0.5)
        try:
            peer = peers.get(client) or peers[client]
        except TypeError:  # the application has put a list into its scope, which has no hash
            peer = client_text(client)
        line = (
            f'{peer} "{words.get(method) or words[method]} {escape(record.target)} '
            f'HTTP/{words.get(version) or words[version]}" '
            f"{statuses.get(status) or statuses[status]} "
            f"{record.sent}B {times.get(tenths) or times[tenths]}"
        )
        if record.outcome != "ok":
            line = f"{line} {words[record.outcome]}"
        return line if record.event == "request" else f"{line} {websocket_text(record)}"

    return render


def measures(record: AccessRecord) -> str:
    """The end of a ``text`` line, from the size on, as printable text."""
    text = f"{record.sent}B {record.duration * 1000:.1f}ms"
    if record.outcome != "ok":
        text = f"{text} {escape(record.outcome)}"
    return text if record.event == "request" else f"{text} {websocket_text(record)}"


def websocket_text(record: AccessRecord) -> str:
    """The end of a WebSocket's ``text`` line: open, or how it was closed."""
    if record.event == "websocket_open":
        return "open"
    reason = f' "{escape(record.close_reason)}"' if record.close_reason else ""
    messages = f"{record.messages_received} in, {record.messages_sent} out"
    return f"closed {record.close_code}{reason} {messages}"


def _colored_status(status: int) -> str:
    color = _STATUS_COLORS.get(status // 100)
    return paint(str(status), color) if color else str(status)


def _compile_template(template: str) -> Render:
    """Compile a `str.format` template. Raises `ConfigError` when a line cannot be made from it."""
    parts: list[str] = []
    getters: list[Callable[[AccessRecord], object]] = []
    try:
        for literal, name, spec, conversion in string.Formatter().parse(template):
            parts.append(literal.replace("{", "{{").replace("}", "}}"))
            if name is None:
                continue
            if conversion:
                raise ValueError(f"{{{name}!{conversion}}}: conversions are not supported")
            getter, default_spec = _template_field(name)
            parts.append(f"{{{len(getters)}:{spec or default_spec}}}")
            getters.append(getter)
        fill = "".join(parts).format
        sample = AccessRecord(("::1", 1), "GET", b"/", "1.1", 200, 1, 0.1, "ok", [])
        fill(*[get(sample) for get in getters])
    except (ValueError, IndexError, KeyError) as exc:
        raise ConfigError(f"--access-log-format: {exc}") from exc
    return lambda record: fill(*[get(record) for get in getters])


def _template_field(name: str) -> tuple[Callable[[AccessRecord], object], str]:
    if name.startswith("h[") and name.endswith("]"):
        wanted = name[2:-1].lower().encode()

        def header(record: AccessRecord) -> str:
            # RFC 9110 section 5.3: the values of a repeated field are joined to one list.
            values = values_of(wanted, record.fields)
            return escape(b", ".join(values)) if values else "-"

        return header, ""
    if name not in _FIELDS:
        close = closest(name, [*_FIELDS, "h[name]"], cutoff=0.4)
        hint = f"did you mean {{{close}}}?" if close else f"use one of {', '.join(_FIELDS)}"
        raise ValueError(f"unknown field {{{name}}}; {hint}")
    return _FIELDS[name]
