"""The `h2` library as the client: what it takes for right is what the codec does."""

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from h2_peer import Connection

from asgiserver.h2.faults import CANCEL

REQUEST = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
UPLOAD = [(":method", "POST"), *REQUEST[1:]]


class Client:
    """An `h2` client and our codec, wired together."""

    def __init__(self, **sink):
        self.server = Connection(begun=False, **sink)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.events = []

    def exchange(self):
        """Carry bytes to and fro until nobody has any more; the events of the client."""
        while True:
            sent = self.h2.data_to_send()
            self.server.feed(sent)
            received = self.server.take()
            self.server.codec.pump(65_536)
            received += self.server.take()
            self.events += self.h2.receive_data(received)
            if not sent and not received:
                events, self.events = self.events, []
                return events

    def of(self, kind):
        return [event for event in self.exchange() if isinstance(event, kind)]


def body_of(events, stream=1):
    return b"".join(
        event.data
        for event in events
        if isinstance(event, h2.events.DataReceived) and event.stream_id == stream
    )


def test_get():
    client = Client(body=b"hello")
    client.h2.send_headers(1, REQUEST, end_stream=True)
    events = client.exchange()
    response = next(e for e in events if isinstance(e, h2.events.ResponseReceived))
    assert response.headers == [(b":status", b"200")]
    assert body_of(events) == b"hello"
    assert any(isinstance(event, h2.events.StreamEnded) for event in events)
    assert client.server.calls == ["request 1 GET /"]


def test_many_requests_and_large_heads():
    client = Client(body=b"x" * 100)
    for number in range(1, 201, 2):
        long = "y" * (20_000 if number < 5 else 10)
        fields = [*REQUEST, ("x-number", str(number)), ("x-long", long)]
        client.h2.send_headers(number, fields, end_stream=True)
    assert len([e for e in client.exchange() if isinstance(e, h2.events.StreamEnded)]) == 100
    assert client.server.sink.heads[3].fields[2] == (b"x-long", b"y" * 20_000)


def test_upload_with_windows():
    client = Client(body=b"ok")
    client.h2.send_headers(1, UPLOAD)
    left, padding = 1_000_000, 0
    while left:
        room = client.h2.local_flow_control_window(1)
        size = min(left, room - padding - 1, 16_000)
        assert size > 0, "the server gives no credit"
        client.h2.send_data(1, b"x" * size, end_stream=size == left, pad_length=padding)
        left -= size
        padding = (padding + 7) % 200
        events = client.exchange()
    assert body_of(events) == b"ok"
    assert client.server.sink.bodies[1] == b"x" * 1_000_000


def test_download_with_windows():
    client = Client(body=b"x" * 1_000_000)
    client.h2.send_headers(1, REQUEST, end_stream=True)
    received = b""
    while True:
        events = client.exchange()
        data = [event for event in events if isinstance(event, h2.events.DataReceived)]
        for event in data:
            received += event.data
            client.h2.acknowledge_received_data(event.flow_controlled_length, 1)
        if any(isinstance(event, h2.events.StreamEnded) for event in events):
            break
        assert data, "the server sends no more"
    assert received == b"x" * 1_000_000


def test_settings_of_the_client():
    client = Client(body=b"x" * 100)
    client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
    client.exchange()
    client.h2.send_headers(1, REQUEST, end_stream=True)
    assert body_of(client.exchange()) == b"x" * 10
    client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    assert body_of(client.exchange()) == b"x" * 90


def test_header_table_size_of_the_client():
    client = Client(body=b"x")
    for turn, size in enumerate((0, 4096, 100, 1 << 20)):
        client.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size})
        client.exchange()
        client.h2.send_headers(1 + 2 * turn, REQUEST, end_stream=True)
        assert client.of(h2.events.StreamEnded)


def test_informational_and_trailers():
    client = Client()
    client.h2.send_headers(1, REQUEST, end_stream=True)
    client.exchange()
    codec, stream = client.server.codec, client.server.stream()
    codec.send_informational(stream, [(b":status", b"103")])
    codec.send_head(stream, [(b":status", b"200"), (b"x", b"y")], b"a", False)
    codec.send_trailers(stream, [(b"grpc-status", b"0")])
    kinds = [type(event).__name__ for event in client.exchange()]
    assert kinds == [
        "InformationalResponseReceived",
        "ResponseReceived",
        "DataReceived",
        "TrailersReceived",
        "StreamEnded",
    ]


def test_resets_both_ways():
    client = Client()
    client.h2.send_headers(1, REQUEST, end_stream=True)
    client.h2.send_headers(3, REQUEST, end_stream=True)
    client.exchange()
    client.h2.reset_stream(1, error_code=CANCEL)
    client.server.codec.reset(client.server.stream(3), CANCEL)
    (event,) = client.of(h2.events.StreamReset)
    assert (event.stream_id, event.error_code) == (3, CANCEL)
    assert "reset 1 CANCEL" in client.server.calls


def test_early_answer():
    client = Client()
    client.h2.send_headers(1, UPLOAD)
    client.h2.send_data(1, b"x" * 1000)
    client.exchange()
    codec = client.server.codec
    codec.send_head(client.server.stream(), [(b":status", b"413")], b"no", True)
    kinds = [type(event).__name__ for event in client.exchange()]
    assert kinds == ["ResponseReceived", "DataReceived", "StreamEnded", "StreamReset"]


def test_ping_both_ways():
    client = Client()
    client.exchange()
    client.h2.ping(b"12345678")
    client.server.codec.ping(b"abcdefgh")
    kinds = [type(event).__name__ for event in client.exchange()]
    assert sorted(kinds) == ["PingAckReceived", "PingReceived"]
    assert client.server.calls == ["ping abcdefgh"]


def test_goaway_of_the_server():
    client = Client(body=b"ok")
    client.exchange()
    client.server.codec.close(code=11, reason="calm down")
    (event,) = client.of(h2.events.ConnectionTerminated)
    assert (event.error_code, event.last_stream_id) == (11, 0)
    assert event.additional_data == b"calm down"


def test_goaway_of_the_client():
    client = Client()
    client.exchange()
    client.h2.close_connection()
    client.exchange()
    assert client.server.calls == ["goaway NO_ERROR"]


@pytest.mark.parametrize("path", ["/", "/a?b=c", "/%20"])
def test_paths(path):
    client = Client(body=b"")
    client.h2.send_headers(
        1, [(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", "a:1")], True
    )
    assert client.of(h2.events.StreamEnded)
    assert client.server.sink.heads[1].target == path.encode()
