"""HTTP/1.1 as a wire of the suite, which hides bytes, heads and chunks from the tests."""

import asyncio

from fakes import WAIT, FakePeer
from wire_client import ExchangeClient, FrameSender, Wire, WireClient
from ws_peer import next_frame

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


class H1Client(WireClient):
    """One connection of a client; requests on it come one after the other."""

    def __init__(self, server, extra):
        self.peer = FakePeer(None, server=server, extra=extra)
        super().__init__(server, self.peer.transport)

    def another(self):
        """A second connection to the same server."""
        return H1Client(self.server, None)

    def request(self, method="GET", target="/", fields=(), body=b"", *, end=True):
        """Send a request; without `end` its body goes on with `send_body`."""
        own = []
        if not end:
            own.append((b"transfer-encoding", b"chunked"))
        elif body:
            own.append((b"content-length", b"%d" % len(body)))
        head = self._head(method, target, [*fields, *own])
        stream = H1Stream(self, method)
        if end:
            self.peer.send(head + body)
        else:
            self.peer.send(head)
            stream.send_body(body)
        return stream

    def websocket(self, target="/", subprotocols=(), fields=()):
        """Ask for a WebSocket."""
        own = [
            (b"upgrade", b"websocket"),
            (b"connection", b"upgrade"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-key", KEY),
        ]
        if subprotocols:
            own.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode()))
        head = self._head("GET", target, [*own, *fields])
        socket = H1WebSocket(self)
        self.peer.send(head)
        return socket

    @staticmethod
    def _head(method, target, fields):
        """A request head; names and white space are as this grammar allows and tests must not."""
        lines = [f"{method} {target} HTTP/1.1".encode("latin-1"), b"Host: example.org"]
        lines += [b"%b: \t%b " % (name.title(), value) for name, value in fields]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    async def closed(self):
        """Wait until the server has closed."""
        await self.peer.closed()


class H1Stream(ExchangeClient):
    """One exchange as its client sees it."""

    def __init__(self, client, method):
        super().__init__(client)
        self._method = method

    @property
    def writes(self):
        """How often the connection has written."""
        return self.client.writes

    @property
    def silent(self):
        """Whether `reply` has taken all that has arrived."""
        return not self.client.peer.received

    async def reply(self):
        """The next response, which may be an interim one, or its beginning when nothing follows."""
        return await self.client.peer.reply(head=self._method == "HEAD")

    def send_body(self, data, *, end=False):
        if data:
            self.client.peer.send(b"%x\r\n%b\r\n" % (len(data), data))
        if end:
            self.client.peer.send(b"0\r\n\r\n")


class H1WebSocket(ExchangeClient, FrameSender):
    """One WebSocket as its client sees it; frames are the same on every wire."""

    async def handshake(self):
        """The answer to the handshake; `accepted` tells whether frames may follow."""
        reply = await self.client.peer.reply()
        reply.accepted = reply.status == 101
        return reply

    def send_bytes(self, data):
        """Send frames or parts of frames."""
        self.client.peer.send(data)

    def end(self):
        """The client closes its side without a close frame."""
        self.client.peer.send_eof()

    async def frame(self):
        """The opcode and the payload of the next frame."""
        peer = self.client.peer
        async with asyncio.timeout(WAIT):
            while True:
                peer.transport.changed.clear()
                found = next_frame(peer.received)
                if found is not None:
                    opcode, payload, size = found
                    peer.take(size)
                    return opcode, payload
                assert self.client.is_open, "no frame"
                await peer.transport.changed.wait()

    async def closed(self):
        """Wait until the server has closed, and check that no other frame has arrived."""
        await self.client.closed()
        assert self.client.peer.received == b""


class H1Wire(Wire):
    """HTTP/1.1, with one of the head parsers."""

    http_version = "1.1"
    switch_status = 101
    """The status that accepts a WebSocket, in access records."""

    has_trailers_for_all = False
    """Whether clients get trailers that have not asked for them."""

    def __init__(self, parser):
        super().__init__(H1Client, parser=parser)
