"""An HTTP/1 connection: bytes in, one exchange at a time.

`data_received` feeds the parser, then dispatches; the channel gathers what the application sends
meanwhile and sends it in one write. The connection knows neither ASGI events nor the framing of
responses.
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
from asgiserver.wire.peer import has_ended
from asgiserver.wire.waiting import (
    BODY,
    BODY_BYTES,
    DROPPED,
    NOTHING,
    REQUESTS,
    TUNNEL,
    for_whom,
)

if TYPE_CHECKING:
    from asgiserver.asgi.session import Session
    from asgiserver.context import ServerContext
    from asgiserver.h1.codecs import H1Codecs
    from asgiserver.h1.framing import H1RequestHead
    from asgiserver.http.proxy_protocol import ProxyHeader

PIPELINE_TURN = 16
"""Requests of one connection that are answered in one turn of the loop, before other connections
have their turn; benchmarks pipeline as many."""

BODY_BUFFER = 65536
"""Bytes of request body that an application may leave unread before the client has to wait."""

# Why reading is paused, one bit each: too much of a body is unread, or a next request waits.
BODY_UNREAD, NEXT_WAITS = 1, 2


class H1Connection(StreamConnection):
    """One HTTP/1 connection; `RequestSink` of its parser, `Owner` of its channel.

    Invariants: at most one session is current; the parser is fed only while no session is current,
    or with the body of the current session. Bytes that come after that body wait in the parser,
    while reading is paused.
    """

    __slots__ = ("_channel", "_make_http2", "_parser")

    wire = "http/1.1"

    def __init__(
        self, codecs: H1Codecs, context: ServerContext, passed_on: ProxyHeader | None = None
    ) -> None:
        self._parser = parser = RequestParser(self, codecs.reader)
        self._make_http2 = codecs.http2
        self._channel = channel = H1Channel(codecs, parser, self)
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
        else:  # a pipelined request waits until those before it are answered and the client reads
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
            # The client may still read: `nc -N` and shutdown(SHUT_WR) get their answers. TLS 1.2
            # has no half-closed connections.
            self.arm()
            return True
        if self.reading is not NOTHING:
            self.give_up()
        return False

    def _may_be_answered(self, session: Session | None) -> bool:
        if self.reading is not REQUESTS:
            return False
        if session is None:
            return True  # pipelined requests wait until the client reads the earlier answers
        # A request whose body has not ended will never be complete.
        return session.may_half_close and not self._parser.in_body

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is lost: end its session and free everything."""
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
        """Run the request just parsed, and pipelined ones as long as each ends at once."""
        channel, parser = self._channel, self._parser
        channel.turn_left = TURN_SIZE
        channel.corked = True
        self.context.start(session)
        if parser.rest:
            self._dispatch_pipelined()
        channel.corked = False
        if channel.gathered:
            channel.turn.add(channel)
        if (
            channel.session is not None
            or self.reading is not REQUESTS
            or self.paused
            or self.ended
            or channel.write_paused
            or parser.rest
            or parser.in_body
        ):
            self._go_on()
        else:  # HOT 1 %: most requests end here, and this is `arm`
            self.enter_idle()

    def _dispatch_parsed(self) -> None:
        """Run the request that exceeded `PIPELINE_TURN` and had to wait for this turn."""
        session = self._channel.session
        if session is not None:
            self._dispatch(session)

    def _go_on(self) -> None:
        """Go on after a turn, if not everything that had come is answered."""
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
        """Run the pipelined requests that have come, a bounded number of them in one turn."""
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
        self.context.loop.call_soon(self._dispatch_parsed)  # other connections have their turn

    def _takes_request(self) -> bool:
        channel = self._channel
        return channel.session is None and self.reading is REQUESTS and not channel.write_paused

    def _resume_next(self) -> None:
        """Read on, unless the client does not read or bytes wait for the current session to end.

        Without a session the bytes that wait may be the first half of the next request.
        """
        channel = self._channel
        if not channel.write_paused and (channel.session is None or not self._parser.rest):
            self.resume_reading(NEXT_WAITS)

    def _next_request(self) -> None:
        """Go on with the bytes that were kept, if no session is current and the client reads."""
        if self.reading is not REQUESTS or self._channel.session is not None:
            return
        if self._takes_request():
            self.data_received(b"")
        if self.paused:
            self._resume_next()
        if self.ended:
            self._end_of_input()

    def _end_of_input(self) -> None:
        """The client sends no more: close, unless there is still something to answer."""
        if self._channel.write_paused and self._parser.rest:
            return
        if self.reading is REQUESTS and self._channel.session is None:
            try:
                self._parser.feed_eof()
            except PeerError as error:
                self.refuse(error)
            else:
                self.close(linger=False)

    # `RequestSink`: called by the parser; runs no application code.

    def on_preface(self, data: bytes) -> bool:
        """The client speaks HTTP/2, which it may from its first byte and without TLS.

        With TLS it has to agree on that first (RFC 9113 sections 3.2 and 3.3).
        """
        with_tls = self.output.transport.get_extra_info("sslcontext") is not None
        if self._make_http2 is None or with_tls or self._channel.has_served:
            return False
        connection = self._make_http2(self.context, None)
        self.reading = NOTHING
        self._parser.close()
        del self._channel.owner
        connection.take_over(self, data)
        return True

    def on_request(self, head: H1RequestHead) -> None:
        """A request begins. Raises `PeerError` when it may not."""
        context, channel = self.context, self._channel
        channel.is_old = head.http_version == "1.0"
        channel.keep_alive = head.keep_alive
        if context.draining:
            channel.keep_alive = False
        channel.session = open_session(context, channel, head, self.peer, self.peer_reader)

    def on_body(self, data: bytes) -> None:
        """A part of the body has come; it is dropped when the response is complete already."""
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
        elif self._parser.rest:  # the request was answered already, and the next one has come
            self.context.loop.call_soon(self._next_request)

    # `Owner`: called by the channel.

    def tunnel(self) -> None:
        """Switch protocols; bytes that came after the upgrade request belong to the new one."""
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
        """The response is complete, in a later turn of the loop than its request came."""
        parser = self._parser
        if self.paused or self.ended or self._channel.write_paused or parser.in_body or parser.rest:
            self._discard_body()
            if parser.rest:
                self.context.loop.call_soon(self._next_request)
            elif self.ended:
                self._end_of_input()
            self.arm()
        else:  # HOT 1 %: this is what `arm` would find
            self.enter_idle()

    def _discard_body(self) -> None:
        """Read and drop the rest of the body of a request that is answered."""
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
            self.close(linger=True)  # all is answered; bytes may be on their way in both directions
        else:
            self.leave()

    def refuse(self, error: PeerError) -> None:
        """See `StreamConnection.refuse`."""
        channel = self._channel
        channel.keep_alive = False
        if channel.session is not None:
            self.context.refuse(channel.session, error)
            return
        self.context.on_refused(self.peer.client, error)
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
            # While nothing is read, its end is not seen: a pipelined request, an unread body.
            if self.ended or (self.paused and has_ended(self.output.transport)):
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
