"""What every connection over a stream transport does, whatever it speaks.

It is registered, admitted and lost; it pauses reading for reasons; it waits for somebody; it ends:
at once, after what has been written, or lingering. It knows no request and no session.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

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
    NOBODY,
    NOTHING,
    READER,
    REQUESTS,
    TUNNEL,
    credited,
    for_whom,
)

if TYPE_CHECKING:
    from asgiserver.context import PeerReader, ServerContext
    from asgiserver.http.proxy_protocol import ProxyHeader
    from asgiserver.wire.output import Output
    from asgiserver.wire.waiting import Reading, Times, Waiting

LINGER_SIZE = 16 << 20
"""Bytes that a client may go on sending after an answer that ends the connection."""

TUNNEL_LINGER_SIZE = 1 << 20
"""The same for a tunnel: whoever speaks a protocol with a farewell reads while it sends."""

DRAIN_LINGER_TIME = 0.25
"""Seconds that an idle connection lingers while the server stops: time for what is on its way."""

UNKNOWN = Peer(None, None)


class StreamConnection(asyncio.Protocol):
    """A connection as its transport and its server see it; a subclass speaks a protocol.

    The pair (`waiting`, `deadline`) is written by `enter` and `credit` alone. `paused` holds the
    reasons for which reading is paused, one bit each. `drop_left` is how many bytes may still be
    read and dropped, set when that begins; `peer_reader` reads what proxies say of a request.
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

    drop_left: int
    peer_reader: PeerReader | None
    _unread: int  # bytes that the client had to read when that was last looked at

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
        self.waiting: Waiting = NOBODY
        self.deadline = math.inf
        self.peer = UNKNOWN  # both ends, once there are two
        self._passed_on = passed_on  # what a balancer said before the first byte

    # What a subclass adds.

    def arm(self, received: int = 0, leaving: bool = False) -> None:
        """Find out for whom the connection waits now, and `enter` that unless it does already.

        `received` is for `credit`, `leaving` for `for_whom`.
        """
        raise NotImplementedError

    def refuse(self, error: PeerError) -> None:
        """The client's fault: answer if that is still possible, and close."""
        raise NotImplementedError

    def forget(self) -> None:
        """No exchange is served on this connection any more; what has been gathered may leave."""
        raise NotImplementedError

    def begin_drain(self) -> None:
        """The server is stopping: take nothing more, and end after what is under way."""
        raise NotImplementedError

    def tick(self, now: float) -> None:
        """The application has been waited for since the last tick of the clock."""
        raise NotImplementedError

    def too_late(self) -> None:
        """The client has not sent what it had to send: a head or a body."""
        raise NotImplementedError

    def reader_gone(self) -> None:
        """The client does not read what it asked for; the connection is going to be cut."""
        raise NotImplementedError

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the first request head has to come in time."""
        self.output.transport = transport  # type: ignore[assignment] # a stream transport it is
        context = self.context
        context.stats.connections += 1
        context.connections.add(self)
        self.peer = peer = peer_of(transport, context.config.root_path, self._passed_on)
        if context.tls_extension is not None:
            peer.tls = context.tls_extension(transport.get_extra_info("ssl_object"))
        self.peer_reader = None if context.proxy is None else context.proxy(peer)
        self.enter(HEAD)
        if context.admit is not None:
            try:
                if not context.admit(self):
                    self.output.reset()
            except PeerError as error:
                self.refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.output.lost()
        if self.reading is not NOTHING:
            self._read_no_more()
        self.enter(NOBODY)
        self.context.lost(self)

    def pause_writing(self) -> None:
        """The client reads too slowly; it has until the deadline to read something."""
        self.output.pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self.output.resume_writing()

    # Waiting.

    def enter(self, waiting: Waiting) -> None:
        """Begin to wait for somebody; again, when it is the same."""
        self.waiting = waiting
        self.deadline = self.context.clock.now + self._times[waiting]
        if waiting >= READER:
            self._unread = self.output.transport.get_write_buffer_size()

    def credit(self, received: int) -> None:
        """Bytes of the body that is waited for have come."""
        now = self.context.clock.now
        self.deadline = credited(self.deadline, received, now, self._times)

    def on_deadline(self, now: float) -> None:
        """The time to do something is over; called by the clock."""
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
            self._left()
        elif waiting is LINGER:
            self.end()
        elif self.output.transport.get_write_buffer_size() < self._unread:
            self.enter(waiting)
        else:
            self._cut()

    def _cut(self) -> None:
        """The client has read nothing for too long."""
        self.context.stats.count_refused("write timeout")
        self.reader_gone()
        self.abort("write timeout")

    # Reading.

    def pause_reading(self, why: int) -> None:
        """Read nothing until `resume_reading` for the same reason, one bit."""
        if not self.paused and self.reading < DROPPED:
            self.output.transport.pause_reading()
        self.paused |= why

    def resume_reading(self, why: int) -> None:
        """Read on, unless there is another reason not to."""
        if self.paused:
            self.paused &= ~why
            if not self.paused and self.reading is not NOTHING:
                self.output.transport.resume_reading()

    def drop(self, data: bytes) -> None:
        """Bytes after the end of everything: a bounded number of them is read."""
        self.drop_left -= len(data)
        if self.drop_left < 0:
            self.end()

    # Ending.

    @property
    def idle(self) -> bool:
        """Whether it waits for a next request, and nothing of that has come yet."""
        return self.waiting is IDLE

    def leave(self) -> None:
        """Close, unless a request is there already, still unread.

        Two turns of the loop: the first may have looked for input before the deadline passed. What
        is on its way after that finds our side closed in good order, not a reset.
        """
        loop, first = self.context.loop, self.waiting is HEAD
        self.arm(leaving=True)
        if self.waiting is not LAST:
            return
        if first and self._is_patient:
            loop.call_later(LAST_TIME, self._left)
        else:
            loop.call_soon(loop.call_soon, self._left)

    def _left(self) -> None:
        if self.waiting is not LAST:
            return
        patient = self._is_patient
        self.close(linger=patient or not self.context.draining)
        if patient:
            self.context.loop.call_later(DRAIN_LINGER_TIME, self.end)

    @property
    def _is_patient(self) -> bool:
        """Whether a stop has time for spare connections; with --reload the next worker waits."""
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
        """Read no more; what has been written may still be read."""
        if self.reading is not NOTHING:
            self.output.transport.close()
            self.give_up()

    def give_up(self) -> None:
        """The transport is going to be closed, by `end` or at the end of what the client sends."""
        self._read_no_more()
        self.enter(END)

    def _read_no_more(self) -> None:
        if self.reading is DROPPED:
            self.context.stats.lingering -= 1
        self.reading = NOTHING

    def abort(self, reason: str) -> None:
        """Cut the connection: the client must not take what it has for the whole response."""
        self.output.flush()
        self.give_up()
        self.output.cut()
