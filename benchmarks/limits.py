"""The limits: uvloop protocols that do no HTTP work. No server can cost less than they do.

Run as ``python limits.py KIND PORT [CERTIFICATE KEY]``; each protocol below is one kind.
"""

import asyncio
import base64
import hashlib
import os
import re
import ssl
import sys
import tempfile

import uvloop

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
    b"date: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: limit\r\n"
)
ANSWER = HEAD + b"content-length: 13\r\n\r\nHello, world!"
LAST_ANSWER = HEAD + b"content-length: 13\r\nconnection: close\r\n\r\nHello, world!"
POSTED = HEAD + b"content-length: 10240\r\n\r\n" + b"b" * 10240
MEBIBYTE_SIZE = 1 << 20
MEBIBYTE_HEAD = HEAD + b"content-length: %d\r\n\r\n" % MEBIBYTE_SIZE
MEBIBYTE = MEBIBYTE_HEAD + b"m" * MEBIBYTE_SIZE
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
CHUNK = b"400\r\n" + b"c" * 1024 + b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"
STREAMED = CHUNKED + CHUNK * 20 + LAST_CHUNK
KEY = re.compile(rb"sec-websocket-key:\s*([^\r]+)", re.IGNORECASE)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Constant(asyncio.Protocol):
    """Answers any bytes with one constant, written at once."""

    answer = ANSWER

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(self.answer)


class Mebibyte(Constant):
    """Sends 1 MiB in one write."""

    answer = MEBIBYTE


class File(Constant):
    """Sends 1 MiB of a file by sendfile(2), on the socket and not through its transport."""

    file = None

    def connection_made(self, transport):
        if File.file is None:
            File.file = tempfile.TemporaryFile()  # noqa: SIM115 (until the process ends)
            File.file.write(b"m" * MEBIBYTE_SIZE)
            File.file.flush()
        self.loop = asyncio.get_running_loop()
        self.socket = os.dup(transport.get_extra_info("socket").fileno())

    def connection_lost(self, exc):
        self.loop.remove_writer(self.socket)
        os.close(self.socket)

    def data_received(self, data):
        os.write(self.socket, MEBIBYTE_HEAD)
        self.offset = 0
        self.send()

    def send(self):
        try:
            while left := MEBIBYTE_SIZE - self.offset:
                self.offset += os.sendfile(self.socket, self.file.fileno(), self.offset, left)
        except BlockingIOError:
            self.loop.add_writer(self.socket, self.send)
        else:
            self.loop.remove_writer(self.socket)


class Streamed(Constant):
    """Sends the bytes of 20 chunks of 1 KiB in one write."""

    answer = STREAMED


class Chunks(Constant):
    """Sends 20 chunks of 1 KiB with a write for each chunk."""

    def data_received(self, data):
        write = self.transport.write
        write(CHUNKED)
        for _ in range(20):
            write(CHUNK)
        write(LAST_CHUNK)


class Pipelined(Constant):
    """Answers all requests that arrive together with one write; it only counts their ends."""

    def data_received(self, data):
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


class Closing(Constant):
    """Answers and closes."""

    def data_received(self, data):
        self.transport.write(LAST_ANSWER)
        self.transport.close()


class Posted(Constant):
    """Waits for 10 KiB of body after the head, and answers with as many bytes."""

    left = 0

    def data_received(self, data):
        if not self.left:
            self.left = data.index(b"\r\n\r\n") + 4 + 10240
        self.left -= len(data)
        if not self.left:
            self.transport.write(POSTED)


class MaskedEcho(asyncio.Protocol):
    """Echoes WebSocket payloads without unmasking them: it only reads and writes frames."""

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


KINDS = {
    "plain": Constant,
    "pipelined": Pipelined,
    "closing": Closing,
    "posted": Posted,
    "streamed": Streamed,
    "chunks": Chunks,
    "mebibyte": Mebibyte,
    "file": File,
    "websocket": MaskedEcho,
}


async def serve(kind: str, port: int, certificate: list[str]) -> None:
    """Serve on 127.0.0.1 until killed, by TLS with a certificate and its key."""
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(KINDS[kind], "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
