"""What the clients of the suites have in common, whichever wire they speak.

A wire's client derives from these classes, and adds what its bytes look like.
"""

from fakes import FakeServer
from ws_peer import CLOSE, TEXT, close_frame, frame


class WireClient:
    """One connection of a client to `server`; `transport` is its `FakeTransport`."""

    def __init__(self, server, transport):
        self.server = server
        self.context = server.context
        self.transport = transport

    @property
    def writes(self):
        """The number of writes on the connection."""
        return len(self.transport.writes)

    @property
    def is_open(self):
        """Whether another request may be sent."""
        return not (self.transport.closing or self.transport.eof_written)

    @property
    def broken(self):
        """Whether the server has cut the connection off."""
        return self.transport.aborted

    def leave(self):
        """Leave without a farewell."""
        self.transport.lose(ConnectionResetError("reset by peer"))

    def stall(self):
        """Stop reading."""
        self.transport.stall()

    def read_all(self):
        """Go on reading, and read all that waits."""
        self.transport.read_all()

    def advance(self, seconds):
        """Let time pass, tick by tick as the server's clock does."""
        clock, connections = self.server.clock, self.context.connections
        for _ in range(int(seconds)):
            clock.advance(1.0, connections)
        clock.advance(seconds - int(seconds), connections)

    def drain(self):
        """Let the server begin to stop."""
        for connection in list(self.context.connections):
            connection.begin_drain()
        for session in list(self.context.running.values()):
            session.begin_drain()


class ExchangeClient:
    """A client's view of one exchange, which has begun with the next request of `client`."""

    def __init__(self, client):
        self.client = client
        self.context = client.context
        self._first = client.context.stats.requests

    @property
    def records(self):
        """The access records that the request has made so far."""
        return self.client.server.records[self._first :]

    @property
    def record(self):
        """The access record, None while the request is running."""
        return self.records[0] if self.records else None

    @property
    def broken(self):
        """Whether the server has cut the exchange off."""
        return self.client.broken

    def leave(self):
        self.client.leave()

    def stall(self):
        self.client.stall()

    def read_all(self):
        self.client.read_all()

    def advance(self, seconds):
        self.client.advance(seconds)

    def drain(self):
        self.client.drain()


class FrameSender:
    """Sends WebSocket frames, which are the same on every wire, by `send_bytes`."""

    def send(self, opcode, payload=b"", **parts):
        self.send_bytes(frame(opcode, payload, **parts))

    def send_text(self, text):
        self.send(TEXT, text.encode())

    def send_close(self, code=None, reason=b""):
        self.send_bytes(frame(CLOSE) if code is None else close_frame(code, reason))

    def send_bytes(self, data):
        """Send frames or parts of frames."""
        raise NotImplementedError


class Wire:
    """A wire of the conformance suite: makes servers for an application, and clients of them."""

    def __init__(self, client, **options):
        self.servers = []
        self._client = client
        self._options = options

    def connect(self, app, *, extra=None, setup=None, **options):
        """A connection to a server of its own; `setup` may change the server's context."""
        server = FakeServer(app, **self._options, **options)
        self.servers.append(server)
        if setup is not None:
            setup(server.context)
        return self._client(server, extra)

    def request(
        self, app, method="GET", target="/", fields=(), body=b"", *, end=True, **options
    ):  # fmt: skip
        """Send a request to `app` on a connection of its own."""
        return self.connect(app, **options).request(method, target, fields, body, end=end)

    def websocket(self, app, target="/", subprotocols=(), fields=(), **options):
        """Ask `app` for a WebSocket on a connection of its own."""
        return self.connect(app, **options).websocket(target, subprotocols, fields)
