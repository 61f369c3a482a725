"""What the server sends: frames within windows, fair turns, priorities, the ends of streams."""

import pytest
from h2_peer import Connection, split_frames

from asgiserver.h2 import frames
from asgiserver.h2.priority import LONG, MOST_EARLY, Turns, read_priority
from asgiserver.h2.sending import ROOM

OK = [(b":status", b"200")]
WIDE = ("SETTINGS: 4=2147483647", "WINDOW_UPDATE: 2147418112")


def asked(*lines, wide=True, **sink):
    connection = Connection(**sink)
    if wide:
        connection.send(*WIDE)
    connection.send(*lines)
    connection.read()
    return connection


def get(number=1, fields=""):
    return f"HEADERS {number} END_STREAM END_HEADERS: GET{fields}"


def sent_data(connection):
    """(stream, bytes) of the DATA frames that were sent."""
    return [
        (stream, len(payload))
        for kind, _, stream, payload in split_frames(connection.take())
        if kind == frames.DATA
    ]


def test_head_and_body_in_one_call():
    connection = asked(get())
    assert connection.codec.send_head(connection.stream(), OK, b"hello", True)
    assert len(connection.output) == 1
    assert connection.read() == ["HEADERS 1: :status=200", "DATA 1 END_STREAM: hello"]
    assert not connection.codec.streams


def test_a_head_alone_ends_the_stream():
    connection = asked(get())
    assert connection.codec.send_head(connection.stream(), [(b":status", b"304")], b"", True)
    assert connection.read() == ["HEADERS 1 END_STREAM: :status=304"]


def test_a_body_in_parts():
    connection = asked(get())
    codec, stream = connection.codec, connection.stream()
    codec.send_informational(stream, [(b":status", b"103"), (b"link", b"</a>")])
    assert codec.send_head(stream, OK, b"a", False)
    assert codec.send_data(stream, b"b", False)
    assert codec.send_data(stream, b"", False)
    assert codec.send_data(stream, b"", True)
    assert connection.read() == [
        "HEADERS 1: :status=103 | link=</a>",
        "HEADERS 1: :status=200",
        "DATA 1: a",
        "DATA 1: b",
        "DATA 1 END_STREAM",
    ]


def test_trailers():
    connection = asked(get())
    codec, stream = connection.codec, connection.stream()
    codec.send_head(stream, OK, b"", False)
    codec.send_data(stream, b"a", False)
    codec.send_trailers(stream, [(b"grpc-status", b"0")])
    assert connection.read() == [
        "HEADERS 1: :status=200",
        "DATA 1: a",
        "HEADERS 1 END_STREAM: grpc-status=0",
    ]
    assert not codec.streams


def test_trailers_wait_for_the_body():
    connection = asked("SETTINGS: 4=2", get(), wide=False)
    codec, stream = connection.codec, connection.stream()
    assert not codec.send_head(stream, OK, b"abcd", False)
    codec.send_trailers(stream, [(b"a", b"b")])
    assert connection.read() == ["HEADERS 1: :status=200", "DATA 1: ab"]
    connection.send("WINDOW_UPDATE 1: 5")
    assert connection.read() == ["DATA 1: cd", "HEADERS 1 END_STREAM: a=b"]
    assert connection.sink.drained == [1]
    assert not codec.streams


def test_nothing_is_sent_on_a_stream_that_is_gone():
    connection = asked(get())
    codec, stream = connection.codec, connection.stream()
    codec.reset(stream, 2)
    connection.read()
    codec.send_informational(stream, [(b":status", b"100")])
    assert codec.send_head(stream, OK, b"x", True)
    assert codec.send_data(stream, b"x", True)
    codec.send_trailers(stream, [])
    codec.reset(stream, 2)
    codec.consumed(stream, 100)
    assert connection.read() == []


def test_a_head_larger_than_a_frame():
    connection = asked(get(), wide=False)
    field = (b"x", b"\xff" * 20_000)
    connection.codec.send_head(connection.stream(), [*OK, field], b"hi", True)
    kinds = [(kind, flags) for kind, flags, _, _ in split_frames(b"".join(connection.output))]
    assert kinds[0] == (frames.HEADERS, 0)
    assert set(kinds[1:-2]) <= {(frames.CONTINUATION, 0)}
    assert kinds[-2:] == [
        (frames.CONTINUATION, frames.END_HEADERS),
        (frames.DATA, frames.END_STREAM),
    ]
    assert connection.read()[-2].startswith("CONTINUATION 1: :status=200 | x=\xff\xff")


def test_a_large_body_waits_for_room():
    connection = asked(get())
    codec, stream = connection.codec, connection.stream()
    assert not codec.send_head(stream, OK, b"x" * 1_000_000, True)
    assert sent_data(connection) == [(1, 16384)] * 4
    assert stream.pending == 1_000_000 - ROOM
    assert codec.pump(ROOM)
    assert sent_data(connection) == [(1, 16384)] * 4
    assert codec.pump(0)
    assert sent_data(connection) == []
    assert not codec.pump(1_000_000)
    assert sum(size for _, size in sent_data(connection)) == 1_000_000 - 2 * ROOM
    assert connection.sink.drained == [1]
    assert not codec.streams


def test_more_that_is_sent_while_some_waits_is_kept_in_order():
    connection = asked("SETTINGS: 4=2", get(), wide=False)
    codec, stream = connection.codec, connection.stream()
    assert not codec.send_head(stream, OK, b"abc", False)
    assert not codec.send_data(stream, b"de", False)
    assert not codec.send_data(stream, b"f", True)
    connection.send("WINDOW_UPDATE 1: 100")
    assert connection.read()[2:] == ["DATA 1 END_STREAM: cdef"]


def test_a_small_answer_goes_before_a_download():
    connection = asked(get(1), get(3))
    codec = connection.codec
    codec.send_head(connection.stream(1), OK, b"x" * 10_000_000, True)
    sent_data(connection)
    for _ in range(5):
        codec.pump(ROOM)
    sent_data(connection)
    assert not codec.send_head(connection.stream(3), OK, b"small", True)
    codec.pump(ROOM)
    assert (3, 5) in sent_data(connection)[:2]


def test_a_small_answer_goes_at_once_when_there_is_room():
    connection = asked(get(1), get(3))
    codec = connection.codec
    codec.send_head(connection.stream(1), OK, b"x" * 10_000_000, True)
    codec.pump(ROOM)
    codec.room = 100
    sent_data(connection)
    assert codec.send_head(connection.stream(3), OK, b"small", True)
    assert sent_data(connection) == [(3, 5)]


def test_a_second_download_waits_for_its_turn():
    connection = asked(get(1), get(3))
    codec = connection.codec
    codec.send_head(connection.stream(1), OK, b"x" * 10_000_000, True)
    codec.room = ROOM
    sent_data(connection)
    assert not codec.send_head(connection.stream(3), OK, b"x" * 10_000_000, True)
    assert sent_data(connection) == []
    codec.pump(ROOM)
    assert sent_data(connection) == [(1, 16384), (3, 16384)] * 2


def test_streams_take_turns():
    connection = asked(get(1), get(3), get(5))
    codec = connection.codec
    codec.room = 0
    for number in (1, 3, 5):
        codec.send_head(connection.stream(number), OK, b"x" * 40_000, True)
    codec.pump(10**6)
    assert [stream for stream, _ in sent_data(connection)] == [1, 3, 5] * 3


def test_urgency_goes_first():
    connection = asked(get(1), get(3, " | priority=u=0, i"), get(5, " | priority=u=7"))
    codec = connection.codec
    codec.room = 0
    for number in (5, 1, 3):
        codec.send_head(connection.stream(number), OK, b"x" * 20_000, True)
    codec.pump(10**6)
    assert [stream for stream, _ in sent_data(connection)] == [3, 3, 1, 1, 5, 5]


def test_what_is_not_incremental_goes_one_after_the_other():
    """In the order of the ids, and before what is incremental (RFC 9218 section 10)."""
    connection = asked(
        get(1, " | priority=i"), get(3, " | priority=u=3"), get(5, " | priority=u=3"), get(7)
    )
    codec = connection.codec
    codec.room = 0
    for number in (7, 5, 1, 3):
        codec.send_head(connection.stream(number), OK, b"x" * 20_000, True)
    codec.pump(10**6)
    assert [stream for stream, _ in sent_data(connection)] == [3, 3, 5, 5, 7, 1, 7, 1]


def test_a_download_that_is_not_incremental_shares_after_a_while():
    connection = asked(get(1, " | priority=u=3"), get(3, " | priority=u=3"))
    codec = connection.codec
    codec.room = 0
    codec.send_head(connection.stream(1), OK, b"x" * 10 * LONG, True)
    codec.send_head(connection.stream(3), OK, b"x" * 20_000, True)
    codec.pump(LONG + 16384)
    found = [stream for stream, _ in sent_data(connection)]
    assert found[:-1] == [1] * (LONG // 16384)
    assert found[-1] == 3


def test_priority_update_changes_the_turn():
    connection = asked(get(1), get(3))
    codec = connection.codec
    codec.room = 0
    for number in (1, 3):
        codec.send_head(connection.stream(number), OK, b"x" * 20_000, True)
    connection.send("PRIORITY_UPDATE: 3 u=1")
    codec.pump(10**6)
    assert [stream for stream, _ in sent_data(connection)] == [3, 3, 1, 1]


def test_priority_update_before_the_request_has_the_last_word():
    connection = asked(
        "PRIORITY_UPDATE: 1 u=1", "PRIORITY_UPDATE: 1 u=2, i", get(1, " | priority=u=5")
    )
    stream = connection.stream()
    assert (stream.urgency, stream.incremental) == (2, True)


def test_early_priorities_are_bounded():
    turns = Turns()
    for number in range(1, 4 * MOST_EARLY, 2):
        turns.keep(number, (3, False))
    assert len(turns.early) == MOST_EARLY
    assert 1 not in turns.early


@pytest.mark.parametrize(
    ("value", "priority"),
    [
        (b"u=5", (5, False)),
        (b"i", (3, True)),
        (b"u=0, i", (0, True)),
        (b"u=1,i=?0", (1, False)),
        (b"i=?1;x=y , u=2;a", (2, True)),
        (b"u=2, u=6", (6, False)),
        (b"u=8", None),
        (b"u=-1", None),
        (b"u=1.0", None),
        (b"i=1", None),
        (b"other", None),
        (b"", None),
        (b"u=1, (", None),
        (b"U=1", None),
    ],
)
def test_priority_field(value, priority):
    assert read_priority(value) == priority


def test_a_stream_without_a_window_has_no_turn():
    connection = asked("SETTINGS: 4=3", get(1), get(3), wide=False)
    codec = connection.codec
    codec.room = 0
    for number in (1, 3):
        assert not codec.send_head(connection.stream(number), OK, b"abcdef", True)
    connection.read()
    codec.pump(ROOM)
    assert connection.read() == ["DATA 1: abc", "DATA 3: abc"]
    assert not codec.turns.count
    connection.send("WINDOW_UPDATE 1: 10", "SETTINGS: 4=0")
    assert connection.read() == ["SETTINGS ACK", "DATA 1 END_STREAM: def"]


def test_a_window_that_shrinks_takes_the_turn_away():
    connection = asked("SETTINGS: 4=3", get(1), wide=False)
    codec = connection.codec
    codec.room = 0
    codec.send_head(connection.stream(1), OK, b"abcdef", True)
    assert codec.turns.count == 1
    connection.send("SETTINGS: 4=0")
    assert codec.turns.count == 0
    connection.send("SETTINGS: 4=6")
    connection.read()
    assert not codec.pump(ROOM)
    assert connection.read() == ["DATA 1 END_STREAM: abcdef"]


def test_the_window_of_the_connection_stops_all():
    connection = asked("SETTINGS: 4=100000", get(1), get(3), wide=False)
    codec = connection.codec
    assert not codec.send_head(connection.stream(1), OK, b"x" * 70_000, True)
    assert not codec.send_head(connection.stream(3), OK, b"small", True)
    connection.read()
    assert not codec.pump(ROOM)
    assert connection.read() == []
    connection.send("WINDOW_UPDATE: 100000")
    assert sum(size for _, size in sent_data(connection)) == 70_000 - 65_535 + 5


def test_a_reset_drops_what_waits():
    connection = asked("SETTINGS: 4=3", get(1), wide=False)
    codec, stream = connection.codec, connection.stream()
    codec.send_head(stream, OK, b"abcdef", True)
    connection.read()
    connection.send("RST_STREAM 1: CANCEL", "PING: 12345678")
    assert stream.pending == 0
    assert stream.rest == b""
    assert codec.turns.count == 0
    assert connection.read() == ["PING ACK: 12345678"]


def test_a_reset_takes_the_turn_away():
    connection = asked(get(1))
    codec, stream = connection.codec, connection.stream()
    codec.room = 0
    codec.send_head(stream, OK, b"abcdef", True)
    codec.reset(stream, 8)
    assert codec.turns.count == 0
    assert connection.read() == ["HEADERS 1: :status=200", "RST_STREAM 1: CANCEL"]


def test_an_answer_to_an_unfinished_upload_tells_the_client_to_stop():
    connection = asked("HEADERS 1 END_HEADERS: POST", "DATA 1: x", consumes=False)
    codec = connection.codec
    inflow = codec.inflow
    codec.send_head(connection.stream(), OK, b"no", True)
    assert connection.read() == [
        "HEADERS 1: :status=200",
        "DATA 1 END_STREAM: no",
        "RST_STREAM 1: NO_ERROR",
    ]
    assert not codec.streams
    assert inflow.left + inflow.due == inflow.size
    connection.send("DATA 1: y")
    assert connection.calls == ["request 1 POST / ...", "data 1 x"]
    assert inflow.left + inflow.due == inflow.size


def test_the_rest_of_a_small_upload_is_awaited():
    connection = asked("HEADERS 1 END_HEADERS: POST | content-length=5", "DATA 1: x")
    codec = connection.codec
    codec.send_head(connection.stream(), OK, b"no", True)
    assert connection.read() == ["HEADERS 1: :status=200", "DATA 1 END_STREAM: no"]
    connection.send("DATA 1 END_STREAM: uvwy")
    assert not codec.streams
    assert connection.calls == ["request 1 POST / ...", "data 1 x"]
    assert connection.read() == []


def test_the_client_of_a_tunnel_may_end_it_after_the_server():
    connect = (
        "HEADERS 1 END_HEADERS: :method=CONNECT | :protocol=websocket | :scheme=http | :path=/"
        " | :authority=a"
    )
    connection = asked(connect, connect.replace("HEADERS 1", "HEADERS 3"))
    codec = connection.codec
    for number in (1, 3):
        codec.send_head(connection.stream(number), OK, b"", False)
        codec.send_data(connection.stream(number), b"close", True)
    assert len(codec.streams) == 2
    connection.read()
    connection.send("DATA 1 END_STREAM: bye")
    assert list(codec.streams) == [3]
    connection.send("4 x DATA 3: {x*16384}", "DATA 3: x")
    assert connection.read()[-1] == "RST_STREAM 3: NO_ERROR"
    assert not codec.streams
    assert connection.fault is None
