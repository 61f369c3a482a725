"""The wires that the suite runs on. A new one adds its class to `WIRES` and passes the suite."""

import pytest
from fakes import FakePeer, FakeServer


class H1Stream:
    """One exchange as its client sees it."""

    def __init__(self, peer, method):
        self._peer = peer
        self._method = method
        self.context = peer.context

    @property
    def record(self):
        """The access record, None while the request is running."""
        records = self._peer.records
        assert len(records) <= 1
        return records[0] if records else None

    @property
    def broken(self):
        """Whether the server has cut the exchange off."""
        return self._peer.transport.aborted

    @property
    def writes(self):
        return self._peer.transport.writes

    async def reply(self):
        return await self._peer.reply(head=self._method == "HEAD")

    def send_body(self, data, *, end=False):
        if data:
            self._peer.send(b"%x\r\n%b\r\n" % (len(data), data))
        if end:
            self._peer.send(b"0\r\n\r\n")

    def leave(self):
        self._peer.reset()

    def stall(self):
        self._peer.transport.stall()

    def read_all(self):
        self._peer.transport.read_all()

    def drain(self):
        """The server begins to stop."""
        for connection in list(self.context.connections):
            connection.begin_drain()
        for session in list(self.context.running.values()):
            session.begin_drain()


class H1Wire:
    """HTTP/1.1, with one of the head parsers."""

    http_version = "1.1"

    def __init__(self, parser):
        self._parser = parser
        self.servers = []

    def request(
        self, app, method="GET", target="/", fields=(), body=b"", *, end=True, extra=None,
        setup=None, **options,
    ):  # fmt: skip
        """Send a request to `app`; without `end` its body goes on with `send_body`."""
        server = FakeServer(app, self._parser, **options)
        self.servers.append(server)
        if setup is not None:
            setup(server.context)
        peer = FakePeer(app, server=server, extra=extra)
        lines = [f"{method} {target} HTTP/1.1".encode("latin-1"), b"host: example.org"]
        lines += [b"%b: %b" % field for field in fields]
        if not end:
            lines.append(b"transfer-encoding: chunked")
        elif body:
            lines.append(b"content-length: %d" % len(body))
        head = b"\r\n".join(lines) + b"\r\n\r\n"
        stream = H1Stream(peer, method)
        if end:
            peer.send(head + body)
        else:
            peer.send(head)
            stream.send_body(body)
        return stream


WIRES = {"h1-httptools": lambda: H1Wire("httptools"), "h1-h11": lambda: H1Wire("h11")}


@pytest.fixture(params=WIRES)
async def wire(request, task_start):
    """A client of one wire; applications start in both ways."""
    wire = WIRES[request.param]()
    yield wire
    for server in wire.servers:
        await server.finish()
