"""An HTTP/2 connection: bytes in, frames out, many exchanges at a time (RFC 9113).

`data_received` feeds the codec, which calls the methods below, and then starts the requests that
have come. The codec knows frames, windows and states of streams; this module knows sessions, time,
and how a connection ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.asgi.opening import open_session
from asgiserver.asgi.response import plain_head
from asgiserver.errors import PeerError
from asgiserver.h2.channel import H2Channel
from asgiserver.h2.codec import H2Codec
from asgiserver.h2.faults import (
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    PROTOCOL_ERROR,
    ConnectionFault,
    name_of,
)
from asgiserver.h2.hpack import make_decoder, make_encoder
from asgiserver.h2.output import H2Output
from asgiserver.h2.watch import PING, Silence, Watch
from asgiserver.wire.connection import StreamConnection
from asgiserver.wire.output import TURN_SIZE
from asgiserver.wire.waiting import (
    APPLICATION,
    DROPPED,
    IDLE,
    NOTHING,
    REQUESTS,
    for_whom,
)

if TYPE_CHECKING:
    from asgiserver.asgi.session import Session
    from asgiserver.context import ServerContext
    from asgiserver.h2.setup import H2Setup
    from asgiserver.http.message import RequestHead
    from asgiserver.http.proxy_protocol import ProxyHeader
    from asgiserver.types import Outcome

STARTS = 32
"""Requests of one connection that are started in one turn of the loop."""

MOST_UNREAD = 262_144
"""Bytes that a client may leave unread before the server stops reading from it. Bodies stop much
earlier; this is for heads, and for frames that answer the client's."""

GOAWAY_TIME = 1.0
"""Seconds that a client has to answer the first GOAWAY; see `H2Codec.drain`."""

# Why reading is paused, one bit.
UNREAD = 1


class H2Connection(StreamConnection):
    """One HTTP/2 connection; `Sink` of its codec, `Owner` of its channels.

    Invariant: a session is that of a stream which the codec knows; when a stream ends in any way,
    its session has ended or is told.
    """

    __slots__ = (
        "_found",
        "_last_stream",
        "_watch",
        "codec",
        "leaving",
        "setup",
    )

    wire = "h2"

    output: H2Output

    def __init__(
        self, setup: H2Setup, context: ServerContext, passed_on: ProxyHeader | None = None
    ) -> None:
        output = H2Output(setup.turn)
        self.setup = setup
        self.codec: H2Codec[H2Channel] = H2Codec(
            self,
            output.gathered.append,
            H2Channel,
            setup.settings,
            make_decoder(),
            make_encoder(),
        )
        output.codec = self.codec
        self._found: list[Session] = []  # those that are still to be started
        self._last_stream = 0  # the id of the last one that was found
        self.leaving = False  # the client has been told to go elsewhere
        self._watch = Watch(context.clock.now, setup)
        StreamConnection.__init__(self, context, output, setup.times, passed_on)

    def __repr__(self) -> str:
        state = f"{self.reading.name} {self.waiting.name}"
        return f"<H2Connection {self.peer} {state} streams={len(self.codec.streams)}>"

    # Called by the transport.

    def greet(self) -> None:
        """See `StreamConnection.greet`."""
        self.output.limit_unsent()
        self.codec.start()
        self.output.flush()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.reading is not REQUESTS:
            if self.reading is DROPPED:
                self.drop(data)
            return
        output, codec = self.output, self.codec
        output.corked = True
        output.turn_left = TURN_SIZE
        if not codec.streams and (passed := self._watch.pass_time(self.context.clock.now)):
            codec.tick(passed)
        self._watch.heard()
        try:
            codec.feed(data)
        except ConnectionFault as fault:
            self._fail(fault)
            return
        if self._found:
            self._dispatch()
        output.corked = False
        output.flush()
        if output.write_paused:
            self._read_less()
        if codec.streams:
            self._last_stream = codec.ids.last
            if self.waiting is not APPLICATION:
                self.enter(APPLICATION)
        else:
            self._without_streams()

    def _without_streams(self) -> None:
        """All that has come is answered."""
        codec = self.codec
        if self.leaving:
            self._close_when_done()
        elif codec.begun or (
            self.waiting is not APPLICATION and codec.ids.last == self._last_stream
        ):
            self.arm()
        else:  # a request has come, and is answered
            self._last_stream = codec.ids.last
            self.enter_idle()

    def eof_received(self) -> bool:
        """The client has closed its sending side: it is gone, as it sends no windows any more."""
        self.ended = True
        if self.reading is not NOTHING:
            self.give_up()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is lost: end its sessions and free everything."""
        super().connection_lost(exc)
        stats, codec = self.context.stats, self.codec
        stats.h2_streams += codec.ids.opened
        stats.h2_streams_lost += len(codec.streams)
        self._lose_streams("client_gone")
        self.codec.abandon()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self.resume_reading(UNREAD)

    def _read_less(self) -> None:
        """The transport is full: read no more before the client has read a part of that."""
        if self.output.transport.get_write_buffer_size() > MOST_UNREAD:
            self.pause_reading(UNREAD)

    # Requests.

    def _dispatch(self) -> None:
        """Start the sessions that have been opened, a bounded number of them in one turn."""
        found = self._found
        self._found = found[STARTS:]
        start = self.context.start
        for session in found[:STARTS]:
            if not session.over:
                start(session)
        if self._found:
            self.context.loop.call_soon(self._dispatch_more)

    def _dispatch_more(self) -> None:
        output = self.output
        output.corked = True
        self._dispatch()
        output.corked = False
        output.flush()

    # `Sink`: called by the codec; runs no application code.

    def on_request(self, stream: H2Channel, head: RequestHead, end: bool) -> None:
        """A request begins. Raises `PeerError` when it may not."""
        context = self.context
        if end and stream.is_tunnel:
            raise PeerError(400, "WebSocket handshake that ends its stream")
        session = open_session(context, stream, head, self.peer, self.peer_reader)
        stream.session = session
        self._found.append(session)
        if context.draining and not self.leaving:
            self._go_away()

    def on_refused(
        self, stream: H2Channel, error: PeerError, head: RequestHead | None, end: bool
    ) -> None:
        """Answer a request in place of an application; see `Sink.on_refused`."""
        context, session = self.context, stream.session
        if session is not None:
            context.refuse(session, error)
            return
        context.on_refused(self.peer.client, error)
        text = error.reason.encode()
        answer = plain_head(error.status, text, error.fields)
        if head is not None and head.method == "HEAD":
            text = b""
        stream.send_head(answer, text, True)

    def on_data(self, stream: H2Channel, data: bytes) -> None:
        """A part of the body has come."""
        session = stream.session
        if session is not None:
            session.feed(data)
        else:
            self.codec.consumed(stream, len(data))

    def on_end(self, stream: H2Channel) -> None:
        """The body is complete."""
        session = stream.session
        if session is not None:
            session.feed_end()

    def on_reset(self, stream: H2Channel, code: int, reason: str) -> None:
        """The client has given a stream up, or the codec has, for a fault of the client."""
        if reason:
            self.context.stats.count_refused(reason)
        else:
            self.context.stats.count_reset("client", name_of(code))
        self._lose(stream, "client_gone")

    def on_cut(self, code: int) -> None:
        """The server has reset a stream."""
        self.context.stats.count_reset("server", name_of(code))

    def on_fault(self, reason: str) -> None:
        """The codec has reset a stream that it has told us nothing of."""
        self.context.stats.count_refused(reason)

    def on_drained(self, stream: H2Channel) -> None:
        """Nothing of the stream waits any more."""
        stream.drained()
        if stream.session is None and self.leaving:
            self._close_when_done()

    def on_ping_ack(self, payload: bytes) -> None:
        """The client is alive, as its every byte shows."""

    def on_goaway(self, code: int) -> None:
        """The client opens no more streams; it closes the connection when it likes."""

    # `Owner`: called by the channels.

    def answered(self, stream: H2Channel) -> None:
        """See `Owner.answered`."""
        self._close_when_done()

    def cut(self, stream: H2Channel, code: int, outcome: Outcome = "client_gone") -> None:
        """Reset `stream`; see `Owner.cut`."""
        self.codec.reset(stream, code)
        self._lose(stream, outcome)
        self.output.leave_soon()

    # How streams end early.

    def _lose(self, stream: H2Channel, outcome: Outcome) -> None:
        """The codec does not know `stream` any more; its place is free when its task has ended."""
        session = stream.session
        stream.lost(outcome)
        task = None if session is None else session.task
        if task is None:
            self.codec.release(stream)
        else:
            task.add_done_callback(lambda _: self.codec.release(stream))
        if self.leaving:
            self._close_when_done()

    def _lose_streams(self, outcome: Outcome) -> None:
        self._found.clear()
        for stream in list(self.codec.streams.values()):
            stream.lost(outcome)

    # The life of the connection.

    @property
    def idle(self) -> bool:
        """See `StreamConnection.idle`."""
        return self.waiting in (IDLE, APPLICATION) and not self.codec.streams and not self.leaving

    def arm(self, received: int = 0, leaving: bool = False) -> None:
        """See `StreamConnection.arm`. Streams have deadlines of their own: see `tick`."""
        running = bool(self.codec.streams)
        waiting = for_whom(
            self.waiting,
            self.reading,
            running=running,
            blocked=self.output.write_paused and not running,
            begun=self.codec.begun,
            leaving=leaving,
        )
        if waiting is not self.waiting:
            self.enter(waiting)

    def tick(self, now: float) -> None:
        """See `StreamConnection.tick`: while there are streams, this is called at each tick."""
        watch, output, codec = self._watch, self.output, self.codec
        codec.tick(watch.pass_time(now))
        output.corked = True
        for stream in list(codec.streams.values()):
            stream.tick(watch.seconds)
        output.corked = False
        unread = output.transport.get_write_buffer_size() if output.write_paused else 0
        if watch.is_unread(unread):
            self._cut_slow_reader()
            return
        verdict = watch.silence()
        if verdict is Silence.DEAD:
            self.context.stats.count_refused("ping timeout")
            self.abort("ping timeout")
            return
        if verdict is Silence.PING:
            codec.ping(PING)
        output.flush()

    def begin_drain(self) -> None:
        """The server is stopping: GOAWAY now, and the end after the streams in flight."""
        for stream in list(self.codec.streams.values()):
            if stream.session is not None:
                stream.session.connection_drains()
        self._go_away()

    def leave(self) -> None:
        """Close an idle connection, without losing a request that is on its way."""
        self._go_away()

    def _go_away(self) -> None:
        """Tell the client to open no more streams here (RFC 9113 section 6.8).

        The first GOAWAY names no stream, so that requests on their way are still answered. The
        second one comes when the client has answered a PING, or has not done so in time.
        """
        if self.leaving or self.reading is not REQUESTS:
            return
        self.leaving = True
        if self.context.draining and self.context.config.reload:
            self.codec.close()
        else:
            self.codec.drain()
            self.context.loop.call_later(GOAWAY_TIME, self._go_away_at_last)
        self.output.leave_soon()
        self._close_when_done()

    def _go_away_at_last(self) -> None:
        if self.reading is REQUESTS and self.codec.takes_streams:
            self.codec.close()
            self.output.leave_soon()
            self._close_when_done()

    def _close_when_done(self) -> None:
        """Close after the last GOAWAY, once no stream is left."""
        codec = self.codec
        if codec.takes_streams or self._found:
            return
        if not any(stream.local_open for stream in codec.streams.values()):
            self.context.loop.call_soon(self.close, True)

    def refuse(self, error: PeerError) -> None:
        """See `StreamConnection.refuse`: there are too many connections."""
        self.context.on_refused(self.peer.client, error)
        self.codec.close(NO_ERROR, error.reason)
        self.close(linger=True)

    def _fail(self, fault: ConnectionFault) -> None:
        """The client has broken the protocol, or floods us: the codec has said so in its GOAWAY."""
        status = 429 if fault.code == ENHANCE_YOUR_CALM else 400
        self.context.on_refused(self.peer.client, PeerError(status, fault.reason))
        self._lose_streams("client_gone")
        self.output.corked = False
        self.close(linger=True)

    def forget(self) -> None:
        """See `StreamConnection.forget`."""
        self.output.flush()

    def too_late(self) -> None:
        """See `StreamConnection.too_late`."""
        if self.codec.begun:
            self.context.on_refused(self.peer.client, PeerError(408, "request head timed out"))
            self.codec.close(PROTOCOL_ERROR, "request head timed out")
        else:
            self.codec.close()
        self.close(linger=False)

    def reader_gone(self) -> None:
        """See `StreamConnection.reader_gone`."""
        self._lose_streams("timeout")
