"""An HTTP/1 connection: an asyncio transport on one side, one exchange at a time on the other.

`data_received` feeds the parser, then dispatches; what the application sends meanwhile is gathered
and leaves in one write. The connection is the `Channel` of its current session. It knows nothing of
ASGI events.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from asgiserver.asgi.exchange import Exchange
from asgiserver.asgi.response import plain_head
from asgiserver.asgi.scope import http_scope, websocket_scope
from asgiserver.errors import PeerError
from asgiserver.h1.encoder import HeadEncoder, encode_fields
from asgiserver.h1.parser import RequestParser
from asgiserver.h1.response_writer import DISCARD_SIZE, ResponseWriter
from asgiserver.http.message import PLAIN
from asgiserver.wire.output import TURN_SIZE
from asgiserver.wire.peer import peer_of
from asgiserver.wire.sendfile import send_file

if TYPE_CHECKING:
    import asyncio

    from asgiserver.asgi.websocket import WebSocketSession
    from asgiserver.context import PeerReader, ServerContext
    from asgiserver.h1.head_reader import HeadReader
    from asgiserver.http.message import RequestHead
    from asgiserver.http.peer import Peer
    from asgiserver.http.proxy_protocol import ProxyHeader
    from asgiserver.types import Fields

logger = logging.getLogger("asgiserver")

PIPELINE_TURN = 16
"""Requests answered in one turn of the loop before others have theirs; what benchmarks pipeline."""

BODY_BUFFER = 65536
"""Bytes of request body that an application may leave unread before the client has to wait."""

TICK_TIME = 1.0
"""Seconds between two looks at a request that is running. When the client has closed its sending
side meanwhile, an application that listens hears `http.disconnect`: it may have left, or it may
wait for its answer."""

MIN_BODY_RATE = 240
"""Bytes a second at which a client has to send a body, on average over --timeout-request-body: each
byte wins it that much time, and it never has more than the whole timeout left. So one byte now and
then holds a connection no longer than silence does."""

LINGER_TIME = 2.0
LINGER_SIZE = 16 << 20
"""Seconds and bytes that a client may go on sending after an answer that ends the connection.
Closing at once would reset it, which can destroy the answer (RFC 9112 section 9.6)."""

TUNNEL_LINGER_SIZE = 1 << 20
"""The same for a tunnel: whoever speaks a protocol with a farewell reads while it sends."""

FIRST_REQUEST_TIME = 0.5
"""Seconds that a connection without any request so far has for its first one when the server stops:
it may have been accepted a moment ago."""

DRAIN_LINGER_TIME = 0.25
"""The same for an idle connection while the server stops: time for what is on its way."""

# Modes: what arriving bytes are.
_HTTP, _TUNNEL, _LINGER, _CLOSED = range(4)
_MODES = ("http", "tunnel", "linger", "closed")
# Why reading is paused, one bit each.
_BODY, _BEHIND = 1, 2
# What the connection is about, which is what its deadline means; READY has none of its own.
_HEAD, _IDLE, _UPLOAD, _STALL, _READY, _RUNNING, _HALF_CLOSED, _TICKING = range(8)


class Wire:
    """What the HTTP/1 connections of one server share."""

    __slots__ = ("encoder", "reader")

    def __init__(self, reader: HeadReader, encoder: HeadEncoder) -> None:
        self.reader = reader
        self.encoder = encoder


class H1Connection(ResponseWriter):
    """One HTTP/1 connection; `RequestSink` of its parser, `Channel` of its session.

    Invariants: at most one session is current; the parser is fed only while there is none, or with
    the body of the current one. Bytes that come behind it wait in the parser, with reading paused.
    """

    __slots__ = (
        "_context",
        "_eof",
        "_forwarded",
        "_left_over",
        "_mode",
        "_passed_on",
        "_paused",
        "_peer",
        "_phase",
        "_unwritten",
        "deadline",
    )

    _peer: Peer

    def __init__(
        self, context: ServerContext, wire: Wire, passed_on: ProxyHeader | None = None
    ) -> None:
        super().__init__(context.loop, wire.encoder)
        self._context = context
        self._parser = RequestParser(self, wire.reader)
        self._mode = _HTTP
        self._paused = 0
        self._eof = False
        self._left_over = 0  # bytes dropped: of an unread body, or while lingering
        self._unwritten = 0  # bytes in the transport's buffer when the deadline was set
        self._phase = _HEAD
        self._passed_on = passed_on  # what a balancer said before the first byte
        self._forwarded: PeerReader | None = None  # reads what proxies say of a request
        self.deadline = math.inf

    def __repr__(self) -> str:
        peer = getattr(self, "_peer", None)
        return f"<H1Connection {peer} {_MODES[self._mode]} {self._session} {self._parser}>"

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the first request head has to come in time."""
        self.transport = transport  # type: ignore[assignment] # a stream transport it is
        context = self._context
        context.stats.connections += 1
        context.connections.add(self)
        self._peer = peer = peer_of(transport, context.config.root_path, self._passed_on)
        if context.tls_extension is not None:
            peer.tls = context.tls_extension(transport.get_extra_info("ssl_object"))
        if context.proxy is not None:
            self._forwarded = context.proxy(peer)
        self.deadline = context.clock.now + context.config.timeout_request_head
        if context.admit is not None:
            try:
                if not context.admit(self):
                    self.reset()
            except PeerError as error:
                self._refuse(error)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._mode != _HTTP:
            session = self._session
            if self._mode == _TUNNEL and session is not None:
                session.feed(data)
                if session.buffered > BODY_BUFFER:
                    self._pause_reading(_BODY)
            elif self._mode == _LINGER:
                self._linger_on(data)
        elif (self._session is None and not self.write_paused) or self._parser.in_body:
            try:
                self._parser.feed(data)
            except PeerError as error:
                self._refuse(error)
            else:
                if self._phase == _READY:
                    self._dispatch()
                else:
                    if self._phase == _UPLOAD:
                        self.deadline += len(data) / MIN_BODY_RATE
                    self._arm()
        else:  # pipelined: it waits its turn, and for the answers before it to be read
            self._parser.hold(data)
            self._pause_reading(_BEHIND)

    def eof_received(self) -> bool:
        """The client has closed its sending side; true keeps ours open."""
        self._eof = True
        if self._mode == _HTTP and self._session is None:
            self._next_request()
            self._end_of_input()
        session = self._session
        if self._mode == _CLOSED:
            return False
        if session is None:  # requests may wait for the answers before them to be read
            return self._mode == _HTTP and self.transport.can_write_eof()
        if self._mode == _TUNNEL:
            session.feed_end()
            return False
        if not isinstance(session, Exchange):
            return False  # nobody opens a WebSocket only to listen
        if self._parser.in_body:
            return False  # the request will never be complete
        # It may still read: `nc -N` and shutdown(SHUT_WR) get their answers. TLS 1.2 cannot.
        self._arm()
        return self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; free everything."""
        super().connection_lost(exc)
        self._set_closed()
        self.deadline = math.inf
        self._context.lost(self)
        self._parser.close()
        session, self._session = self._session, None
        if session is not None:
            session.disconnect("client_gone")

    def pause_writing(self) -> None:
        """The client reads too slowly; it has until the deadline to read something."""
        super().pause_writing()
        self._arm()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._arm()
        if self._session is None and not self._parser.in_body:
            self._loop.call_soon(self._next_request)

    # Requests.

    def _dispatch(self) -> None:
        """Run the request just parsed, and those behind it as long as they end at once."""
        session = self._session
        if session is None:
            return
        self._phase = _RUNNING
        self._turn_left = TURN_SIZE
        self.corked = True
        self._context.start(session)
        if self._parser.rest:
            self._dispatch_pipelined()
        self.corked = False
        self.flush()
        if self._phase != _IDLE or self._paused or self._eof or self._parser.rest:
            if self._mode == _CLOSED:
                return
            if self._paused:
                self._resume_behind()
            if self._eof:
                self._end_of_input()
            self._arm()

    def _dispatch_pipelined(self) -> None:
        """Go on with the requests that have come behind one, a bounded number in a turn."""
        for turn in range(PIPELINE_TURN):
            session = self._session
            waiting = session is not None or self._mode != _HTTP or self.write_paused
            if waiting or not self._parser.rest:
                return
            try:
                self._parser.feed(b"")
            except PeerError as error:
                self._refuse(error)
                return
            session = self._session
            if session is None or self._phase != _READY:
                return
            if turn < PIPELINE_TURN - 1:
                self._phase = _RUNNING
                self._context.start(session)
        self._loop.call_soon(self._dispatch)  # the others' turn

    def _resume_behind(self) -> None:
        """Read on, unless what has been read waits: it may be half of the next request."""
        if not self.write_paused and (self._session is None or not self._parser.rest):
            self._resume_reading(_BEHIND)

    def _end_of_input(self) -> None:
        """Nothing comes any more: unless there is something to answer yet, close."""
        if self.write_paused and self._parser.rest:
            return
        if self._mode == _HTTP and self._session is None:
            try:
                self._parser.feed_eof()
            except PeerError as error:
                self._refuse(error)
            else:
                self._close(linger=False)

    def _next_request(self) -> None:
        if self._mode == _HTTP and self._session is None:
            self.data_received(b"")
            if self._paused:
                self._resume_behind()
            if self._eof:
                self._end_of_input()

    def _refuse(self, error: PeerError) -> None:
        """The client's fault: answer if that is still possible, and close."""
        self._keep_alive = False
        session = self._session
        if isinstance(session, Exchange):
            self._context.refuse(session, error)
            return
        self._context.refused(self._peer.client, error)
        if self._mode == _HTTP:
            if not self._parser.in_body:
                text = error.reason.encode()
                self.send_head(plain_head(error.status, text, error.fields), text, True)
            self._close(linger=True)

    # `RequestSink`: called by the parser, runs no application code.

    def on_request(self, head: RequestHead) -> None:
        """A request begins. Raises `PeerError` when it may not."""
        context = self._context
        context.stats.requests += 1
        self._request = head
        self._is_old = False
        framing = head.framing
        self._keep_alive = framing.keep_alive and not context.draining
        peer = self._peer
        if framing is not PLAIN:
            self._is_old = head.http_version == "1.0"
            if framing.forwarded:
                peer = self._forwarded_peer(head)
            if framing.upgrade == b"websocket" and context.config.ws != "none":
                self._session = self._make_websocket(head, peer)
                self._phase = _READY
                return
        self._session = Exchange(context, self, head, http_scope(context, head, peer))
        self._phase = _READY

    def _forwarded_peer(self, head: RequestHead) -> Peer:
        """Both ends of a request that may have come through proxies. Raises `PeerError`."""
        if self._forwarded is None:
            return self._peer
        return self._forwarded(head, self._peer) or self._peer

    def _make_websocket(self, head: RequestHead, peer: Peer) -> WebSocketSession:
        """The session of an upgrade request (RFC 6455). Raises `PeerError`."""
        from asgiserver.asgi.websocket import WebSocketSession
        from asgiserver.ws.handshake import read_offer

        context = self._context
        offer = read_offer(head)
        scope = websocket_scope(context, head, peer, offer.subprotocols)
        return WebSocketSession(context, self, head, scope, offer)

    def on_body(self, data: bytes) -> None:
        """A part of the body; dropped when the response is complete already."""
        session = self._session
        if session is not None:
            session.feed(data)
            if session.buffered > BODY_BUFFER:
                self._pause_reading(_BODY)
            return
        self._left_over += len(data)
        if self._left_over > DISCARD_SIZE:
            self._close(linger=True)

    def on_request_end(self) -> None:
        """The body is complete."""
        session = self._session
        if session is not None:
            session.feed_end()
        elif self._parser.rest:  # of a request answered already: on with the next
            self._loop.call_soon(self._next_request)

    # `Channel`: called by the session.

    def send_informational(self, status: int, fields: Fields) -> None:
        """An interim response; behind a 100 the client has to go on."""
        super().send_informational(status, fields)
        self._arm()

    async def send_file(self, fd: int, offset: int, count: int) -> None:
        """A part of the body from a file; see `Channel.send_file`."""
        session = self._session
        if self._chunked:
            self.gathered.append(b"%x\r\n" % count)
        await send_file(self, fd, offset, count)
        if self.transport.is_closing():
            if session is not None:
                session.disconnect("client_gone")
        elif self._chunked:
            self.gathered.append(b"\r\n")  # leaves with what comes next

    def open_tunnel(self, fields: Fields) -> None:
        """Switch protocols (RFC 9110 section 15.2.2)."""
        self.gathered.append(self._encoder.start(101) + encode_fields(fields))
        self.write(b"\r\n")
        self._mode = _TUNNEL
        rest = self._parser.take_rest()
        self._parser.stop()
        self._resume_reading(_BEHIND)
        if rest:
            self.data_received(rest)

    def send_tunnel(self, data: bytes, more: bytes = b"") -> None:
        """Raw bytes through the tunnel, in one piece or in two."""
        if more:
            self.write_pair(data, more)
        else:
            self.write(data)

    def consumed(self, size: int) -> None:
        """The application has taken what was buffered: read on."""
        session = self._session
        if self._paused & _BODY and (session is None or session.buffered <= BODY_BUFFER):
            self._resume_reading(_BODY)
            self._arm()

    def finish(self) -> None:
        """The response is complete: take the next request, or close."""
        self._session = None
        if not self._keep_alive or self._mode != _HTTP:
            self._close(linger=not self._parser.clean)
            return
        if self.corked and not (self._paused or self.write_paused or self._parser.in_body):
            # The dispatcher goes on; most requests end here.
            self._phase = _IDLE
            self.deadline = self._context.idle_deadline
            return
        if self._paused & _BODY:
            self._resume_reading(_BODY)
        if not self.corked:
            if self._parser.rest and not self._parser.in_body:
                self._loop.call_soon(self._next_request)
            elif self._eof:
                self._end_of_input()
        self._arm()

    def abort(self, reason: str) -> None:
        """Cut the connection: the client must not take what it has for the whole response."""
        self.flush()
        self._set_closed()
        if self._is_old:  # the end of the connection may be the end of the body
            self.reset()
        else:
            self.transport.abort()

    # The life of the connection.

    @property
    def idle(self) -> bool:
        """Whether it waits for a next request, and nothing of that has come yet."""
        return self._mode == _HTTP and self._phase == _IDLE and self._session is None

    def begin_drain(self) -> None:
        """The server is stopping: end after the response in flight."""
        session = self._session
        if isinstance(session, Exchange):
            self._keep_alive = False
        elif session is not None:
            session.begin_drain()
        elif self._mode == _HTTP:
            self._close_if_idle()

    def on_deadline(self, now: float) -> None:
        """The time to do something is over; called by the clock."""
        self.deadline = math.inf
        session = self._session
        if self._mode == _LINGER:
            self._end_linger()
        elif self._phase == _STALL:
            self._end_stall()
        elif self._phase == _IDLE:
            self._close_if_idle()
        elif self._phase == _UPLOAD:
            self._refuse(PeerError(408, "request body timed out"))
        elif self._phase == _HALF_CLOSED and isinstance(session, Exchange):
            session.on_tick(now)
            session.hang_up("client_gone")
            self._arm()
        elif self._phase == _TICKING and session is not None:
            session.on_tick(now)
            self._arm()
        elif self._parser.rest:
            self._parser.stop()
            self._refuse(PeerError(408, "request head timed out"))
        else:
            self._close(linger=False)

    def _arm(self) -> None:
        """Set the deadline for what the connection now waits for."""
        now = self._context.clock.now
        config = self._context.config
        session = self._session
        if self.write_paused:
            if self._phase == _STALL:
                return  # sending does not excuse from reading
            limit = config.ws_send_timeout if self._mode == _TUNNEL else config.timeout_write
            self._unwritten = self.transport.get_write_buffer_size()
            self._phase, self.deadline = _STALL, now + limit
        elif self._mode == _LINGER:
            self.deadline = now + LINGER_TIME
        elif session is not None and not isinstance(session, Exchange):
            self._phase, self.deadline = _TICKING, now
        elif self._mode == _CLOSED:
            return
        elif self._parser.in_body:
            self._arm_upload(now + config.timeout_request_body)
        elif session is not None:
            self._phase = _HALF_CLOSED if self._eof else _TICKING
            self.deadline = now + TICK_TIME
            if self._eof and session.unsent:  # a whole second: the clock may be one behind
                self.deadline += TICK_TIME
        elif self._phase not in (_HEAD, _IDLE):  # an empty line wins no time
            self._phase, self.deadline = _IDLE, self._context.idle_deadline
        if self._phase == _IDLE and self._parser.rest:
            # Absolute, as at the beginning: neither a byte nor an empty line wins more time.
            self._phase, self.deadline = _HEAD, now + config.timeout_request_head

    def _arm_upload(self, limit: float) -> None:
        """More of a body has to come by `limit`, or sooner when it has come too slowly so far."""
        session = self._session
        if self._paused or (isinstance(session, Exchange) and session.continue_wanted):
            self._phase, self.deadline = _RUNNING, math.inf  # it waits for us
        else:
            if self._phase == _UPLOAD:
                limit = min(limit, self.deadline)
            self._phase, self.deadline = _UPLOAD, limit

    def _end_stall(self) -> None:
        """The client has not read for long, or only slowly."""
        if self.transport.get_write_buffer_size() < self._unwritten:
            self._phase = _RUNNING
            self._arm()
            return
        self._context.stats.count_refused("write timeout")
        if self._session is not None:
            self._session.disconnect("timeout")
        self.abort("write timeout")

    def _close_if_idle(self) -> None:
        """Close, unless a request is there already, still unread.

        Two turns of the loop: the first may have looked for input before the deadline passed. What
        is on its way after that finds our side closed in good order, not a reset.
        """
        last = self._request
        self._phase, self.deadline = _RUNNING, math.inf
        # With --reload the next worker waits for this end: no time for spare connections then.
        patient = self._context.draining and not self._context.config.reload

        def close() -> None:
            idle = self._session is None and not self._parser.rest
            if self._mode == _HTTP and idle and self._request is last:
                self._close(linger=patient or not self._context.draining)
                if patient:
                    self._loop.call_later(DRAIN_LINGER_TIME, self._end_linger)

        if last is None and patient:
            self._loop.call_later(FIRST_REQUEST_TIME, close)
        else:
            self._loop.call_soon(self._loop.call_soon, close)

    def _close(self, linger: bool) -> None:
        """Close after what has been written; `linger` when the client may still be sending."""
        if self._mode == _CLOSED:
            return
        self.flush()
        self._parser.stop()
        self._session = None
        if not linger or self._eof:
            self._end_linger()
            return
        self._left_over = LINGER_SIZE - TUNNEL_LINGER_SIZE if self._mode == _TUNNEL else 0
        self._mode = _LINGER
        self._context.stats.lingering += 1
        self._phase, self.deadline = _RUNNING, self._context.clock.now + LINGER_TIME
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._resume_reading(self._paused)

    def _set_closed(self) -> None:
        if self._mode == _LINGER:
            self._context.stats.lingering -= 1
        self._mode = _CLOSED

    def _end_linger(self) -> None:
        self._set_closed()
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._unwritten = self.transport.get_write_buffer_size()
            self._phase = _STALL
            self.deadline = self._context.clock.now + self._context.config.timeout_write

    def _linger_on(self, data: bytes) -> None:
        """Bytes behind the end are dropped, a bounded number of them."""
        self._left_over += len(data)
        if self._left_over > LINGER_SIZE:
            self._end_linger()

    def _pause_reading(self, why: int) -> None:
        if not self._paused and self._mode <= _TUNNEL:
            self.transport.pause_reading()
        self._paused |= why

    def _resume_reading(self, why: int) -> None:
        if self._paused:
            self._paused &= ~why
            if not self._paused and self._mode != _CLOSED:
                self.transport.resume_reading()
