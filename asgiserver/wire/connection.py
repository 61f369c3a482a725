"""What every connection over a stream transport does, whatever it speaks.

A connection is registered, admitted and lost; it pauses reading for reasons; it waits for somebody;
it ends: at once, after what has been written, or lingering. This module knows no request and no
session.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from asgiserver.errors import PeerError
from asgiserver.http.peer import Peer
from asgiserver.wire.peer import peer_of
from asgiserver.wire.waiting import (
    ANSWER,
    APPLICATION,
    BODY,
    DROPPED,
    END,
    HEAD,
    IDLE,
    LAST,
    LAST_TIME,
    LINGER,
    NOT_OPEN,
    NOTHING,
    READER,
    REQUESTS,
    TUNNEL,
    credited,
    for_whom,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asgiserver.context import Connection, PeerReader, ServerContext
    from asgiserver.http.proxy_protocol import ProxyHeader
    from asgiserver.wire.output import Output
    from asgiserver.wire.waiting import Reading, Times, Waiting

LINGER_SIZE = 16 << 20
"""Bytes that a client may go on sending after an answer that ends the connection."""

TUNNEL_LINGER_SIZE = 1 << 20
"""Bytes that a client may go on sending after the end of a tunnel. It is less than `LINGER_SIZE`,
because the peer of a protocol with a closing handshake reads while it sends."""

DRAIN_LINGER_TIME = 0.25
"""Seconds that an idle connection lingers when the server stops: a request may be on its way."""

UNKNOWN = Peer(None, None)


class StreamConnection(asyncio.Protocol):
    """A connection as its transport and its server see it; a subclass speaks a protocol.

    The pair (`waiting`, `deadline`) is written by `enter` and `enter_idle`, and passed on by
    `take_over`; `credit` and `extend` move the deadline. Nobody else writes it.
    `paused` holds the reasons for which reading is paused, one bit each. `drop_left` is how many
    bytes may still be read and dropped; it is set when the dropping begins. `peer_reader` reads
    what proxies say of a request.
    """

    __slots__ = (
        "_passed_on",
        "_times",
        "_unread",
        "context",
        "deadline",
        "drop_left",
        "ended",
        "output",
        "paused",
        "peer",
        "peer_reader",
        "reading",
        "waiting",
    )

    wire: ClassVar[str]
    """The protocol of the connection, as in ALPN."""

    drop_left: int
    peer_reader: PeerReader | None
    _unread: int  # bytes that the client had still to read when the current wait began

    def __init__(
        self,
        context: ServerContext,
        output: Output,
        times: Times,
        passed_on: ProxyHeader | None = None,
    ) -> None:
        self.context = context
        self.output = output
        self._times = times
        self.reading: Reading = REQUESTS
        self.paused = 0
        self.ended = False  # the client has closed its sending side
        self.waiting: Waiting = NOT_OPEN
        self.deadline = math.inf
        self.peer = UNKNOWN  # both ends, known when the transport is connected
        self._passed_on = passed_on  # the PROXY header that a balancer sent first

    # What a subclass adds.

    def greet(self) -> None:
        """The transport is there: send what the protocol lets the server say first."""

    def arm(self, received: int = 0, leaving: bool = False) -> None:
        """Find out for whom the connection waits now, and `enter` that wait if it is a new one.

        `received` is for `credit`, `leaving` for `for_whom`.
        """
        raise NotImplementedError

    def refuse(self, error: PeerError) -> None:
        """The client has made an error: answer it if that is still possible, and close."""
        raise NotImplementedError

    def forget(self) -> None:
        """Serve no exchange on this connection any more, but send what has been gathered."""
        raise NotImplementedError

    def begin_drain(self) -> None:
        """The server is stopping: take no further request, and end after the current exchange."""
        raise NotImplementedError

    def tick(self, now: float) -> None:
        """The connection has waited for the application since the last tick of the clock."""
        raise NotImplementedError

    def too_late(self) -> None:
        """The client has not sent in time what it had to send: a head or a body."""
        raise NotImplementedError

    def reader_gone(self) -> None:
        """The client does not read its response; the connection is about to be cut."""
        raise NotImplementedError

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, and wait for the first request head."""
        self.output.transport = transport  # type: ignore[assignment] # a stream transport it is
        context = self.context
        context.stats.connections += 1
        self.peer = peer = peer_of(transport, context.config.root_path, self._passed_on)
        context.connections.add(self)
        admission = context.admission
        if admission.tls_extension is not None:
            peer.tls = admission.tls_extension(transport.get_extra_info("ssl_object"))
        self.peer_reader = None if admission.proxies is None else admission.proxies(peer)
        self.enter(HEAD)
        self.greet()
        if admission.limit is not None:
            try:
                if not admission.limit(self):
                    self.output.reset()
            except PeerError as error:
                self.refuse(error)

    def take_over(self, other: StreamConnection, data: bytes) -> None:
        """Go on in place of `other`, which has found that its client speaks this protocol.

        `data` is all that has come. The connection is counted and admitted already, and its client
        gets no more time.
        """
        context, transport = self.context, other.output.transport
        self.output.transport = transport
        self.peer, self.peer_reader = other.peer, other.peer_reader
        self.waiting, self.deadline = other.waiting, other.deadline
        context.connections.remove(other)
        context.connections.add(self)
        transport.set_protocol(self)
        self.greet()
        self.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is lost."""
        self.output.lost()
        if self.reading is not NOTHING:
            self._stop_reading()
        self.enter(NOT_OPEN)
        self.context.lost(self)

    def pause_writing(self) -> None:
        """The client reads too slowly; it has to read something before the deadline."""
        self.output.pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self.output.resume_writing()

    # Waiting.

    def enter(self, waiting: Waiting) -> None:
        """Begin to wait for somebody; to enter the current wait again restarts its deadline."""
        self.waiting = waiting
        self.deadline = self.context.clock.now + self._times[waiting]
        if waiting >= READER:
            self._unread = self.output.transport.get_write_buffer_size()

    def enter_idle(self) -> None:
        """HOT 1 %: `enter` for IDLE, which each request does."""
        self.waiting = IDLE
        self.deadline = self.context.idle_deadline

    def credit(self, received: int) -> None:
        """Extend the deadline of BODY by what `received` bytes are worth."""
        now = self.context.clock.now
        self.deadline = credited(self.deadline, received, now, self._times)

    def extend(self, seconds: float) -> None:
        """Move the deadline: the loop was blocked for so long, and the client is not to blame."""
        self.deadline += seconds

    def on_deadline(self, now: float) -> None:
        """The deadline has passed; called by the clock."""
        waiting = self.waiting
        if APPLICATION <= waiting <= ANSWER:
            self.tick(now)
            if self.waiting is waiting:
                self.arm()
            if self.waiting is waiting:
                self.enter(waiting)
        elif waiting is HEAD or waiting is BODY:
            self.too_late()
        elif waiting is IDLE:
            self.leave()
        elif waiting is LAST:
            self._close_idle()
        elif waiting is LINGER:
            self.end()
        elif self.output.transport.get_write_buffer_size() < self._unread:
            self.enter(waiting)
        else:
            self._cut_slow_reader()

    def _cut_slow_reader(self) -> None:
        """The client has read nothing for too long."""
        self.context.stats.count_refused("write timeout")
        self.reader_gone()
        self.abort("write timeout")

    # Reading.

    def pause_reading(self, why: int) -> None:
        """Read nothing until `resume_reading` is called with the same reason; `why` is one bit."""
        if not self.paused and self.reading < DROPPED:
            self.output.transport.pause_reading()
        self.paused |= why

    def resume_reading(self, why: int) -> None:
        """Read on, unless reading is paused for another reason, too."""
        if self.paused:
            self.paused &= ~why
            if not self.paused and self.reading is not NOTHING:
                self.output.transport.resume_reading()

    def drop(self, data: bytes) -> None:
        """Drop bytes that come while the connection lingers, and end it when they are too many."""
        self.drop_left -= len(data)
        if self.drop_left < 0:
            self.end()

    # Ending.

    @property
    def idle(self) -> bool:
        """Whether the connection waits for a next request of which nothing has come yet."""
        return self.waiting is IDLE

    def leave(self) -> None:
        """Close an idle connection, unless a request has arrived and is still unread.

        The close comes two turns of the loop later, because the loop may have looked for input of
        the current turn before the deadline passed. A request that arrives even later finds our
        side closed in good order, not a reset.
        """
        loop, first = self.context.loop, self.waiting is HEAD
        self.arm(leaving=True)
        if self.waiting is not LAST:
            return
        if first and self._drains_slowly:
            loop.call_later(LAST_TIME, self._close_idle)
        else:
            loop.call_soon(loop.call_soon, self._close_idle)

    def _close_idle(self) -> None:
        if self.waiting is not LAST:
            return
        slowly = self._drains_slowly
        self.close(linger=slowly or not self.context.draining)
        if slowly:
            self.context.loop.call_later(DRAIN_LINGER_TIME, self.end)

    @property
    def _drains_slowly(self) -> bool:
        """Whether the server stops and has time for idle connections.

        With --reload it has none, because the next worker waits for this one to end.
        """
        return self.context.draining and not self.context.config.reload

    def close(self, linger: bool) -> None:
        """Close after what has been written; `linger` when the client may still be sending."""
        if self.reading >= DROPPED:
            return
        self.forget()
        if not linger or self.ended:
            self.output.transport.close()
            self.reading = NOTHING
            self.enter(END)
            return
        self.drop_left = TUNNEL_LINGER_SIZE if self.reading is TUNNEL else LINGER_SIZE
        self.reading = DROPPED
        self.context.stats.lingering += 1
        self.enter(for_whom(self.waiting, DROPPED, blocked=self.output.write_paused))
        if self.output.transport.can_write_eof():
            self.output.transport.write_eof()
        self.resume_reading(self.paused)

    def end(self) -> None:
        """Stop reading, and close after the client has read what has been written."""
        if self.reading is not NOTHING:
            self.give_up()
            self.output.transport.close()

    def give_up(self) -> None:
        """Stop reading, because the transport is about to be closed by `end`, `abort` or an EOF."""
        self.output.flush()
        self._stop_reading()
        self.enter(END)

    def _stop_reading(self) -> None:
        if self.reading is DROPPED:
            self.context.stats.lingering -= 1
        self.reading = NOTHING

    def abort(self, reason: str) -> None:
        """Cut the connection, so that the client cannot take a part for the whole response."""
        self.output.flush()
        self.give_up()
        self.output.cut()


def count_states(connections: Iterable[Connection]) -> dict[str, int]:
    """How many stream connections are in each state, such as ``http/1.1 idle``.

    A state is a name of `wire.waiting.Waiting`, or ``tunnel`` for a WebSocket whose client reads.
    """
    found = Counter([(one.wire, one.waiting, one.reading is TUNNEL) for one in connections])
    states: dict[str, int] = {}
    for (wire, waiting, tunnel), number in found.items():
        state = "tunnel" if tunnel and waiting is APPLICATION else waiting.name.lower()
        states[f"{wire} {state}"] = number
    return states
