"""Any frames, in any pieces: one outcome, windows that add up, and no exception but a fault."""

import os

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import http2_frames as http2
import pytest
from h2_peer import Connection, bytes_of, split_frames
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asgiserver.h2 import frames

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
"""Inputs a test; the variable asks for more of them."""

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
pytestmark = pytest.mark.timeout(max(60, EXAMPLES // 5))

OK = [(b":status", b"200")]


def assert_accounts_add_up(codec):
    """What every window is made of; see `Inflow`."""
    inflow = codec.inflow
    unconsumed = 0
    for stream in codec.streams.values():
        unconsumed += stream.unconsumed
        assert stream.state != 5, "a closed stream is kept"
        if stream.remote_open:
            assert stream.credit >= 0
            assert stream.credit + stream.due + stream.unconsumed == stream.credit_size
        assert stream.pending == len(stream.rest) - stream.at if stream.pending else True
        waits = stream.pending > 0 and stream.window > 0
        assert stream.has_turn == waits
    assert inflow.left + inflow.due + unconsumed == inflow.size
    turns = sum(stream.has_turn for stream in codec.streams.values())
    assert codec.turns.count == turns
    assert codec.window <= 2**31 - 1


def outcome(data, pieces, body):
    """What becomes of bytes after the prefaces, in pieces of so many bytes."""
    connection = Connection(body=None if body is None else b"x" * body)
    codec = connection.codec
    step = pieces or max(1, len(data))
    for start in range(0, len(data), step):
        connection.feed(data[start : start + step])
        if connection.fault is None:
            assert_accounts_add_up(codec)
    data_sent = {}
    lines = []
    for line in connection.read():
        kind, _, text = line.partition(": ")
        if kind.startswith("DATA"):  # a frame may be cut at another place
            stream = kind.split(" ")[1]
            data_sent[stream] = data_sent.get(stream, 0) + len(text)
        else:
            lines.append(line)
    fault = connection.fault
    state = sorted((s.id, s.state, s.window, s.credit) for s in codec.streams.values())
    return connection.calls, lines, data_sent, fault and (fault.code, fault.reason), state


def judged_by_h2(data):
    """The requests and bodies that `h2` makes of it; None when it ends the connection."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    server.local_settings.enable_connect_protocol = 1
    server.increment_flow_control_window(16_777_216)
    server.receive_data(frames.PREFACE + frames.settings([]))
    found = []
    try:
        for event in server.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                found.append(("request", event.stream_id))
            elif isinstance(event, h2.events.DataReceived) and event.data:
                found.append(("data", event.stream_id, len(event.data)))
            elif isinstance(event, h2.events.StreamEnded):
                found.append(("end", event.stream_id))
            elif isinstance(event, h2.events.StreamReset):
                found.append(("reset", event.stream_id))
    except h2.exceptions.ProtocolError:
        return None
    return found


def assert_both_find_the_same(lines):
    """Where `h2` goes on, so does the codec, and both see the same requests, bodies and ends.

    The codec is stricter in what a request may be, so streams that it refuses are left out.
    """
    judged = judged_by_h2(bytes_of(lines))
    connection = Connection(consumes=False).send(*lines)
    if judged is None:
        return
    if connection.fault is not None:
        # `h2` resets a stream that the client has reset, as RFC 7540 has it, where RFC 9113 section
        # 5.1 allows to end the connection; and it ignores RST_STREAM on an idle stream.
        reason = connection.fault.reason
        assert reason in ("a frame on a closed stream", "a frame on an idle stream")
        return
    ours, refused = [], set()
    for call in connection.calls:
        kind, stream, *rest = call.split(" ")
        if kind == "refused":
            refused.add(int(stream))
        elif kind == "data":
            ours.append(("data", int(stream), len(rest[0])))
        else:
            ours.append((kind, int(stream)))
            if kind == "request" and rest[-1] != "...":
                ours.append(("end", int(stream)))
    for kind, _, stream, _ in split_frames(connection.take()):
        if kind == frames.RST_STREAM:
            refused.add(stream)
    for stream in {one[1] for one in [*ours, *judged]} - refused:
        assert of_stream(ours, stream) == of_stream(judged, stream)


def of_stream(found, stream):
    """What was found of one stream, with pieces of its body in one."""
    merged = []
    for one in found:
        if one[1] != stream:
            continue
        if one[0] == "data" and merged and merged[-1][0] == "data":
            merged[-1] = ("data", stream, merged[-1][2] + one[2])
        else:
            merged.append(one)
    return merged


# Bytes, or None for no answer. So few have room at once; for more, the pieces decide the turns.
bodies = st.sampled_from((None, 0, 5, 1000))


@fuzz
@given(http2.sequences, st.sampled_from((1, 2, 7, 100)), bodies)
def test_frames_in_any_pieces_have_one_outcome(lines, pieces, body):
    data = bytes_of(lines)
    if len(data) > 20_000:
        pieces = max(pieces, 100)
    assert outcome(data, None, body) == outcome(data, pieces, body)


@fuzz
@given(http2.conversations(), st.sampled_from((1, 2, 7, 100)), bodies)
def test_whoever_breaks_no_rule_meets_no_fault(lines, pieces, body):
    data = bytes_of(lines)
    whole = outcome(data, None, body)
    assert whole[3] is None
    assert whole == outcome(data, pieces, body)
    assert_both_find_the_same(lines)


@fuzz
@given(http2.raw_frames, st.sampled_from((1, 3)))
@example(b"\0\0\0\1\x25\0\0\0\1", 1)
def test_any_bytes_in_any_pieces_have_one_outcome(data, pieces):
    assert outcome(data, None, None) == outcome(data, pieces, None)


@fuzz
@given(http2.raw_frames)
def test_any_bytes_instead_of_the_preface(data):
    connection = Connection(begun=False)
    connection.feed(data)
    if not frames.PREFACE.startswith(data[:24]):
        assert connection.fault.reason == "not the preface of HTTP/2"


@fuzz
@given(http2.good_sequences)
def test_what_h2_accepts_is_accepted_and_means_the_same(lines):
    assert_both_find_the_same(lines)


class Windows(RuleBasedStateMachine):
    """A client that keeps its own accounts of all windows, and a server that does anything."""

    def __init__(self):
        super().__init__()
        self.server = Connection(begun=False, consumes=False)
        self.may_send = 65_535  # the client, on the connection
        self.may_send_on = {}
        self.given = 65_535  # to the server, on the connection
        self.given_on = {}
        self.initial = 65_535
        self.next = 1
        self.ended = set()  # by the client
        self.answered = set()
        self.gone = set()
        self.feed(frames.PREFACE + frames.settings([]))

    @property
    def codec(self):
        return self.server.codec

    def feed(self, data):
        self.server.feed(data)
        self.read()

    def read(self):
        """Keep the accounts by what the server has sent."""
        for kind, flags, stream, payload in split_frames(self.server.take()):
            if kind == frames.WINDOW_UPDATE:
                size = int.from_bytes(payload)
                assert size
                if stream:
                    self.may_send_on[stream] += size
                else:
                    self.may_send += size
            elif kind == frames.DATA:
                assert stream not in self.gone, "DATA after the end"
                self.given -= len(payload)
                self.given_on[stream] -= len(payload)
                assert self.given >= 0
                assert self.given_on[stream] >= 0 or not payload
                if flags & frames.END_STREAM:
                    self.gone.add(stream)
            elif kind == frames.RST_STREAM:
                self.gone.add(stream)
                self.ended.add(stream)

    def open(self):
        return sorted(set(self.may_send_on) - self.ended)

    def running(self):
        return [stream for stream in self.server.sink.streams if stream.id not in self.answered]

    @rule(end=st.booleans(), priority=st.sampled_from(("", " | priority=u=1", " | priority=i")))
    def request(self, end, priority):
        stream, self.next = self.next, self.next + 2
        if end:
            self.ended.add(stream)
        self.may_send_on[stream] = 65_535
        self.given_on[stream] = self.initial
        flag = " END_STREAM" if end else ""
        self.feed(bytes_of([f"HEADERS {stream} END_HEADERS{flag}: POST{priority}"]))

    @precondition(lambda self: self.open())
    @rule(data=st.data(), size=st.integers(0, 16_384), padding=st.integers(0, 200))
    def upload(self, data, size, padding):
        stream = data.draw(st.sampled_from(self.open()))
        size = min(size, self.may_send, self.may_send_on[stream], 16_384)
        padding = min(padding, size - 1)
        self.may_send -= size
        self.may_send_on[stream] -= size
        if padding < 0:
            payload, flags = b"", frames.END_STREAM
            self.ended.add(stream)
        elif padding:
            payload, flags = bytes([padding]) + bytes(size - 1), frames.PADDED
        else:
            payload, flags = bytes(size), 0
        self.feed(frames.frame(frames.DATA, flags, stream, payload))

    @precondition(lambda self: self.server.sink.streams)
    @rule(data=st.data(), size=st.integers(0, 100_000))
    def consume(self, data, size):
        stream = data.draw(st.sampled_from(self.server.sink.streams))
        self.codec.consumed(stream, min(size, stream.unconsumed))
        self.read()

    @rule()
    def measured(self):
        self.feed(bytes_of(["PING ACK: #0077696e646f7700"]))

    @precondition(lambda self: self.running())
    @rule(data=st.data(), size=st.integers(0, 100_000), end=st.booleans())
    def answer(self, data, size, end):
        stream = data.draw(st.sampled_from(self.running()))
        if not stream.pending:
            self.codec.send_data(stream, bytes(size), end)
            if end:
                self.answered.add(stream.id)
        self.read()

    @precondition(lambda self: self.server.sink.streams)
    @rule(data=st.data())
    def reset(self, data):
        stream = data.draw(st.sampled_from(self.server.sink.streams))
        self.codec.reset(stream, 8)
        self.codec.release(stream)
        self.read()

    @precondition(lambda self: self.given_on)
    @rule(data=st.data())
    def cancel(self, data):
        stream = data.draw(st.sampled_from(sorted(self.given_on)))
        self.ended.add(stream)
        self.gone.add(stream)
        self.feed(bytes_of([f"RST_STREAM {stream}: CANCEL"]))

    @rule(data=st.data(), size=st.integers(100, 1_000_000))
    def widen(self, data, size):
        stream = data.draw(st.sampled_from([0, *self.given_on]))
        if stream:
            self.given_on[stream] += size
        else:
            self.given += size
        self.feed(bytes_of([f"WINDOW_UPDATE {stream}: {size}"]))

    @rule(size=st.integers(0, 1_000_000))
    def settings(self, size):
        for stream in self.given_on:
            self.given_on[stream] += size - self.initial
        self.initial = size
        self.feed(bytes_of([f"SETTINGS: 4={size}"]))
        self.codec.tick()

    @rule(room=st.integers(0, 200_000))
    def pump(self, room):
        self.codec.pump(room)
        self.read()

    @invariant()
    def accounts_of_both_are_the_same(self):
        codec = self.codec
        assert self.server.fault is None, self.server.fault
        assert_accounts_add_up(codec)
        assert codec.window == self.given
        assert codec.inflow.left == self.may_send
        for number, stream in codec.streams.items():
            assert stream.window == self.given_on[number]
            if stream.remote_open:
                assert stream.credit == self.may_send_on[number]


TestWindows = Windows.TestCase
TestWindows.settings = settings(
    max_examples=max(20, EXAMPLES // 5),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
