"""An HTTP/1 connection: bytes in, one exchange at a time.

`data_received` feeds the parser, then dispatches; what the application sends meanwhile is gathered
by the channel and leaves in one write. It knows nothing of ASGI events, nor of how a response is
framed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.asgi.opening import open_session
from asgiserver.asgi.response import plain_head
from asgiserver.errors import PeerError
from asgiserver.h1.channel import DISCARD_SIZE, H1Channel
from asgiserver.h1.parser import RequestParser
from asgiserver.wire.connection import StreamConnection
from asgiserver.wire.output import TURN_SIZE
from asgiserver.wire.waiting import (
    BODY,
    BODY_BYTES,
    DROPPED,
    IDLE,
    NOTHING,
    REQUESTS,
    TUNNEL,
    for_whom,
)

if TYPE_CHECKING:
    from asgiserver.asgi.session import Session
    from asgiserver.context import ServerContext
    from asgiserver.h1.codecs import H1Codecs
    from asgiserver.http.message import RequestHead
    from asgiserver.http.proxy_protocol import ProxyHeader

PIPELINE_TURN = 16
"""Requests answered in one turn of the loop before others have theirs; what benchmarks pipeline."""

BODY_BUFFER = 65536
"""Bytes of request body that an application may leave unread before the client has to wait."""

# Why reading is paused, one bit each: of a body too much is unread; requests wait for their turn.
BODY_UNREAD, NEXT_WAITS = 1, 2


class H1Connection(StreamConnection):
    """One HTTP/1 connection; `RequestSink` of its parser, `Owner` of its channel.

    Invariants: at most one session is current; the parser is fed only while there is none, or with
    the body of the current one. Bytes that come after it wait in the parser, with reading paused.
    """

    __slots__ = ("_channel", "_parser")

    def __init__(
        self, codecs: H1Codecs, context: ServerContext, passed_on: ProxyHeader | None = None
    ) -> None:
        self._parser = parser = RequestParser(self, codecs.reader)
        self._channel = channel = H1Channel(context.loop, codecs.encoder, parser, self)
        StreamConnection.__init__(self, context, channel, codecs.times, passed_on)

    def __repr__(self) -> str:
        state = f"{self.reading.name} {self.waiting.name}"
        return f"<H1Connection {self.peer} {state} {self._channel.session} {self._parser}>"

    # Called by the transport.

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        channel = self._channel
        if channel.session is None and self.reading is REQUESTS and not channel.write_paused:
            try:
                self._parser.feed(data)
            except PeerError as error:
                self.refuse(error)
            else:
                session = self._channel.session
                if session is not None:
                    self._dispatch(session)
                else:
                    self.arm(len(data))
        elif self.reading is TUNNEL:
            session = channel.session
            if session is not None:
                session.feed(data)
                if session.buffered > BODY_BUFFER:
                    self.pause_reading(BODY_UNREAD)
        elif self.reading is not REQUESTS:
            if self.reading is DROPPED:
                self.drop(data)
        elif self._parser.in_body:
            self._feed_body(data)
        else:  # pipelined: it waits its turn, and for the answers before it to be read
            self._parser.hold(data)
            self.pause_reading(NEXT_WAITS)

    def _feed_body(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except PeerError as error:
            self.refuse(error)
        else:
            self.arm(len(data))

    def eof_received(self) -> bool:
        """The client has closed its sending side; true keeps ours open."""
        self.ended = True
        if self.reading is NOTHING:
            return False
        session = self._channel.session
        if self.reading is REQUESTS and session is None:
            self._next_request()
            session = self._channel.session
        if self.reading is TUNNEL and session is not None:
            session.feed_end()
        elif self._may_be_answered(session) and self.output.transport.can_write_eof():
            # It may still read: `nc -N` and shutdown(SHUT_WR) get their answers. TLS 1.2 cannot.
            self.arm()
            return True
        if self.reading is not NOTHING:
            self.give_up()
        return False

    def _may_be_answered(self, session: Session | None) -> bool:
        if self.reading is not REQUESTS:
            return False
        if session is None:
            return True  # requests wait for the answers before them to be read
        # A request in a body will never be complete; nobody opens a WebSocket only to listen.
        return session.may_half_close and not self._parser.in_body

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; free everything."""
        super().connection_lost(exc)
        self._parser.close()
        channel = self._channel
        del channel.owner
        if channel.session is not None:
            session, channel.session = channel.session, None
            session.disconnect("client_gone")

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self._channel.session is None and not self._parser.in_body:
            self.context.loop.call_soon(self._next_request)

    # Requests.

    def _dispatch(self, session: Session) -> None:
        """Run the request just parsed, and those after it as long as they end at once."""
        channel = self._channel
        channel.turn_left = TURN_SIZE
        channel.corked = True
        self.context.start(session)
        if self._parser.rest:
            self._dispatch_pipelined()
        channel.corked = False
        channel.flush()
        if (
            channel.session is not None
            or self.reading is not REQUESTS
            or self.paused
            or self.ended
            or channel.write_paused
            or self._parser.rest
            or self._parser.in_body
        ):
            self._go_on()
        else:  # HOT 1 %: most requests end here, and this is `arm`
            self.waiting = IDLE
            self.deadline = self.context.idle_deadline

    def _dispatch_parsed(self) -> None:
        """Run the request that was one too many for its turn."""
        session = self._channel.session
        if session is not None:
            self._dispatch(session)

    def _go_on(self) -> None:
        """What there is to do after a turn, unless all that was there is answered."""
        if self.reading is NOTHING:
            return
        if self._channel.session is None and self.reading is REQUESTS:
            self._discard_body()
        if self.paused:
            self._resume_next()
        if self.ended:
            self._end_of_input()
        self.arm()

    def _dispatch_pipelined(self) -> None:
        """Go on with the requests that have come after one, a bounded number in a turn."""
        channel, parser = self._channel, self._parser
        for turn in range(PIPELINE_TURN):
            if not parser.rest or not self._takes_request():
                return
            try:
                parser.feed(b"")
            except PeerError as error:
                self.refuse(error)
                return
            session = channel.session
            if session is None:
                return
            if turn < PIPELINE_TURN - 1:
                self.context.start(session)
        self.context.loop.call_soon(self._dispatch_parsed)  # the others' turn

    def _takes_request(self) -> bool:
        channel = self._channel
        return channel.session is None and self.reading is REQUESTS and not channel.write_paused

    def _resume_next(self) -> None:
        """Read on, unless what has been read waits: it may be half of the next request."""
        channel = self._channel
        if not channel.write_paused and (channel.session is None or not self._parser.rest):
            self.resume_reading(NEXT_WAITS)

    def _next_request(self) -> None:
        """Go on with what has been kept, once there is no session and the client reads."""
        if self.reading is not REQUESTS or self._channel.session is not None:
            return
        if self._takes_request():
            self.data_received(b"")
        if self.paused:
            self._resume_next()
        if self.ended:
            self._end_of_input()

    def _end_of_input(self) -> None:
        """Nothing comes any more: unless there is something to answer yet, close."""
        if self._channel.write_paused and self._parser.rest:
            return
        if self.reading is REQUESTS and self._channel.session is None:
            try:
                self._parser.feed_eof()
            except PeerError as error:
                self.refuse(error)
            else:
                self.close(linger=False)

    # `RequestSink`: called by the parser, runs no application code.

    def on_request(self, head: RequestHead) -> None:
        """A request begins. Raises `PeerError` when it may not."""
        context, channel = self.context, self._channel
        channel.is_old = head.http_version == "1.0"
        channel.keep_alive = head.framing.keep_alive and not context.draining
        channel.session = open_session(context, channel, head, self.peer, self.peer_reader)

    def on_body(self, data: bytes) -> None:
        """A part of the body; dropped when the response is complete already."""
        session = self._channel.session
        if session is not None:
            session.feed(data)
            if session.buffered > BODY_BUFFER:
                self.pause_reading(BODY_UNREAD)
            return
        self.drop_left -= len(data)
        if self.drop_left < 0:
            self.close(linger=True)

    def on_request_end(self) -> None:
        """The body is complete."""
        session = self._channel.session
        if session is not None:
            session.feed_end()
        elif self._parser.rest:  # of a request answered already: on with the next
            self.context.loop.call_soon(self._next_request)

    # `Owner`: called by the channel.

    def tunnel(self) -> None:
        """What has come after the request for an upgrade is the other protocol's already."""
        self.reading = TUNNEL
        rest = self._parser.take_rest()
        self._parser.stop()
        self.resume_reading(NEXT_WAITS)
        if rest:
            self.data_received(rest)

    def taken(self, session: Session) -> None:
        """The application has taken what was buffered: read on."""
        if self.paused & BODY_UNREAD and session.buffered <= BODY_BUFFER:
            self.resume_reading(BODY_UNREAD)
            self.arm()

    def answered(self) -> None:
        """The response is complete, some time after its request came."""
        parser = self._parser
        if self.paused or self.ended or self._channel.write_paused or parser.in_body or parser.rest:
            self._discard_body()
            if parser.rest:
                self.context.loop.call_soon(self._next_request)
            elif self.ended:
                self._end_of_input()
            self.arm()
        else:  # HOT 1 %: one call less; `arm` finds the same
            self.enter(IDLE)

    def _discard_body(self) -> None:
        """The rest of the body of a request that is answered is read and dropped."""
        self.drop_left = DISCARD_SIZE
        if self.paused & BODY_UNREAD:
            self.resume_reading(BODY_UNREAD)

    # The life of the connection.

    def arm(self, received: int = 0, leaving: bool = False) -> None:
        """See `StreamConnection.arm`."""
        channel, parser = self._channel, self._parser
        session = channel.session
        reading = self.reading
        owed = False
        if reading is REQUESTS and parser.in_body:
            reading = BODY_BYTES
            owed = self.paused != 0 or (session is not None and session.continue_wanted)
        waiting = for_whom(
            self.waiting,
            reading,
            running=session is not None,
            blocked=channel.write_paused,
            owed=owed,
            ended=self.ended,
            unsent=self.ended and session is not None and session.unsent,
            begun=parser.rest != b"",
            leaving=leaving,
        )
        if waiting is not self.waiting:
            self.enter(waiting)
        elif waiting is BODY:
            self.credit(received)

    def begin_drain(self) -> None:
        """The server is stopping: end after the response in flight."""
        session = self._channel.session
        self._channel.keep_alive = False
        if session is not None:
            session.connection_drains()
        elif self.waiting is BODY or (self._channel.write_paused and not self._parser.rest):
            self.close(linger=True)  # answered, but for what is on its way in either direction
        else:
            self.leave()

    def refuse(self, error: PeerError) -> None:
        """See `StreamConnection.refuse`."""
        channel = self._channel
        channel.keep_alive = False
        if channel.session is not None:
            self.context.refuse(channel.session, error)
            return
        self.context.refused(self.peer.client, error)
        if self.reading is REQUESTS:
            if not self._parser.in_body:
                text = error.reason.encode()
                channel.send_head(plain_head(error.status, text, error.fields), text, True)
            self.close(linger=True)

    def forget(self) -> None:
        """See `StreamConnection.forget`."""
        self._channel.flush()
        self._parser.stop()
        self._channel.session = None

    def tick(self, now: float) -> None:
        """See `StreamConnection.tick`."""
        session = self._channel.session
        if session is not None:
            session.on_tick(now)
            if self.ended:
                session.hang_up("client_gone")

    def too_late(self) -> None:
        """See `StreamConnection.too_late`."""
        if self._parser.in_body:
            self.refuse(PeerError(408, "request body timed out"))
        elif self._parser.rest:
            self._parser.stop()
            self.refuse(PeerError(408, "request head timed out"))
        else:
            self.close(linger=False)

    def reader_gone(self) -> None:
        """See `StreamConnection.reader_gone`."""
        session = self._channel.session
        if session is not None:
            session.disconnect("timeout")
