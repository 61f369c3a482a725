"""The table of RFC 9113 section 5.1, cell by cell: what the codec does is what the table says."""

import pytest
from h2_peer import Connection

from asgiserver.errors import PeerError
from asgiserver.h2 import frames
from asgiserver.h2.streams import (
    CLOSED,
    CUT,
    DROP,
    HALF_CLOSED_LOCAL,
    HALF_CLOSED_REMOTE,
    IDLE,
    IGNORE,
    MOST_CUT,
    MOST_SKIPPED,
    OPEN,
    RECEIVED,
    SKIPPED,
    TAKE,
    Fault,
    Stream,
    StreamIds,
)

STATES = {
    "idle": IDLE,
    "open": OPEN,
    "half-closed (local)": HALF_CLOSED_LOCAL,
    "half-closed (remote)": HALF_CLOSED_REMOTE,
    "closed by our reset": CUT,
    "closed by both ends": CLOSED,
    "closed by their reset": CLOSED,
    "closed and never opened": SKIPPED,
}
FRAMES = {
    "DATA 1 END_STREAM: x": frames.DATA,
    "HEADERS 1 END_STREAM END_HEADERS: a=b": frames.HEADERS,
    "PRIORITY 1: 0 1": frames.PRIORITY,
    "RST_STREAM 1: CANCEL": frames.RST_STREAM,
    "WINDOW_UPDATE 1: 1": frames.WINDOW_UPDATE,
}


def in_state(name):
    """A connection whose stream 1 is in a state."""
    connection = Connection()
    codec = connection.codec
    if name == "open":
        connection.send("HEADERS 1 END_HEADERS: POST")
    elif name == "half-closed (local)":
        connection.send("HEADERS 1 END_HEADERS: POST | content-length=1")
        codec.send_head(connection.stream(), [(b":status", b"200")], b"", True)
    elif name == "half-closed (remote)":
        connection.send("HEADERS 1 END_STREAM END_HEADERS: GET")
    elif name == "closed by our reset":
        connection.send("HEADERS 1 END_HEADERS: POST")
        codec.reset(connection.stream(), 8)
    elif name == "closed by both ends":
        connection.send("HEADERS 1 END_STREAM END_HEADERS: GET")
        codec.send_head(connection.stream(), [(b":status", b"200")], b"", True)
    elif name == "closed by their reset":
        connection.send("HEADERS 1 END_HEADERS: POST", "RST_STREAM 1: CANCEL")
    elif name == "closed and never opened":
        connection.send("HEADERS 3 END_HEADERS: POST")
    connection.read()
    connection.sink.calls.clear()
    return connection


@pytest.mark.parametrize("name", STATES)
def test_the_state_is_known(name):
    codec = in_state(name).codec
    stream = codec.streams.get(1)
    assert (stream.state if stream else codec.ids.state_of(1)) == STATES[name]


@pytest.mark.parametrize("line", FRAMES)
@pytest.mark.parametrize("name", STATES)
def test_cell(name, line):
    verdict = RECEIVED[FRAMES[line]][STATES[name]]
    connection = in_state(name)
    if name == "idle" and FRAMES[line] == frames.HEADERS:
        line = "HEADERS 1 END_STREAM END_HEADERS: GET"
    if name == "half-closed (local)" and FRAMES[line] == frames.HEADERS:
        connection.send("DATA 1: x")  # what Content-Length says
    connection.send(line)
    sent, calls = connection.read(), connection.calls
    assert connection.codec.takes_streams == (connection.fault is None)
    if verdict is TAKE:
        assert connection.fault is None
        if name in ("idle", "open"):
            assert calls or "WINDOW_UPDATE" in line
    elif verdict in (DROP, IGNORE):
        assert (sent, calls, connection.fault) == ([], [], None)
    else:
        assert isinstance(verdict, Fault)
        of_connection, code, reason = verdict
        if of_connection:
            assert (connection.fault.code, connection.fault.reason) == (code, reason)
            assert sent[-1].startswith("GOAWAY")
        else:
            assert connection.fault is None
            assert sent == ["RST_STREAM 1: STREAM_CLOSED"]
            assert calls == [f"reset 1 STREAM_CLOSED {reason}"]


def test_a_row_has_a_cell_for_each_state():
    assert {len(row) for row in RECEIVED.values()} == {7}


def test_data_that_is_dropped_counts_for_the_window_of_the_connection():
    connection = in_state("closed by our reset")
    inflow = connection.codec.inflow
    before = inflow.left + inflow.due
    connection.send("DATA 1: {x*1000}")
    assert inflow.left + inflow.due == before
    assert inflow.due >= 1000


def test_a_block_that_is_dropped_counts_for_the_table_of_hpack():
    connection = in_state("closed by our reset")
    # A field that enters the table, and a reference to it in the next request.
    connection.send("HEADERS 1 END_STREAM END_HEADERS: #4001610162")
    connection.send("HEADERS 3 END_STREAM END_HEADERS: GET | #be")
    assert connection.sink.heads[3].fields == [(b"host", b"a"), (b"a", b"b")]


def test_streams_after_the_last_goaway_are_ignored():
    connection = Connection().send("HEADERS 1 END_HEADERS: POST")
    connection.codec.close()
    assert connection.read() == ["GOAWAY: 1 NO_ERROR"]
    connection.calls.clear()
    connection.send(
        "HEADERS 3 END_HEADERS: POST",
        "DATA 3: x",
        "WINDOW_UPDATE 3: 1",
        "RST_STREAM 3: CANCEL",
        "DATA 1 END_STREAM: x",
    )
    assert connection.calls == ["data 1 x", "end 1"]
    assert connection.read() == []


def test_the_drain_takes_streams_until_its_ping_is_answered():
    connection = Connection()
    connection.codec.drain()
    assert connection.read() == ["GOAWAY: 2147483647 NO_ERROR", "PING: \0drain\0\0"]
    connection.send("HEADERS 1 END_STREAM END_HEADERS: GET")
    assert connection.codec.takes_streams
    answer = "PING ACK: #00647261696e0000"
    connection.send(answer, "HEADERS 3 END_STREAM END_HEADERS: GET", answer)
    assert not connection.codec.takes_streams
    assert connection.read() == ["GOAWAY: 1 NO_ERROR"]
    assert connection.calls == ["request 1 GET /"]


def test_a_drain_after_the_end_says_nothing():
    connection = Connection()
    connection.codec.close()
    connection.read()
    connection.codec.drain()
    assert connection.read() == []


def test_a_request_that_the_sink_refuses():
    connection = Connection(body=b"", error=PeerError(426, "not like this"))
    connection.send("HEADERS 1 END_HEADERS: POST", "DATA 1 END_STREAM: x")
    assert connection.calls == ["request 1 POST / ...", "refused 1 426 not like this"]
    assert connection.read() == ["HEADERS 1 END_STREAM: :status=426", "RST_STREAM 1: NO_ERROR"]


def test_a_connection_that_is_lost_leaves_nothing():
    connection = Connection(consumes=False)
    codec = connection.codec
    connection.send("HEADERS 1 END_HEADERS: POST", "DATA 1: x", "SETTINGS: 4=0")
    connection.send("HEADERS 3 END_HEADERS: POST")
    codec.send_head(connection.stream(3), [(b":status", b"200")], b"waits", True)
    codec.abandon()
    connection.read()
    for number in (1, 3):
        stream = connection.stream(number)
        codec.consumed(stream, 1)
        codec.reset(stream, 8)
        codec.release(stream)
        assert codec.send_data(stream, b"x", True)
    codec.feed(b"more")
    assert not codec.pump(65_536)
    assert not codec.streams
    assert connection.read() == []


def test_the_sink_is_told_why_a_malformed_request_was_reset():
    connection = Connection().send("HEADERS 1 END_STREAM END_HEADERS: GET | Upper=x")
    assert connection.sink.faults == ["invalid field name"]


@pytest.mark.parametrize("number", [0, 2])
def test_a_head_after_the_last_goaway_that_names_no_stream_of_a_client(number):
    connection = in_state("open")
    connection.codec.close()
    connection.send(f"HEADERS {number} END_STREAM END_HEADERS: GET")
    assert connection.fault.reason == "a stream of a client has an odd id"


def test_a_second_goaway_names_no_higher_stream():
    connection = Connection().send("HEADERS 1 END_STREAM END_HEADERS: GET")
    connection.codec.close()
    connection.send("HEADERS 3 END_STREAM END_HEADERS: GET", "PING 1: 12345678")
    assert connection.read() == ["GOAWAY: 1 NO_ERROR", "GOAWAY: 1 PROTOCOL_ERROR PING of a stream"]


def test_ids_that_were_left_out_are_kept_for_a_bounded_number():
    ids = StreamIds()
    for number in range(1, 4 * (MOST_SKIPPED + 2), 4):
        ids.open(number)
    assert ids.state_of(3) == CLOSED  # the oldest
    assert ids.state_of(7) == SKIPPED
    assert ids.state_of(ids.last - 2) == SKIPPED
    assert ids.state_of(ids.last + 2) == IDLE


def test_ids_that_were_reset_are_kept_for_a_bounded_number():
    ids = StreamIds()
    for number in range(1, 2 * MOST_CUT + 2, 2):
        ids.open(number)
        ids.cut(number)
    assert ids.state_of(1) == CLOSED
    assert ids.state_of(3) == CUT


def test_reprs():
    connection = in_state("open")
    assert "Stream 1 state=1" in repr(connection.codec.streams[1])
    assert "StreamIds last=1" in repr(connection.codec)
    assert "Inflow left=" in repr(connection.codec.inflow)
    assert "Turns" in repr(connection.codec.turns)
    assert "Settings streams=128" in repr(connection.codec.settings)
    assert Stream(None, 1, 2, False).window == 2


def test_what_is_owed():
    connection = Connection(begun=False)
    assert connection.codec.begun
    connection.feed(frames.PREFACE[:9])
    connection.feed(frames.PREFACE[9:])
    assert connection.codec.begun
    connection.feed(frames.settings([]))
    assert not connection.codec.begun
    connection.feed(b"\0")
    assert connection.codec.begun
    connection.feed(frames.frame(frames.PING, 0, 0, b"12345678")[1:])
    assert not connection.codec.begun
    connection.send("HEADERS 1: GET @0-5")
    assert connection.codec.begun
    connection.send("CONTINUATION 1 END_HEADERS: GET @5-")
    assert not connection.codec.begun


def test_the_preface_of_the_server():
    connection = Connection(begun=False)
    announced, update = connection.read()
    assert announced == "SETTINGS: 3=128, 6=65536, 9=1, 8=1"
    window = 65535 + int(update.removeprefix("WINDOW_UPDATE: "))
    assert window == connection.codec.inflow.size == connection.codec.inflow.left
