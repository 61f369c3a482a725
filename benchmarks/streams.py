"""Memory per idle connection of HTTP/2, and per stream whose application waits."""

from __future__ import annotations

import contextlib
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.cases import HTTP2, Case
from benchmarks.environment import BenchmarkError
from benchmarks.footprint import IDLE_CONNECTIONS, KIBIBYTE, still_open, study
from benchmarks.measure import serving
from benchmarks.servers import SERVERS, Running, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.experiment import Settings, Study

STREAMS = 1000
STREAMS_OF_ONE = 50  # of one connection: less than any server's limit

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CASE = Case(
    "http2-memory",
    "",
    Wanted("apps:hang", protocol="http2", keep_alive=75),
    tool="h2load",
    connections=1,
)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame (RFC 9113 section 4.1)."""
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + payload


def get(stream: int, path: bytes) -> bytes:
    """A GET whose fields go into no table: method, scheme, path and authority."""
    block = b"\x82\x86\x04" + bytes([len(path)]) + path + b"\x01\x09127.0.0.1"
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, block)


class Client:
    """One connection, which answers what a server asks for its life."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.data = b""
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def wait(self, wanted: tuple[int, int]) -> None:
        """Read up to a frame of this type that has this flag."""
        while True:
            while len(self.data) < 9 or len(self.data) < 9 + int.from_bytes(self.data[:3], "big"):
                more = self.socket.recv(65536)
                if not more:
                    raise BenchmarkError("closes connections at once")
                self.data += more
            size = 9 + int.from_bytes(self.data[:3], "big")
            kind, flags, payload = self.data[3], self.data[4], self.data[9:size]
            self.data = self.data[size:]
            if kind == wanted[0] and flags & wanted[1]:
                return
            if kind in (SETTINGS, PING) and not flags & ACK:
                self.send(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind in (RST_STREAM, GOAWAY):
                raise BenchmarkError("refuses streams")

    def settle(self) -> None:
        """Wait until the server has read all that was sent."""
        self.send(frame(PING, 0, 0, b"settled?"))
        self.wait((PING, ACK))


@contextmanager
def clients(running: Running, count: int) -> Iterator[list[Client]]:
    """Connections that each got one answer and then stay silent."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            client = Client(running.port)
            stack.callback(client.socket.close)
            client.send(get(1, b"/"))
            client.wait((DATA, END_STREAM))
            client.settle()
            found.append(client)
        yield found


def probe(settings: Settings, server: str) -> dict[str, float]:
    """Growth of the resident memory per idle connection, and per stream that waits."""
    with serving(settings.environment, SERVERS[server], CASE) as running:
        # The first ones are not counted: they fill caches, pools and freed memory.
        with clients(running, IDLE_CONNECTIONS // 5) as first:
            time.sleep(0.2)
            before = running.resident_bytes()[0]
            with clients(running, IDLE_CONNECTIONS) as more:
                time.sleep(0.2)
                connected = running.resident_bytes()[0]
                for client in more[: STREAMS // STREAMS_OF_ONE]:
                    for number in range(STREAMS_OF_ONE):
                        client.send(get(3 + 2 * number, b"/hang"))
                    client.settle()
                time.sleep(0.2)
                streaming = running.resident_bytes()[0]
                sockets = [client.socket for client in (*first, *more)]
                closed = len(sockets) - still_open(sockets)
        if closed:
            raise BenchmarkError(f"closed {closed} idle connections")
        return {
            "KiB per connection": (connected - before) / IDLE_CONNECTIONS / KIBIBYTE,
            "KiB per stream": (streaming - connected) / STREAMS / KIBIBYTE,
        }


STUDIES: dict[str, Study] = dict(
    (
        study(
            CASE.name,
            "Memory per idle connection of HTTP/2, and per stream whose application waits",
            ("asgiserver", *HTTP2.peers),
            probe,
            rounds=3,
            wanted_lowest=("KiB per connection", "KiB per stream"),
        ),
    )
)
