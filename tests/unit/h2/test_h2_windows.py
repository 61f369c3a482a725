"""The windows that the server gives: credit for what is consumed, measured growth, one bound."""

from h2_peer import Connection

from asgiserver.h2.inflow import TUNING
from asgiserver.h2.settings import Settings

ACK = f"PING ACK: #{TUNING.hex()}"
POST = "HEADERS {} END_HEADERS: POST"


def upload(connection, size, number=1):
    """Send `size` bytes on a stream."""
    while size > 0:
        part = min(size, 16384)
        connection.send(f"DATA {number}: {{x*{part}}}" if part > 1 else f"DATA {number}: x")
        size -= part


def test_an_upload_that_fills_its_window_in_a_round_trip_gets_a_larger_one():
    connection = Connection().send(POST.format(1))
    sizes = [connection.stream().credit_size]
    while sizes[-1:] != sizes[-2:-1]:
        stream = connection.stream()
        upload(connection, stream.credit // 2 + 1)  # consumed: WINDOW_UPDATE and PING
        upload(connection, stream.credit_size // 2 + 1)
        connection.send(ACK)
        sizes.append(stream.credit_size)
    assert sizes[1:4] == [131070, 262140, 524280]
    assert sizes[-1] == sizes[-2]
    assert sizes[-1] == 16_777_216 - 127 * 65_535  # all but what the other streams have
    assert connection.fault is None


def test_a_slow_path_of_the_application_does_not_grow():
    connection = Connection(consumes=False).send(POST.format(1))
    stream = connection.stream()
    upload(connection, 60_000)
    connection.codec.consumed(stream, 60_000)
    assert "PING: \0window\0" in connection.read()
    upload(connection, 60_000)
    connection.codec.consumed(stream, 10_000)
    connection.send(ACK)
    assert stream.credit_size == 65_535
    assert connection.read() == []


def test_a_measure_of_a_stream_that_has_ended_means_nothing():
    connection = Connection().send(POST.format(1))
    upload(connection, 60_000)
    connection.send("DATA 1 END_STREAM", ACK, ACK)
    assert connection.stream().credit_size == 65_535


def test_what_one_stream_had_grown_by_is_given_back():
    connection = Connection().send(POST.format(1))
    codec = connection.codec
    upload(connection, 65_000)
    upload(connection, 65_000)
    connection.send(ACK)
    assert connection.stream().credit_size == 131_070
    assert "pool=8323201" in repr(codec.inflow)
    connection.send("RST_STREAM 1: CANCEL")
    assert "pool=8388736" in repr(codec.inflow)


def test_streams_that_nobody_reads_do_not_stop_another():
    """Each of 127 streams fills its window; the last one goes on."""
    connection = Connection(consumes=False)
    for number in range(1, 2 * 127, 2):
        connection.send(POST.format(number))
        upload(connection, 65_535, number)
    connection.send(POST.format(301))
    reader = connection.stream(301)
    for _ in range(40):
        upload(connection, 65_535, 301)
        connection.codec.consumed(reader, 65_535)
    assert connection.fault is None
    inflow = connection.codec.inflow
    waiting = sum(stream.unconsumed for stream in connection.sink.streams)
    assert waiting == 127 * 65_535 < 16_777_216
    assert inflow.left + inflow.due + waiting == inflow.size


def test_the_window_of_the_connection_is_a_bound():
    connection = Connection(Settings(max_streams=1), consumes=False)
    connection.codec.inflow.left = 10
    connection.send(POST.format(1), "DATA 1: {x*11}")
    assert connection.fault.reason == "more than the window of the connection"


def test_the_bound_has_room_for_every_stream():
    assert Settings(max_streams=1000, most_window=1).most_window == 65_535_000


def test_what_is_not_consumed_when_the_stream_ends_is_credited():
    connection = Connection(consumes=False, body=b"ok").send(POST.format(1))
    upload(connection, 40_000)
    inflow = connection.codec.inflow
    assert inflow.left == inflow.size - 40_000
    connection.send("DATA 1 END_STREAM")
    assert inflow.left + inflow.due == inflow.size
    connection.codec.consumed(connection.stream(), 40_000)
    assert inflow.left + inflow.due == inflow.size


def test_the_connection_is_credited_in_steps():
    connection = Connection().send(*(POST.format(number) for number in (1, 3, 5, 7, 9)))
    for number in (1, 3, 5, 7, 9):
        upload(connection, 60_000, number)
    updates = [line for line in connection.read() if line.startswith("WINDOW_UPDATE: ")]
    assert len(updates) == 1
    assert int(updates[0].split(" ")[1]) >= 16_777_216 // 64


def test_what_comes_after_a_reset_is_credited():
    connection = Connection().send(POST.format(1))
    connection.codec.reset(connection.stream(), 8)
    connection.read()
    upload(connection, 300_000)
    assert connection.read() == ["WINDOW_UPDATE: 262144"]


def test_what_nobody_will_consume_is_credited_when_streams_are_reset():
    connection = Connection(consumes=False)
    for number in (1, 3, 5, 7, 9):
        connection.send(POST.format(number))
        upload(connection, 60_000, number)
    connection.read()
    connection.send(*(f"RST_STREAM {number}: CANCEL" for number in (1, 3, 5, 7, 9)))
    assert connection.read() == ["WINDOW_UPDATE: 300000"]


def test_a_stream_over_its_window_is_credited_to_the_connection():
    connection = Connection(consumes=False).send(POST.format(1))
    connection.send("4 x DATA 1: {x*16384}")
    inflow = connection.codec.inflow
    assert connection.read()[-1] == "RST_STREAM 1: FLOW_CONTROL_ERROR"
    assert inflow.left + inflow.due == inflow.size
