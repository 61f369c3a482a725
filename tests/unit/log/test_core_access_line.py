"""Lines of the access log from the compiled core: the same ones that Python makes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiserver import speedups
from asgiserver.log import access_format
from asgiserver.log.columns import Columns
from asgiserver.log.record import AccessRecord

pytestmark = pytest.mark.skipif(
    not speedups.is_used, reason=f"the compiled core is {speedups.about}"
)
NOW = 1_795_000_000.987


def record(
    client=("192.0.2.1", 4711),
    method="GET",
    target=b"/items/1?q=a%20b",
    version="1.1",
    status=200,
    sent=2,
    duration=0.0012,
):
    return AccessRecord(client, method, target, version, status, sent, duration, "ok", [])


def core_line(made, now=NOW, columns=None):
    columns = columns or Columns()
    return access_format._core_line(
        columns.second(now),
        now,
        columns.level("INFO", 20),
        made.client,
        made.method,
        made.target,
        made.http_version,
        made.status,
        made.sent,
        made.duration,
    )


def python_line(made, now=NOW):
    columns = Columns()
    line = access_format._compile_line(False)(made)
    return f"{columns.time(now)}{columns.level('INFO', 20)}{line}"


@pytest.mark.parametrize(
    "made",
    [
        record(),
        record(client=("2001:db8::1", 0)),
        record(client=None),
        record(method="PROPFIND", target=b"*", version="2", status=499, sent=0),
        record(target=b"/" + b"a" * 900, sent=2**62),
        *(record(duration=duration) for duration in (0.0, 0.00004, 0.00005, 0.99995, 86400.5)),
    ],
)
def test_usual_lines_are_not_left_to_python(made):
    assert core_line(made) == python_line(made)


@pytest.mark.parametrize(
    "made",
    [
        *(record(target=target) for target in (b'/"', b"/\\", b"/\xe9", b"/\x1b[2J", b"/\n")),
        record(target=b"/" * 1024),
        record(target=bytearray(b"/")),
        *(record(client=client) for client in ("a", ("a",), ["a", 1], ("a\n", 1), ("\xe9", 1))),
        *(record(client=("a", port)) for port in (-1, 65536, 2**70, None, "1", True)),
        *(record(method=method) for method in ('G"', "G\xc9T", None, b"GET")),
        *(record(version=version) for version in ("1\n", None, 2)),
        *(record(status=status) for status in (-1, 1000, 200.0, None)),
        *(record(sent=sent) for sent in (-1, 2**63, 1.0)),
        *(record(duration=duration) for duration in (-1.0, math.nan, math.inf, 1)),
    ],
)
def test_what_is_odd_or_has_to_be_escaped_is_left_to_python(made):
    assert core_line(made) is None


@pytest.mark.parametrize("now", [-1.0, math.nan, math.inf, 1e13, 5])
def test_times_that_are_none(now):
    made = record()
    arguments = ["", now, "", made.client, "GET", b"/", "1.1", 200, 2, 0.1]
    assert access_format._core_line(*arguments) is None


def test_other_numbers_of_arguments():
    with pytest.raises(TypeError, match="10 arguments"):
        access_format._core_line("", 1.0)


words = st.text('abcZ09-._~%:/?&= "\\\x00\x1b\x7f\xe9', max_size=30)


@given(
    st.builds(
        record,
        client=st.none() | st.tuples(words, st.integers(-2, 70_000)),
        method=words,
        target=words.map(lambda text: text.encode("latin-1")),
        version=words,
        status=st.integers(0, 1100),
        sent=st.integers(0, 2**65),
        duration=st.floats(0, 1e5),
    ),
    st.floats(0, 4e9),
)
def test_a_line_of_the_core_is_that_of_python(made, now):
    line = core_line(made, now)
    assert line is None or line == python_line(made, now)


def test_the_text_format_uses_it(monkeypatch):
    asked = []
    monkeypatch.setattr(access_format, "_core_line", lambda *values: asked.append(values))
    render = access_format.compile_format("text", Columns())
    assert render(record()).endswith('"GET /items/1?q=a%20b HTTP/1.1" 200 2B 1.2ms')
    assert len(asked) == 1
    gone = record()
    gone.outcome = "client_gone"
    assert render(gone).endswith("client_gone")
    assert len(asked) == 1
    for columns in (Columns(colors=True), Columns(terminal=True)):
        access_format.compile_format("text", columns)(record())
    assert len(asked) == 1
