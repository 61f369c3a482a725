"""A client on the other end of an `H2Connection`: requests and replies, not frames.

It is made of the `h2` library, so that the server's frames are read by somebody else's code.
"""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from fakes import WAIT, FakeTransport, Reply
from h2.connection import ConnectionState
from wire_client import ExchangeClient, FrameSender, WireClient
from ws_peer import next_frame

RST_STREAM, PING = 3, 6
ACK = 1


class ReadingTransport(FakeTransport):
    """Hands what the server writes to the client at the end of the turn, unless it is stalled."""

    def __init__(self, extra, read):
        super().__init__(extra)
        self._read = read

    def write(self, data):
        super().write(data)
        asyncio.get_running_loop().call_soon(self.hand_over)

    def hand_over(self):
        if not self.stalled:
            self._read()

    def read_all(self):
        super().read_all()
        self.hand_over()


class H2Client(WireClient):
    """One connection of a client, with any number of requests at a time.

    It gives windows back for what it has read; for the streams in `held`, only the connection's.
    `window` is what each stream begins with. It answers PING if `answers_pings` is true.
    """

    def __init__(self, server, extra=None, *, window=None):
        super().__init__(server, ReadingTransport(extra, self.read))
        config = h2.config.H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.streams = {}
        self.held = set()
        self.goaways = []  # error code and last stream id of each
        self.pings = []  # payloads
        self.answers_pings = True
        self.unsent = {}  # bodies that wait for a window: stream -> [data, end]
        self._read_so_far = 0
        self._half_frame = b""
        self.connection = server.h2_connection()
        self.transport.connect(self.connection)
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    def another(self):
        """A second connection to the same server."""
        return H2Client(self.server)

    # What is sent.

    def flush(self):
        data = self.h2.data_to_send()
        if data and not self.transport.closing:
            self.transport.arrive(data)

    def send_frame(self, kind, flags, stream_id, payload=b""):
        """Send a frame that the library would not."""
        head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big")
        self.transport.arrive(head + payload)

    def request(self, method="GET", target="/", fields=(), body=b"", *, end=True):
        """Send a request; without `end` its body goes on with `send_body`."""
        stream = H2Stream(self, method)
        whole = end and not body
        self._open(stream, self._head(method, target, fields), whole)
        if not whole:
            stream.send_body(body, end=end)
        return stream

    def websocket(self, target="/", subprotocols=(), fields=()):
        """Ask for a WebSocket (RFC 8441)."""
        own = [(b"sec-websocket-version", b"13")]
        if subprotocols:
            own.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode()))
        head = self._head("CONNECT", target, [*own, *fields])
        head.insert(1, (b":protocol", b"websocket"))
        socket = H2WebSocket(self)
        self._open(socket, head, False)
        return socket

    def _open(self, stream, head, end):
        stream.id = self.h2.get_next_available_stream_id()
        self.streams[stream.id] = stream
        self.h2.send_headers(stream.id, head, end_stream=end)
        self.flush()

    @staticmethod
    def _head(method, target, fields):
        """A request head; a target in absolute form is what HTTP/2 has three pseudo-fields for."""
        authority = "example.org"
        if not target.startswith(("/", "*")):
            parts = urlsplit(target)
            authority = parts.netloc
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return [
            (b":method", method.encode()),
            (b":scheme", b"http"),
            (b":authority", authority.encode()),
            (b":path", target.encode("latin-1")),
            *fields,
        ]

    def send_data(self, number, data, end):
        """Send data as far as the windows allow, and the rest as they open."""
        waiting = self.unsent.setdefault(number, [b"", False])
        waiting[0] += data
        waiting[1] = waiting[1] or end
        self._send_unsent()

    def _send_unsent(self):
        for number, (data, end) in list(self.unsent.items()):
            try:
                room = self.h2.local_flow_control_window(number)
                while data and room:
                    size = min(room, len(data), self.h2.max_outbound_frame_size)
                    self.h2.send_data(number, data[:size])
                    data, room = data[size:], room - size
                if end and not data:
                    self.h2.end_stream(number)
            except h2.exceptions.StreamClosedError:  # the server has reset it
                data = b""
            if data:
                self.unsent[number] = [data, end]
            else:
                self.unsent.pop(number)
        self.flush()

    # What arrives.

    def read(self):
        """Read what the server has written since the last call."""
        written = self.transport.written
        data = self._half_frame + written[self._read_so_far :]
        self._read_so_far = len(written)
        while len(data) >= 9 and len(data) >= (size := 9 + int.from_bytes(data[:3], "big")):
            if data[3] == PING and not data[4] & ACK and not self.answers_pings:
                self.pings.append(data[9:size])
                data = data[size:]
                continue
            for event in self.h2.receive_data(data[:size]):
                self._on_event(event)
            if self.h2.state_machine.state is ConnectionState.CLOSED:
                # This library takes a GOAWAY for the end of all streams.
                self.h2.state_machine.state = ConnectionState.CLIENT_OPEN
            data = data[size:]
        self._half_frame = data
        self._send_unsent()
        self.transport.changed.set()

    def _on_event(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append((int(event.error_code), event.last_stream_id))
        elif isinstance(event, h2.events.PingReceived):
            self.pings.append(event.ping_data)
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.InformationalResponseReceived):
            stream.on_head(event.headers, interim=True)
        elif isinstance(event, h2.events.ResponseReceived):
            stream.on_head(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            stream.heard = True
            if event.stream_id not in self.held:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif event.flow_controlled_length:
                self.h2.increment_flow_control_window(event.flow_controlled_length)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.was_reset = True

    @property
    def resets(self):
        """The error codes with which the server has reset streams, by stream, read or not."""
        found, data = {}, self.transport.written
        while len(data) >= 13:
            size = 9 + int.from_bytes(data[:3], "big")
            if data[3] == RST_STREAM:
                found[int.from_bytes(data[5:9], "big")] = int.from_bytes(data[9:13], "big")
            data = data[size:]
        return found

    @property
    def is_open(self):
        """Whether another request may be sent."""
        return super().is_open and not self.goaways

    async def closed(self):
        """Wait until the server has closed."""
        async with asyncio.timeout(WAIT):
            while not (self.transport.closing or self.transport.eof_written):
                self.transport.changed.clear()
                await self.transport.changed.wait()
        self.transport.hand_over()


class _Exchange(ExchangeClient):
    """A client's view of one stream."""

    def __init__(self, client):
        super().__init__(client)
        self.id = 0
        self._first_write = client.writes
        self.heads = []  # those that `reply` has not taken: status, fields, whether it is interim
        self.body = b""
        self.trailers = []
        self.ended = self.was_reset = self.heard = False

    def on_head(self, headers, interim=False):
        (name, status), *fields = headers
        assert name == b":status"
        self.heads.append((int(status), fields, interim))
        self.heard = True

    @property
    def broken(self):
        """Whether the server has cut the exchange off."""
        return super().broken or self.client.resets.get(self.id, 0) != 0

    @property
    def over(self):
        """Whether nothing more comes."""
        transport = self.client.transport
        transport.hand_over()
        return self.ended or self.was_reset or transport.closing or transport.eof_written

    async def arrived(self, ready):
        """Wait until `ready(over)` is true; at the end of the stream it has to be."""
        changed = self.client.transport.changed
        async with asyncio.timeout(WAIT):
            while not ready(over := self.over):
                assert not over, "nothing more comes"
                changed.clear()
                await changed.wait()

    def reset(self, code=8):
        """Give this stream up."""
        self.client.h2.reset_stream(self.id, code)
        self.client.flush()


class H2Stream(_Exchange):
    """One exchange as its client sees it."""

    def __init__(self, client, method):
        super().__init__(client)
        self._method = method

    @property
    def writes(self):
        """How often the connection has written since the request."""
        return self.client.writes - self._first_write

    @property
    def silent(self):
        """Whether `reply` has taken all that has arrived."""
        self.client.transport.hand_over()
        return not self.heads and not self.body

    async def reply(self):
        """The next response, which may be an interim one, or its beginning when nothing follows."""
        await self.arrived(lambda over: self.heads and (self.heads[0][2] or over))
        status, fields, interim = self.heads.pop(0)
        if interim:
            return Reply(status, b"HTTP/2", fields, b"", b"", True)
        body, self.body = self.body, b""
        reply = Reply(status, b"HTTP/2", fields, body, b"", self.ended)
        reply.trailers = self.trailers
        return reply

    def send_body(self, data, *, end=False):
        self.client.send_data(self.id, data, end)


class H2WebSocket(_Exchange, FrameSender):
    """One WebSocket as its client sees it; frames are the same on every wire."""

    async def handshake(self):
        """The answer to the handshake; `accepted` tells whether frames may follow."""
        await self.arrived(lambda over: self.heads and (self.heads[0][0] == 200 or over))
        status, fields, _ = self.heads.pop(0)
        accepted = status == 200
        body = b""
        if not accepted:
            body, self.body = self.body, b""
        reply: Any = Reply(status, b"HTTP/2", fields, body, b"", self.ended)
        reply.accepted = accepted
        return reply

    def send_bytes(self, data):
        """Send frames or parts of frames."""
        self.client.send_data(self.id, data, False)

    def end(self):
        """The client closes its side without a close frame."""
        self.client.send_data(self.id, b"", True)

    async def frame(self):
        """The opcode and the payload of the next frame."""
        await self.arrived(lambda over: next_frame(self.body))
        opcode, payload, size = next_frame(self.body)
        self.body = self.body[size:]
        return opcode, payload

    async def closed(self):
        """Wait until the server has closed, and check that no other frame has arrived."""
        await self.arrived(lambda over: over)
        assert self.body == b""
