"""The access log's formats: presets, templates, and what a client can put into them."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiserver.errors import ConfigError
from asgiserver.log import access_format
from asgiserver.log.access_format import STRUCTURED, compile_format, wants_details
from asgiserver.log.columns import Columns
from asgiserver.log.record import AccessRecord, RequestDetails

NOW = 1795258873.25  # 2026-11-21T11:01:13.25Z
FORMATS = [
    "text",
    "combined",
    *STRUCTURED,
    '{client} {client_host} {method} "{path}" "{query}" {target} {version} "{h[referer]}" {scheme}',
]


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
        "fields": [(b"referer", b"http://a/"), (b"user-agent", b"curl/8"), (b"x", b"1")],
    }
    return AccessRecord(**values | changes)


@pytest.fixture
def at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_format.time, "time", lambda: NOW)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, '127.0.0.1:51422 "GET /items?q=1 HTTP/1.1" 200 13B 0.4ms'),
        (
            {"status": 499, "outcome": "client_gone", "duration": 12.3456},
            '127.0.0.1:51422 "GET /items?q=1 HTTP/1.1" 499 13B 12345.6ms client_gone',
        ),
        ({"client": ("::1", 1)}, '[::1]:1 "GET /items?q=1 HTTP/1.1" 200 13B 0.4ms'),
        ({"client": None}, '- "GET /items?q=1 HTTP/1.1" 200 13B 0.4ms'),
        # Applications put in their scopes what they like.
        ({"client": ["10.0.0.1", 1]}, '10.0.0.1:1 "GET /items?q=1 HTTP/1.1" 200 13B 0.4ms'),
        ({"duration": 0.00005}, '127.0.0.1:51422 "GET /items?q=1 HTTP/1.1" 200 13B 0.1ms'),
        ({"duration": 0.0}, '127.0.0.1:51422 "GET /items?q=1 HTTP/1.1" 200 13B 0.0ms'),
        (
            {"target": b'/\x1b[2J\r\n"\\\xff'},
            '127.0.0.1:51422 "GET /\\x1b[2J\\x0d\\x0a\\x22\\x5c\\xff HTTP/1.1" 200 13B 0.4ms',
        ),
    ],
)
def test_text(changes: dict[str, Any], line: str) -> None:
    render = compile_format("text")
    assert render(record(**changes)) == line
    assert render(record(**changes)) == line  # from what was remembered


@pytest.mark.parametrize(
    ("status", "text"),
    [(200, "\x1b[32m200\x1b[0m"), (503, "\x1b[31m503\x1b[0m"), (101, "101")],
)
def test_colored_status(status: int, text: str) -> None:
    line = compile_format("text", Columns(colors=True))(record(status=status))
    assert line.endswith(f' 127.0.0.1:51422 "GET /items?q=1 HTTP/1.1" {text} 13B 0.4ms')


@pytest.mark.usefixtures("at_now")
def test_text_begins_with_the_columns_of_the_servers_own_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        rest = '127.0.0.1:51422 "GET /items?q=1 HTTP/1.1" 200 13B 0.4ms'
        line = compile_format("text", Columns())(record())
        assert line == f"2026-11-21 11:01:13.250 INFO     {rest}"
        line = compile_format("text", Columns(terminal=True))(record())
        assert line == f"11:01:13 INFO     {rest}"
        line = compile_format("text", Columns(colors=True, terminal=True))(record())
        assert line.startswith("\x1b[2m11:01:13\x1b[0m \x1b[32mINFO    \x1b[0m 127.0.0.1")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_is_remembered_is_bounded() -> None:
    made: list[object] = []

    def make(key: str) -> str:
        made.append(key)
        return key

    remembered = access_format._Remembered(make)
    for number in range(5000):
        assert remembered[f"10.0.{number}"] == f"10.0.{number}"
        assert len(remembered) <= 1024
    assert len(made) == 5000
    assert remembered["x" * 65] == "x" * 65
    assert "x" * 65 not in remembered


@pytest.mark.usefixtures("at_now")
def test_combined() -> None:
    line = compile_format("combined")(record())
    assert line == (
        '127.0.0.1 - - [21/Nov/2026:11:01:13 +0000] "GET /items?q=1 HTTP/1.1" 200 13'
        ' "http://a/" "curl/8"'
    )
    line = compile_format("combined")(record(fields=[], client=None))
    assert line.startswith("- - - [")
    assert line.endswith(' "-" "-"')


def test_json_time_is_now() -> None:
    before = datetime.now(UTC)
    stamp = json.loads(compile_format("json")(record()))["time"]
    moment = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%f%z")
    assert abs((moment - before).total_seconds()) < 60


@pytest.mark.usefixtures("at_now")
def test_the_time_changes_with_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    render = compile_format("{time}")
    assert render(record()) == "2026-11-21T11:01:13.250Z"
    monkeypatch.setattr(access_format.time, "time", lambda: NOW + 1.5)
    assert render(record()) == "2026-11-21T11:01:14.750Z"


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{client} {client_host}", "127.0.0.1:51422 127.0.0.1"),
        ("{method} {target} {path} {query} {version}", "GET /items?q=1 /items q=1 1.1"),
        ("{status} {reason} {bytes} {received}", "200 OK 13 0"),
        ("{duration} {duration_ms} {duration_ms:.0f}", "0.000412 0.412 0"),
        ("{outcome} {scheme}", "ok http"),
        ("{h[referer]} {h[User-Agent]} {h[none]}", "http://a/ curl/8 -"),
        ("{{{status:>5}}} é", "{  200} é"),
        ("{request_id} {trace_id} {span_id} {connection} {worker}", "- - - 0 -"),
        ("{ttfb} {ttfb_ms:.1f}", "0.000412 0.4"),
    ],
)
def test_template(template: str, line: str) -> None:
    assert compile_format(template)(record()) == line


def test_a_template_with_details() -> None:
    made = record()
    made.details = RequestDetails("a", 3, "t", "s", 0.25)
    template = "{request_id} {trace_id} {span_id} {connection} {ttfb}"
    assert compile_format(template)(made) == "a t s 3 0.250000"


@pytest.mark.parametrize(
    ("access_log_format", "wanted"),
    [
        ("text", False),
        ("combined", False),
        ("json", True),
        ("logfmt", True),
        ("{status}", False),
        ("{ttfb_ms:.0f}", True),
        ("{request_id}", True),
    ],
)
def test_details_are_wanted_only_where_they_are_shown(access_log_format: str, wanted: bool) -> None:
    assert wants_details(access_log_format) is wanted


def test_repeated_fields_are_one_list() -> None:
    fields = [(b"x-forwarded-for", b"a"), (b"x-forwarded-for", b"b")]
    assert compile_format("{h[x-forwarded-for]}")(record(fields=fields)) == "a, b"


def test_reasons() -> None:
    render = compile_format("{reason}")
    assert render(record(status=499)) == "Client Closed Request"
    assert render(record(status=599)) == "-"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("jsn", "did you mean json"),
        ("xxxxxxxx", "use text, combined, json, ecs, gcp, logfmt or a template"),
        ("", "use text, combined, json, ecs, gcp, logfmt or a template"),
        ("{statuz}", r"unknown field \{statuz\}; did you mean \{status\}\?"),
        ("{header[referer]}", "unknown field"),
        ("{}", "unknown field {}; use one of"),
        ("{@@}", "use one of bytes, client"),
        ("{status!r}", "conversions are not supported"),
        ("{status", "expected '}'"),
        ("{status}}", "Single '}'"),
        ("{status:nonsense}", "Invalid format specifier|Unknown format code"),
    ],
)
def test_bad_formats_are_one_line(template: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        compile_format(template)
    assert str(caught.value).startswith("--access-log-format")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("access_log_format", FORMATS)
@given(target=st.binary(), value=st.binary(), host=st.text(), method=st.text())
def test_nothing_from_the_wire_escapes(
    access_log_format: str, target: bytes, value: bytes, host: str, method: str
) -> None:
    line = compile_format(access_log_format)(
        record(
            target=target,
            client=(host, 1),
            method=method,
            fields=[(b"referer", value), (b"user-agent", value)],
        )
    )
    assert line.isascii()
    assert line.isprintable()


@given(target=st.binary(), value=st.binary())
def test_a_combined_line_can_be_split_again(target: bytes, value: bytes) -> None:
    line = compile_format("combined")(
        record(target=target, fields=[(b"referer", value), (b"user-agent", value)])
    )
    match = re.fullmatch(
        r'(\S+) - - \[([^]]+)\] "(\S+) (.*) HTTP/([\d.]+)" (\d+) (\d+) "([^"]*)" "([^"]*)"', line
    )
    assert match is not None
    assert match[4].encode().decode("unicode_escape").encode("latin-1") == target
    assert match[8].encode().decode("unicode_escape").encode("latin-1") == (value or b"")


def websocket(event, code=0, reason=""):
    record = AccessRecord(("127.0.0.1", 1), "GET", b"/ws", "1.1", 101, 20, 1.5, "ok", [], "ws", 10)
    record.event, record.close_code, record.close_reason = event, code, reason
    record.messages_received, record.messages_sent = 3, 4
    return record


def test_a_websocket_has_a_line_at_its_open_and_one_at_its_end():
    render = compile_format("text")
    assert render(websocket("websocket_open")).endswith('"GET /ws HTTP/1.1" 101 20B 1500.0ms open')
    line = render(websocket("websocket_close", 1001, "bye\x1b[2J"))
    assert line.endswith('101 20B 1500.0ms closed 1001 "bye\\x1b[2J" 3 in, 4 out')


def test_the_end_of_a_websocket_in_json_and_in_a_template():
    record = websocket("websocket_close", 1000)
    fields = json.loads(compile_format("json")(record))
    assert (fields["event"], fields["close_code"]) == ("websocket_close", 1000)
    assert (fields["messages_received"], fields["messages_sent"]) == (3, 4)
    assert compile_format("{event} {close_code}")(record) == "websocket_close 1000"
