"""Stand-ins for the surroundings of a connection: a transport, a clock, and a client.

They do no I/O: the test decides when bytes arrive, when time passes and when the peer is gone.
"""

import asyncio
import contextlib
from typing import Any

from asgiserver.config.fields import Config
from asgiserver.context import ServerContext
from asgiserver.server.limits import apply_limits
from asgiserver.server.wires import make_wires

WAIT = 20.0
"""Seconds after which a test gives up waiting; no result depends on how long anything takes."""


class FakeTransport(asyncio.Transport):
    """Records what the connection writes and calls; the test plays the peer and the kernel.

    `unread` is the number of bytes that the peer has not read. It grows after `stall`, and the
    writer is paused as soon as it is more than `high_water`.
    """

    high_water = 65536

    def __init__(self, extra=None):
        super().__init__()
        self.extra = {
            "peername": ("192.0.2.7", 50123),
            "sockname": ("192.0.2.1", 8000),
            **(extra or {}),
        }
        self.protocol = None
        self.writes = []
        self.unread = 0
        self.stalled = False
        self.paused_writer = False
        self.reading = True
        self.arriving = []  # sent by the peer and not delivered yet; None is the end
        self.eof_written = False
        self.closing = False
        self.aborted = False
        self.lost = False
        self.changed = asyncio.Event()

    @property
    def written(self):
        return b"".join(self.writes)

    def connect(self, protocol):
        self.protocol = protocol
        protocol.connection_made(self)

    # Called by the connection.

    def get_extra_info(self, name, default=None):
        return self.extra.get(name, default)

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        assert not self.eof_written, "write after write_eof"
        assert isinstance(data, bytes)
        if self.closing or not data:
            return
        self.writes.append(data)
        if self.stalled:
            self.unread += len(data)
            if self.unread > self.high_water and not self.paused_writer:
                self.paused_writer = True
                self.protocol.pause_writing()
        self.changed.set()

    def get_write_buffer_size(self):
        return self.unread

    def is_closing(self):
        return self.closing

    def pause_reading(self):
        assert self.reading, "paused twice"
        self.reading = False

    def resume_reading(self):
        assert not self.reading, "resumed twice"
        self.reading = True
        asyncio.get_running_loop().call_soon(self._deliver)

    def can_write_eof(self):
        return "sslcontext" not in self.extra

    def write_eof(self):
        self.eof_written = True
        self.changed.set()

    def close(self):
        if not self.closing:
            self.closing = True
            if not self.unread:
                asyncio.get_running_loop().call_soon(self.lose)
            self.changed.set()

    def abort(self):
        self.closing = self.aborted = True
        self.unread = 0
        asyncio.get_running_loop().call_soon(self.lose)
        self.changed.set()

    # Called by the test.

    def arrive(self, data):
        """The peer has sent `data`, or has closed its side (None). Delivered once reading is on."""
        self.arriving.append(data)
        self._deliver()

    def _deliver(self):
        while self.arriving and self.reading and not self.closing:
            data = self.arriving.pop(0)
            if data is not None:
                self.protocol.data_received(data)
            elif not self.protocol.eof_received():
                self.close()

    def lose(self, error=None):
        """The connection is gone: report it as the event loop does."""
        if not self.lost:
            self.closing = self.lost = True
            self.protocol.connection_lost(error)
            self.changed.set()

    def stall(self):
        """The peer stops reading."""
        self.stalled = True

    def read_some(self, size):
        """The peer has read `size` of the unread bytes."""
        self.unread = max(0, self.unread - size)
        if self.paused_writer and self.unread <= self.high_water // 4:
            self.paused_writer = False
            self.protocol.resume_writing()
        if self.closing and not self.unread:
            self.lose()

    def read_all(self):
        self.stalled = False
        self.read_some(self.unread)


class FakeClock:
    """Time that passes when the test says so."""

    date = b"Sat, 21 Nov 2026 10:00:00 GMT"

    def __init__(self):
        self.now = 1000.0
        self._on_tick = []

    def call_each_tick(self, callback):
        self._on_tick.append(callback)
        callback()

    def advance(self, seconds, connections):
        """Let time pass, then do what the server's clock does at its tick."""
        self.now += seconds
        for callback in self._on_tick:
            callback()
        for connection in list(connections):
            if connection.deadline <= self.now:
                connection.on_deadline(self.now)


async def until(condition, message="the condition did not come true"):
    """Let the loop run until `condition()` is true, for a change that no event announces."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAIT):
            while not condition():
                await asyncio.sleep(0)
            return
    raise AssertionError(message)


async def turns(count=5):
    """Let the loop run a few times, to show that something does not happen."""
    for _ in range(count):
        await asyncio.sleep(0)


class Reply:
    """A parsed response; `complete` is false when the connection ended inside the response."""

    trailers = ()

    def __init__(self, status, version, fields, body, rest, complete):
        self.status = status
        self.version = version
        self.fields = fields
        self.body = body
        self.rest = rest
        self.complete = complete

    def __repr__(self):
        return f"<Reply {self.status} {self.fields} {self.body[:100]!r} complete={self.complete}>"

    def values(self, name):
        return [value for key, value in self.fields if key == name]

    def value(self, name):
        found = self.values(name)
        assert len(found) <= 1, f"{name!r} more than once"
        return found[0] if found else None


def read_reply(data, *, head=False, eof=False):
    """The first response in `data`, strictly parsed; None while it is not complete.

    `head` says that the response answers a HEAD. `eof` says that the connection has ended, so that
    an incomplete response is returned too.
    """
    block, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        return None
    status_line, *lines = block.split(b"\r\n")
    version, status, _ = status_line.split(b" ", 2)
    assert version == b"HTTP/1.1", status_line
    fields = []
    for line in lines:
        fields.append(_field(line))
    reply = Reply(int(status), version, fields, b"", rest, True)
    length, coding = reply.value(b"content-length"), reply.value(b"transfer-encoding")
    assert length is None or coding is None, "two framings"
    if head or reply.status < 200 or reply.status in (204, 304):
        return reply
    if coding is not None:
        assert coding == b"chunked"
        reply.body, reply.trailers, reply.rest, reply.complete = _unchunk(rest)
    elif length is not None:
        reply.body, reply.rest = rest[: int(length)], rest[int(length) :]
        reply.complete = len(reply.body) == int(length)
    else:
        reply.body, reply.rest, reply.complete = rest, b"", eof
    return reply if reply.complete or eof else None


def _field(line):
    name, colon, value = line.partition(b": ")
    assert colon, line
    assert name == name.lower(), line
    return name, value


def _unchunk(data):
    """The body, the trailer fields, the bytes after the end, and whether the end has come."""
    body = b""
    trailers = []
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return body, trailers, b"", False
        size = int(line, 16)
        if size == 0:
            while True:
                line, end, data = data.partition(b"\r\n")
                if not end:
                    return body, trailers, b"", False
                if not line:
                    return body, trailers, data, True
                trailers.append(_field(line))
        if len(data) < size + 2:
            return body + data[:size], trailers, b"", False
        assert data[size : size + 2] == b"\r\n", "chunk without its line end"
        body, data = body + data[:size], data[size + 2 :]


class FakePeer:
    """A client on the other end of an `H1Connection`; `records` are the server's access records."""

    def __init__(self, app, parser="httptools", *, extra=None, server=None, **options):
        if server is None:
            server = FakeServer(app, parser, **options)
        self.server = server
        self.context = server.context
        self.clock = server.clock
        self.records = server.records
        self.transport = FakeTransport(extra)
        self.connection = server.wires.connection(server.context)
        self.transport.connect(self.connection)
        self._taken = 0

    def send(self, data):
        self.transport.arrive(data)

    def get(self, target=b"/", *, method=b"GET", version=b"1.1", fields=()):
        lines = [b"%b %b HTTP/%b" % (method, target, version), b"host: a"]
        lines += [b"%b: %b" % field for field in fields]
        self.send(b"\r\n".join(lines) + b"\r\n\r\n")

    def send_eof(self):
        self.transport.arrive(None)

    def reset(self):
        self.transport.lose(ConnectionResetError("reset by peer"))

    def advance(self, seconds):
        self.clock.advance(seconds, self.context.connections)

    @property
    def received(self):
        """The bytes that `reply` and `take` have not taken yet."""
        return self.transport.written[self._taken :]

    def take(self, size):
        """Skip the next `size` bytes, which the test has looked at."""
        self._taken += size

    async def reply(self, *, head=False):
        """The next response, or its beginning when the connection is closed."""
        transport = self.transport
        async with asyncio.timeout(WAIT):
            while True:
                transport.changed.clear()
                ended = transport.closing or transport.eof_written
                reply = read_reply(self.received, head=head, eof=ended)
                if reply is not None:
                    self.take(len(self.received) - len(reply.rest))
                    return reply
                assert not ended, f"no response, but {self.received!r}"
                await transport.changed.wait()

    async def closed(self):
        """Wait until the server has closed its side."""
        await until(lambda: self.transport.closing or self.transport.eof_written, "still open")


class FakeServer:
    """The part of a server that connections use; several `FakePeer` can share one."""

    def __init__(self, app, parser="httptools", **options):
        config = Config(app, http=parser, **options)
        self.clock = FakeClock()
        self.context = ServerContext(config, app, asyncio.get_running_loop(), self.clock)
        self.clock.call_each_tick(self.context.on_tick)
        self.records = []
        self.context.access = self.records.append
        self.request_limit = apply_limits(self.context, self.clock)
        self.wires = make_wires(config, self.clock, self.context.loop)

    def h2_connection(self):
        """A connection whose client has chosen HTTP/2 in the TLS handshake."""
        return self.wires.connection(self.context, alpn="h2")

    async def finish(self):
        """Drop the connections, and cancel the running tasks."""
        connections: list[Any] = list(self.context.connections)
        for connection in connections:
            connection.output.transport.lose()
        tasks = list(self.context.running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
