"""The access log's formats: each is compiled once into a function from a record to its line.

This module must not know where the lines go.
"""

from __future__ import annotations

import string
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from asgiserver.errors import ConfigError, closest
from asgiserver.http.bounded import BoundedDict
from asgiserver.http.fields import values_of
from asgiserver.log.escape import client_text, escape
from asgiserver.log.record import AccessRecord

__all__ = ["Render", "compile_format", "measures", "record_fields", "websocket_text"]

Render = Callable[[AccessRecord], str]

COMBINED = (
    "{client_host} - - [{clf_time}] "
    '"{method} {target} HTTP/{version}" {status} {bytes} "{h[referer]}" "{h[user-agent]}"'
)
PRESETS = ("text", "combined", "json")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
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


class _SecondText:
    """Keeps the text of the current second (UTC)."""

    __slots__ = ("_make", "_second", "_text")

    def __init__(self, make: Callable[[time.struct_time], str]) -> None:
        self._make = make
        self._second = -1
        self._text = ""

    def at(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._text = self._make(time.gmtime(second))
            self._second = second
        return self._text


def _iso_time() -> Callable[[AccessRecord], str]:
    seconds = _SecondText(lambda utc: time.strftime("%Y-%m-%dT%H:%M:%S", utc))

    def iso(_: AccessRecord) -> str:
        now = time.time()
        return f"{seconds.at(now)}.{int(now % 1 * 1000):03d}Z"

    return iso


def _clf_time() -> Callable[[AccessRecord], str]:
    # The month is not written by strftime's %b, which follows the locale.
    seconds = _SecondText(
        lambda utc: (
            f"{utc.tm_mday:02d}/{_MONTHS[utc.tm_mon - 1]}/{utc.tm_year:04d}"
            f":{utc.tm_hour:02d}:{utc.tm_min:02d}:{utc.tm_sec:02d} +0000"
        )
    )
    return lambda _: seconds.at(time.time())


# Template field -> a function to its value, and the format used when the template gives none.
_FIELDS: dict[str, tuple[Callable[[AccessRecord], object], str]] = {
    "bytes": (lambda r: r.sent, ""),
    "client": (lambda r: client_text(r.client), ""),
    "client_host": (lambda r: "-" if r.client is None else escape(r.client[0]), ""),
    "clf_time": (_clf_time(), ""),
    "close_code": (lambda r: r.close_code, ""),
    "close_reason": (lambda r: escape(r.close_reason), ""),
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
    "scheme": (lambda r: escape(r.scheme), ""),
    "status": (lambda r: r.status, ""),
    "target": (lambda r: escape(r.target), ""),
    "time": (_iso_time(), ""),
    "version": (lambda r: escape(r.http_version), ""),
}


def compile_format(access_log_format: str, colors: bool = False) -> Render:
    """A function from a record to its line, without the line's end.

    Raises `ConfigError` when the format is neither a preset nor a valid template.
    """
    if access_log_format == "text":
        return _compile_text(colors)
    if access_log_format == "json":
        return _compile_json()
    if access_log_format == "combined":
        return _compile_template(COMBINED)
    if "{" not in access_log_format:
        close = closest(access_log_format, PRESETS)
        hint = f"did you mean {close}?" if close else "use text, combined, json or a template"
        raise ConfigError(
            f"--access-log-format {access_log_format!r} is no preset and has no {{field}}; {hint}"
        )
    return _compile_template(access_log_format)


def _compile_text(colors: bool) -> Render:
    r"""``127.0.0.1:51422 "GET /items?q=1 HTTP/1.1" 200 13B 0.4ms``, and the outcome if not ok."""
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
    return f"\x1b[{color}m{status}\x1b[0m" if color else str(status)


def _compile_json() -> Render:
    import json

    encode = json.JSONEncoder(separators=(",", ":")).encode
    now = _iso_time()

    def render(record: AccessRecord) -> str:
        return encode({"time": now(record), **record_fields(record)})

    return render


def record_fields(record: AccessRecord) -> dict[str, object]:
    """A record as the fields of a JSON line, which are also the attributes of a `LogRecord`."""
    path, _, query = record.target.partition(b"?")
    return {
        "client": None if record.client is None else client_text(record.client),
        "method": escape(record.method),
        "path": escape(path),
        "query": escape(query),
        "version": escape(record.http_version),
        "status": record.status,
        "bytes": record.sent,
        "received": record.received,
        "duration": round(record.duration, 6),
        "outcome": escape(record.outcome),
        "scheme": escape(record.scheme),
        **(_websocket_fields(record) if record.event != "request" else {}),
    }


def _websocket_fields(record: AccessRecord) -> dict[str, object]:
    fields: dict[str, object] = {"event": record.event}
    if record.event == "websocket_close":
        fields["close_code"] = record.close_code
        fields["close_reason"] = escape(record.close_reason)
        fields["messages_received"] = record.messages_received
        fields["messages_sent"] = record.messages_sent
    return fields


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
