"""The limit: uvloop protocols that do no HTTP work. What they cost, no server can save.

Run as ``python limits.py http|websocket PORT``.
"""

import asyncio
import base64
import hashlib
import re
import sys

import uvloop

ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"date: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: limit\r\n\r\nHello, world!"
)
KEY = re.compile(rb"sec-websocket-key:\s*([^\r]+)", re.IGNORECASE)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Constant(asyncio.Protocol):
    """Answers whatever arrives with one constant, written at once."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(ANSWER)


class MaskedEcho(asyncio.Protocol):
    """Echoes WebSocket payloads as they arrived, still masked: it frames, but unmasks nothing."""

    def connection_made(self, transport):
        self.transport = transport
        self.open = False
        self.buffer = b""

    def data_received(self, data):
        if not self.open:
            self.open = True
            key = KEY.search(data)[1].strip()
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            return
        if self.buffer:
            data = self.buffer + data
        position = 0
        while len(data) - position >= 8:
            length = data[position + 1] & 127
            head = 6
            if length == 126:
                length = int.from_bytes(data[position + 2 : position + 4])
                head = 8
            end = position + head + length
            if end > len(data):
                break
            sized = bytes((length,)) if head == 6 else b"\x7e" + length.to_bytes(2)
            self.transport.write(b"\x82" + sized + data[position + head : end])
            position = end
        self.buffer = data[position:]


async def serve(kind: str, port: int) -> None:
    """Serve on 127.0.0.1 until killed."""
    protocol = {"http": Constant, "websocket": MaskedEcho}[kind]
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
