"""An HTTP/1 client that sends any bytes, and can leave with or without a farewell."""

import asyncio
import socket
import struct

from fakes import WAIT, read_reply


class RawClient:
    """One connection to a server, on a real socket."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer
        self.received = b""

    @classmethod
    async def connect(cls, server, *, address=None, read_buffer=None):
        """Connect to the server's first address; the kernel takes `read_buffer` bytes ahead."""
        address = address or server.addresses[0]
        if address.startswith("unix:"):
            return cls(*await asyncio.open_unix_connection(address[5:]))
        host, port = address.removeprefix("http://").rsplit(":", 1)
        host = host.strip("[]")
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setblocking(False)
        if read_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        except OSError:
            sock.close()
            raise
        return cls(*await asyncio.open_connection(sock=sock, limit=read_buffer or 65536))

    async def send(self, data):
        self._writer.write(data)
        await self._writer.drain()

    async def get(self, target=b"/", *, version=b"1.1", fields=b""):
        await self.send(b"GET %b HTTP/%b\r\nhost: a\r\n%b\r\n" % (target, version, fields))

    async def reply(self, *, head=False):
        """The next response, or its beginning when the connection ends."""
        async with asyncio.timeout(WAIT):
            while True:
                reply = read_reply(self.received, head=head)
                if reply is None:
                    data = await self._reader.read(65536)
                    if data:
                        self.received += data
                        continue
                    reply = read_reply(self.received, head=head, eof=True)
                    assert reply is not None, f"no response, but {self.received!r}"
                self.received = reply.rest
                return reply

    async def read_until(self, mark):
        """Read until `mark` has arrived."""
        async with asyncio.timeout(WAIT):
            while mark not in self.received:
                data = await self._reader.read(65536)
                assert data, f"ended without {mark!r}: {self.received[-200:]!r}"
                self.received += data

    async def count_until(self, ending):
        """Read, without keeping it, all up to `ending`; the number of bytes."""
        size, data = 0, b""
        async with asyncio.timeout(WAIT):
            while not data.endswith(ending):
                part = await self._reader.read(65536)
                assert part, "ended"
                size += len(part)
                data = data[-len(ending) :] + part
        return size

    async def ended(self):
        """Wait for the server to close, without a reset."""
        async with asyncio.timeout(WAIT):
            while data := await self._reader.read(65536):
                self.received += data

    def send_eof(self):
        self._writer.write_eof()

    def reset(self):
        """Leave with a reset instead of a farewell."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self):
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass
