"""Each flood uses up a budget that has a name, and ends with ENHANCE_YOUR_CALM."""

import pytest
from h2_peer import Connection, bytes_of

from asgiserver.h2 import budgets
from asgiserver.h2.budgets import BUDGETS, Budgets
from asgiserver.h2.faults import ENHANCE_YOUR_CALM, ConnectionFault
from asgiserver.h2.settings import Settings

FEW = Settings(max_streams=4)


def opened(*lines):
    return Connection(body=b"").send("HEADERS 1 END_HEADERS: POST", *lines)


def ids(count, start=3):
    return range(start, start + 2 * count, 2)


def rapid_reset(connection):
    for number in ids(2000):
        connection.send(f"HEADERS {number} END_HEADERS: POST", f"RST_STREAM {number}: CANCEL")
        if number in {stream.id for stream in connection.sink.streams}:
            connection.codec.release(connection.stream(number))


def rapid_reset_while_tasks_run(connection):
    for number in ids(2000):
        connection.send(f"HEADERS {number} END_HEADERS: POST", f"RST_STREAM {number}: CANCEL")
    assert len(connection.sink.streams) == 128


def provoked_resets(connection):
    """CVE-2025-8671: the client makes the server reset streams, each time in another way."""
    for number in ids(200):
        connection.send(f"HEADERS {number} END_HEADERS: POST", f"WINDOW_UPDATE {number}: 0")
        connection.codec.release(connection.sink.streams[-1])


def malformed_requests(connection):
    for number in ids(200):
        connection.send(f"HEADERS {number} END_STREAM END_HEADERS: GET | Upper=x")


def frames_after_the_end(connection):
    for number in ids(200):
        connection.send(f"HEADERS {number} END_HEADERS: GET", f"DATA {number} END_STREAM")
        connection.send(f"DATA {number}: x")


def continuations(connection):
    connection.send("HEADERS 3: GET @0-5", "300 x CONTINUATION 3: ")


def streams_above_the_limit(connection):
    for number in ids(2000):
        connection.send(f"HEADERS {number} END_HEADERS: POST")


def tiny_windows(connection):
    connection.sink.body = b"x" * 10_000
    connection.send("SETTINGS: 4=1", "HEADERS 3 END_STREAM END_HEADERS: GET")
    for _ in range(300):
        connection.send("WINDOW_UPDATE 3: 1")


def tiny_windows_of_the_connection(connection):
    connection.sink.body = b"x" * 80_000
    connection.send("SETTINGS: 4=100000", "HEADERS 3 END_STREAM END_HEADERS: GET")
    connection.codec.pump(65_536)
    for _ in range(300):
        connection.send("WINDOW_UPDATE: 1")


def late_frames(connection):
    connection.codec.reset(connection.stream(), 8)
    connection.send("3000 x DATA 1: x")


def late_headers(connection):
    connection.codec.reset(connection.stream(), 8)
    connection.send("3000 x HEADERS 1 END_STREAM END_HEADERS: a=b")


def frames_after_goaway(connection):
    connection.codec.close()
    connection.send("3000 x HEADERS 5 END_STREAM END_HEADERS: GET")


FLOODS = {
    "rapid reset": (rapid_reset, "resets"),
    "rapid reset while tasks run": (rapid_reset_while_tasks_run, "resets"),
    "provoked resets": (provoked_resets, "faults"),
    "malformed requests": (malformed_requests, "faults"),
    "CONTINUATION": (continuations, "continuations"),
    "streams above the limit": (streams_above_the_limit, "refused"),
    "PING": ("1100 x PING: 12345678", "pings"),
    "answers to PING": ("1100 x PING ACK: 12345678", "pings"),
    "SETTINGS": ("110 x SETTINGS: 4=1", "settings"),
    "answers to SETTINGS": ("110 x SETTINGS ACK", "settings"),
    "long SETTINGS": ("5 x SETTINGS: 4=1{, 4=2*1000}", "settings"),
    "GOAWAY": ("110 x GOAWAY: 0 NO_ERROR", "settings"),
    "WINDOW_UPDATE": ("2100 x WINDOW_UPDATE: 1", "window updates"),
    "WINDOW_UPDATE of a stream": ("2100 x WINDOW_UPDATE 1: 1", "window updates"),
    "PRIORITY": ("1100 x PRIORITY 1: 0 1", "priorities"),
    "PRIORITY_UPDATE": ("1100 x PRIORITY_UPDATE: 1 u=1", "priorities"),
    "empty DATA": ("110 x DATA 1: ", "empty frames"),
    "DATA of padding alone": ("110 x DATA 1 PADDED: #02 0000", "empty frames"),
    "padding": ("1100 x DATA 1 PADDED: #02 78 0000", "padding"),
    "tiny windows": (tiny_windows, "tiny windows"),
    "tiny windows of the connection": (tiny_windows_of_the_connection, "tiny windows"),
    "frames of a stream that was reset": (late_frames, "late frames"),
    "HEADERS of a stream that was reset": (late_headers, "late frames"),
    "streams after GOAWAY": (frames_after_goaway, "late frames"),
    "unknown frames": ("1100 x x99 0: x", "unknown frames"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood(name):
    flood, budget = FLOODS[name]
    connection = opened()
    if isinstance(flood, str):
        connection.send(flood)
    else:
        flood(connection)
    fault = connection.fault
    assert fault is not None
    assert (fault.code, fault.budget) == (ENHANCE_YOUR_CALM, budget)
    assert connection.read()[-1].endswith(f"ENHANCE_YOUR_CALM too many {budget}")


def test_every_budget_has_a_flood():
    assert {name for _, name in FLOODS.values()} == {budget.name for budget in BUDGETS}


def test_a_frame_after_the_end_of_a_stream_ends_the_connection_at_once():
    connection = opened()
    frames_after_the_end(connection)
    assert connection.fault.reason == "a frame on a closed stream"


def test_answers_that_are_not_read_have_a_bound():
    connection = opened()
    for _ in range(10):
        connection.codec.pump(0)
        connection.codec.tick(100)
        connection.send("900 x PING: 12345678")
    assert connection.fault.budget == budgets.UNREAD
    assert len(connection.take()) < 100_000


def test_answers_that_are_read_have_none():
    connection = opened()
    for _ in range(10):
        connection.codec.pump(1)
        connection.codec.tick(100)
        connection.send("900 x PING: 12345678")
    assert connection.fault is None


def test_slow_use_is_no_flood():
    connection = opened()
    for _ in range(300):
        connection.send("30 x RST_STREAM 1: CANCEL", "PING: 12345678", "SETTINGS: 4=1", "DATA 1: ")
        connection.send("HEADERS 1 END_STREAM END_HEADERS: a=b") if connection.fault else None
        connection.codec.pump(1)
        connection.codec.tick()
        if connection.fault:
            break
    assert connection.fault.reason == "a frame on a closed stream"  # as stream 1 was reset


def test_useful_work_fills_the_budgets_that_it_needs():
    """As httpx does: two WINDOW_UPDATE for each request, and never a second without requests."""
    connection = Connection(body=b"")
    for number in ids(5000, start=1):
        connection.feed(
            bytes_of(
                [
                    f"HEADERS {number} END_STREAM END_HEADERS: GET",
                    f"WINDOW_UPDATE {number}: 100",
                    "WINDOW_UPDATE: 1",
                    "PING: 12345678",
                ]
            )
        )
        connection.codec.pump(65_536)
        connection.output.clear()
    assert connection.fault is None


def test_a_reader_may_widen_its_windows_often():
    """As Go does: for each 4 KiB that it has read it widens both windows."""
    connection = Connection(body=b"x" * 30_000_000)
    connection.send("HEADERS 1 END_STREAM END_HEADERS: GET")
    while connection.codec.streams:
        size = len(connection.take())
        for _ in range(0, size, 4096):
            connection.send("WINDOW_UPDATE: 4096", "WINDOW_UPDATE 1: 4096")
        connection.codec.pump(65_536)
        assert connection.fault is None
        assert size


def test_a_reader_of_small_events_may_widen_its_windows_for_each():
    connection = Connection()
    connection.send("HEADERS 1 END_STREAM END_HEADERS: GET")
    stream = connection.stream()
    for _ in range(5000):
        assert connection.codec.send_data(stream, b"event", False)
        connection.send("WINDOW_UPDATE: 5", "WINDOW_UPDATE 1: 5")
    assert connection.fault is None


def test_work_does_not_pile_up():
    some = Budgets()
    some.work = 10**6
    some.spend(budgets.PINGS, 1000)
    some.spend(budgets.PINGS)
    some.spend(budgets.PINGS, 1000)
    with pytest.raises(ConnectionFault):
        some.spend(budgets.PINGS)


def test_seconds_do_not_pile_up():
    some = Budgets()
    some.tick(10**6)
    some.spend(budgets.SETTINGS, 100)
    with pytest.raises(ConnectionFault, match="too many settings"):
        some.spend(budgets.SETTINGS)
    some.tick(1)
    some.spend(budgets.SETTINGS)
    assert repr(some) == "<Budgets {'settings': 100}>"


def test_windows_of_many_streams_are_changed_once_for_a_frame():
    connection = opened()
    connection.send("SETTINGS: 4=5, 4=70000, 4=65535")
    assert connection.stream().window == 65535
