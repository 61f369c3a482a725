"""Gathered writing to a transport, with backpressure and a fair share for everyone.

This is the part of a connection that does not depend on what is written. It knows no protocol.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from time import perf_counter

from asgiserver.context import wake

FLUSH_SIZE = 65536
"""Bytes of gathered output at which all of it is written, so that backpressure works."""

# HOT 40 %: of a response of 1 MiB under TLS, and 10 % of an echo of 16 KiB, not to join parts.
JOIN_SIZE = 4096
"""Gathered parts of fewer bytes in all are joined before they are written; more are handed over as
they are. asyncio's own transports do not pause their protocol in `writelines`: on its loops the
parts are joined up to `FLUSH_SIZE`."""

# HOT 8 %: of a stream of 20 chunks.
JOIN_PART = 1024
"""Parts of fewer bytes on average are joined, however many they are: joining a small part costs
less than a system call with one more part does."""

TURN_TIME = 0.0003
TURN_OUTPUTS = 64
"""What a turn of the loop has to send waits for at most `TURN_TIME` seconds, and comes from at most
`TURN_OUTPUTS` connections."""

BUSY_GAP = 0.001
BUSY_TIME = 0.1
"""Seconds. A loop is busy when it has sent something for `BUSY_TIME` without a gap of `BUSY_GAP`.
Before that nothing waits: not on an idle server, and not for a slow handler."""

TURN_SIZE = 1 << 20
"""Bytes that a connection may write in one turn of the loop, so that a fast reader of an endless
response does not starve the other connections."""


class OutputTurn:
    """What all connections of a loop have to send in one of its turns; it leaves together.

    A client that sleeps until its answer comes has to be woken, mostly on another CPU, and whoever
    writes pays for that. Many answers that are written right after each other wake the client once.
    """

    __slots__ = ("_began", "_busy_from", "_flush", "_last", "_outputs", "join_size", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.join_size = FLUSH_SIZE if isinstance(loop, asyncio.BaseEventLoop) else JOIN_SIZE
        self._outputs: list[Output] = []
        self._flush = self.flush  # bound once
        # By `perf_counter`: the first `add` of what waits, the last `add`, when the loop got busy.
        self._began = self._last = self._busy_from = 0.0

    def __repr__(self) -> str:
        return f"<OutputTurn outputs={len(self._outputs)}>"

    def add(self, output: Output) -> None:
        """Flush `output` at the end of the turn, or sooner; at once unless the loop is busy."""
        outputs = self._outputs
        now = perf_counter()
        if now - self._last > BUSY_GAP:
            self._busy_from = now + BUSY_TIME
        self._last = now
        if not outputs:
            if now < self._busy_from:
                output.flush()
                return
            self._began = now
            self.loop.call_soon(self._flush)
        elif now - self._began > TURN_TIME or len(outputs) >= TURN_OUTPUTS:
            self.flush()
            self._began = now
        outputs.append(output)  # for a stream several times, and only the first finds something

    def flush(self) -> None:
        """Flush all that waits."""
        for output in self._outputs:
            output.flush()
        self._outputs.clear()


class Output:
    """What is written to a transport, gathered while it is corked and until the turn's end.

    `writable` is false while the transport's buffer is full or the share of this turn is spent. The
    protocol that owns the transport sets `transport` as soon as it is connected, and passes on
    `pause_writing` and `resume_writing`.
    """

    __slots__ = (
        "_gathered_size",
        "_join_size",
        "_loop",
        "_turn_spent",
        "_waiters",
        "corked",
        "gathered",
        "transport",
        "turn",
        "turn_left",
        "writable",
        "write_paused",
    )

    transport: asyncio.Transport

    def __init__(self, turn: OutputTurn) -> None:
        self._loop = turn.loop
        self.turn = turn
        self.gathered: list[bytes] = []  # small parts may be put here before `write`
        self._gathered_size = 0
        self.turn_left = TURN_SIZE
        self._join_size = turn.join_size
        self._turn_spent = False  # whether the share of this turn is spent
        self._waiters: list[asyncio.Future[None]] = []
        self.corked = False
        self.writable = True
        self.write_paused = False  # by the transport

    def write(self, data: bytes) -> None:
        """Gather `data`, which leaves at the end of the turn; sooner if it is much."""
        self.gathered.append(data)
        self._gathered_size = size = self._gathered_size + len(data)
        if size >= (FLUSH_SIZE if self.corked else JOIN_SIZE):
            self.flush()
        elif not self.corked:
            self.turn.add(self)

    def write_pair(self, head: bytes, body: bytes) -> None:
        """Write a head and a body that is not worth joining to it."""
        self.gathered.append(head)
        self._gathered_size += len(head)
        self.write(body)

    def flush(self) -> None:
        """Write what has been gathered, in one call."""
        gathered = self.gathered
        if len(gathered) == 1:
            data = gathered.pop()
            size = len(data)
            self.transport.write(data)
        elif gathered:
            size = self._write_parts(gathered)
            gathered.clear()
        else:
            return
        self._gathered_size = 0
        self.turn_left -= size
        if self.turn_left < 0:
            self.spend(0)

    def _write_parts(self, gathered: list[bytes]) -> int:
        """Write the parts, joined or one by one; return how many bytes they are."""
        size = self._gathered_size
        if size < self._join_size or size < JOIN_PART * len(gathered):
            data = b"".join(gathered)
            self.transport.write(data)
            return len(data)
        if self._join_size == JOIN_SIZE:
            self.transport.writelines(gathered)
        else:
            self._write_apart(gathered)
        return size

    def _write_apart(self, gathered: list[bytes]) -> None:
        """Write large parts one by one, and join the small ones between them."""
        small = []
        for part in gathered:
            if len(part) < FLUSH_SIZE:
                small.append(part)
                continue
            if small:
                self.transport.write(b"".join(small))
                small.clear()
            self.transport.write(part)
        if small:
            self.transport.write(b"".join(small))

    def spend(self, size: int) -> None:
        """Count bytes that went to the socket against the share of this turn."""
        self.turn_left -= size
        if self.turn_left < 0 and not self._turn_spent:
            self._turn_spent = True
            self.writable = False
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self.turn_left = TURN_SIZE
        self._turn_spent = False
        if not self.write_paused:
            self._set_writable()

    def _set_writable(self) -> None:
        self.writable = True
        if self._waiters:
            wake(self._waiters)

    async def wait_writable(self) -> None:
        """Return as soon as more may be written, or the connection is lost."""
        if not self.writable:
            self.flush()
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def reset(self) -> None:
        """End the connection in a way that the peer cannot take for a normal end."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def cut(self) -> None:
        """Close at once; what the peer has not read is lost."""
        self.transport.abort()

    # Called when the transport calls its protocol.

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.write_paused = True
        self.writable = False

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self.write_paused = False
        if not self._turn_spent:
            self._set_writable()

    def lost(self) -> None:
        """The transport is gone: wake everyone who waits to write."""
        self.gathered.clear()
        self.write_paused = False
        if not self.writable:
            self._set_writable()
