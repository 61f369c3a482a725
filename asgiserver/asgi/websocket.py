"""One WebSocket as an ASGI application sees it, on every wire (ASGI www 2.5).

The session turns messages into events, and does the closing handshake and keep-alive. It does not
know whether its frames travel over HTTP/1.1 or HTTP/2, nor how they are encoded.

==========  =============  ==========  ==============  ============  ==========  ===========
State       accept         send        close           app returns   app raises  peer's close
==========  =============  ==========  ==============  ============  ==========  ===========
CONNECTING  -> OPEN        error       403, -> CLOSED  500, log      500, log    -
DENYING     error          error       error           cut, log      cut, log    -
OPEN        error          frame       -> CLOSING      1000          1011, log   -> CLOSED
CLOSING     `ClientDisconnected`, quiet                -             log only    -> CLOSED
CLOSED      `ClientDisconnected`, quiet                -             log only    -
==========  =============  ==========  ==============  ============  ==========  ===========

DENYING is the denial response (``websocket.http.response``). A peer that is lost makes any state
CLOSED. The application gets one ``websocket.disconnect``, after all messages received before it.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from asgiserver.asgi.ending import Act, Stage, Way
from asgiserver.asgi.heartbeat import Heartbeat
from asgiserver.asgi.inbox import Inbox
from asgiserver.asgi.response import Response
from asgiserver.asgi.session import Session
from asgiserver.errors import ApplicationError, ClientDisconnected
from asgiserver.ws.deflate import negotiate
from asgiserver.ws.handshake import Offer, accept_fields
from asgiserver.ws.protocol import ProtocolViolation, is_close_code

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Callable

    from asgiserver.asgi.channel import Channel
    from asgiserver.asgi.ending import Ending
    from asgiserver.context import ServerContext
    from asgiserver.errors import PeerError
    from asgiserver.http.message import RequestHead
    from asgiserver.log.record import AccessRecord, Event
    from asgiserver.types import Message, Outcome, Receive, Scope

CONNECTING, DENYING, OPEN, CLOSING, CLOSED = range(5)
STATE_NAMES = ("CONNECTING", "DENYING", "OPEN", "CLOSING", "CLOSED")

# The reason of websocket.disconnect for an outcome.
_REASONS: dict[Outcome, str] = {"client_gone": "connection lost", "timeout": "send timeout"}

# The reason in a close frame that the server itself sends, by its code.
_CLOSE_REASONS = {1000: "", 1011: "internal server error", 1012: "service unavailable"}

_STAGES = {
    CONNECTING: Stage.UNSENT,
    DENYING: Stage.UNSENT,
    OPEN: Stage.OPEN,
    CLOSING: Stage.CLOSING,
    CLOSED: Stage.OVER,
}

_NO_MESSAGE = "websocket.send needs either text (str) or bytes"


class WebSocketSession(Session):
    """The `Session` of a WebSocket; the `Owner` of its inbox, which is the receiving half."""

    __slots__ = (
        "_channel",
        "_close",
        "_codec",
        "_denial",
        "_draining",
        "_heartbeat",
        "_inbox",
        "_messages_sent",
        "_offer",
        "begun",
        "cancel_reason",
        "context",
        "feed",
        "outcome",
        "request",
        "scope",
        "sent",
        "state",
        "task",
    )

    feed: Callable[[bytes], None]  # type: ignore[assignment] # the method of its inbox
    context: ServerContext
    is_websocket = adds_to_record = True
    continue_wanted = unsent = False
    may_half_close = False  # nobody opens a WebSocket only to listen

    def __init__(
        self,
        context: ServerContext,
        channel: Channel,
        head: RequestHead,
        scope: Scope,
        offer: Offer,
    ) -> None:
        offer.deflate = negotiate(offer.extensions, context.config.ws_compression)
        self._inbox = inbox = Inbox(self, channel, context.loop, context.config, offer.deflate)
        # HOT 2 %: of the bytecodes of a message; a method would call that of the inbox.
        self.feed = inbox.feed
        self._codec = inbox.codec
        self._channel = channel
        self.context = context
        self.request = head
        self.scope = scope
        self._offer = offer
        self.state = CONNECTING
        self.task: Task[None] | None = None
        self.cancel_reason: Outcome | None = None
        self._denial: _Denial | None = None
        self._draining = False
        self._heartbeat = Heartbeat(context.clock.now)
        self._close: tuple[int, str] | None = None  # code and reason that the application gets
        self.begun = perf_counter()
        self.sent = self._messages_sent = 0
        self.outcome: Outcome = "ok"
        scope["extensions"]["websocket.http.response"] = {}

    @property
    def state_name(self) -> str:
        """The name of the state, as in the module's table."""
        return STATE_NAMES[self.state]

    @property
    def over(self) -> bool:  # type: ignore[override] # nobody sets it
        """See `Session.over`."""
        return self.state == CLOSED

    @property
    def awaits_client(self) -> bool:
        return self._inbox.is_awaited

    @property
    def buffered(self) -> int:  # type: ignore[override] # nobody sets it
        """See `Session.buffered`: bytes of messages, and bytes that are not decoded yet."""
        return self._inbox.buffered

    @property
    def received(self) -> int:  # type: ignore[override] # nobody sets it
        """Bytes received through the tunnel."""
        return self._inbox.received

    @property
    def receive(self) -> Receive:  # type: ignore[override] # a call less for each message
        """The application's `receive`; see `Inbox.receive`."""
        return self._inbox.receive

    # From the wire.

    def feed_end(self) -> None:
        """The request is complete, or the peer closed its side of the tunnel and is gone."""
        if self.state == CLOSING:
            self._note_end(1006, "connection closed without a close frame", "client_gone")
            self._close_wire()
        elif self.state == OPEN:
            self.disconnect("client_gone")
            self._channel.abort("client_gone")

    def disconnect(self, reason: Outcome) -> None:
        """The peer is gone. `reason` is an outcome of the access log, usually ``client_gone``."""
        if self.state != CLOSED:
            self.end(Way.GONE if reason == "client_gone" else Way.UNREAD)

    def refuse(self, error: PeerError) -> None:
        """Refuse the handshake, before the application has been called."""
        self.end(Way.REFUSED, refusal=error)

    def connection_drains(self) -> None:
        """The server is stopping, and does not wait for a WebSocket to end by itself."""
        self.begin_drain()

    def begin_drain(self) -> None:
        """The server is stopping: close with 1012, now or as soon as the handshake is done."""
        self._draining = True
        if self.state == OPEN:
            self._start_close(1012, "server shutdown")
            self._note_end(1012, "server shutdown", "shutdown")

    def on_tick(self, now: float) -> None:
        """About a second has passed since the last call; `now` is in seconds of the clock."""
        heartbeat = self._heartbeat
        heartbeat.tick(now, self._inbox.received, self.state == CLOSING)
        if self.state == OPEN:
            self._keep_alive(heartbeat)
        elif self.state == CLOSING:
            limit = self.context.config.ws_close_timeout
            if heartbeat.closing >= limit and not heartbeat.late:
                self._note_end(1006, "closing handshake timed out", "timeout")
                self._close_wire()

    def _keep_alive(self, heartbeat: Heartbeat) -> None:
        inbox = self._inbox
        if inbox.pings:
            self.answer_pings(inbox.pings)
        config = self.context.config
        if inbox.buffered:
            # Reading may be paused until the application takes what has come.
            heartbeat.begin(pinged=False)
        elif not heartbeat.pinged:
            if heartbeat.silence >= config.ws_ping_interval and self._channel.writable:
                heartbeat.begin(pinged=True)
                self._write(self._codec.encode_ping(b""))
        elif heartbeat.silence >= config.ws_ping_timeout and not heartbeat.late:
            self._start_close(1011, "ping timeout")
            self._note_end(1006, "ping timeout", "timeout")
            self._close_wire()

    # From the inbox: what its codec has found.

    def on_close(self, code: int, reason: str) -> None:
        """The peer has sent a close frame: answer it, unless it answers ours (RFC 6455 5.5.1)."""
        if self.state == OPEN:
            self._start_close(code, "")
        self._note_end(code, reason, "ok")
        self._close_wire()

    def on_violation(self, violation: ProtocolViolation) -> None:
        """Close because the peer broke the protocol (RFC 6455 section 7.1.7)."""
        if self.state == OPEN:
            self._start_close(violation.code, violation.reason)
        self._note_end(violation.code, violation.reason, "protocol_error")
        self._close_wire()

    def answer_pings(self, payloads: list[bytes]) -> None:
        """Send pongs, unless the peer does not read what we send."""
        if self.state != OPEN:
            payloads.clear()
        elif self._channel.writable:
            pongs = b"".join([self._codec.encode_pong(payload) for payload in payloads])
            payloads.clear()
            self._write(pongs)

    # From the application.

    async def send(self, message: Message) -> None:
        """The application's `send`.

        Raises `ApplicationError` for an event out of order or malformed, `ClientDisconnected`
        once the connection is closing, whoever closed it.
        """
        if message["type"] != "websocket.send" or self.state != OPEN:
            await self._send_other(message)
            return
        channel = self._channel
        if not channel.writable:
            await channel.wait_writable()
            if self.state != OPEN:
                raise ClientDisconnected("the WebSocket is closed")
        text = message.get("text")
        if text is None:
            data = message.get("bytes")
            if type(data) is not bytes:
                data = _as_bytes(data)
            frame, payload = self._codec.encode_binary(data)
        elif isinstance(text, str):
            frame, payload = self._codec.encode_text(text)
        else:
            raise ApplicationError(_NO_MESSAGE)
        self._messages_sent += 1
        self.sent += len(frame) + len(payload)
        channel.send_tunnel(frame, payload)

    async def _send_other(self, message: Message) -> None:
        kind = message["type"]
        if self.state == DENYING and self._denial is not None:
            await self._denial.send(message)
        elif self.state >= CLOSING:
            if self._denial is None or self._denial.gone:
                raise ClientDisconnected("the WebSocket is closed")
        elif kind == "websocket.close":
            self._close_from_application(message)
        elif self.state == CONNECTING and kind == "websocket.accept":
            self._accept(message)
        elif self.state == CONNECTING and kind == _Denial.start_event:
            denial = _Denial(self._channel, self)
            await denial.send(message)
            self._denial = denial
            if self.state == CONNECTING:
                self._set_state(DENYING)
        else:
            raise ApplicationError(
                f"unexpected message {kind!r} in state {STATE_NAMES[self.state]}"
            )

    def _accept(self, message: Message) -> None:
        fields = accept_fields(
            self._offer, message.get("subprotocol"), message.get("headers") or ()
        )
        self._channel.open_tunnel(fields)
        self._set_state(OPEN)
        self.context.stats.websockets += 1
        self.record(self._offer.status, "websocket_open")
        self._inbox.resume()
        if self._draining:
            self.begin_drain()

    def _close_from_application(self, message: Message) -> None:
        if self.state == CONNECTING:
            self._answer(403, b"Forbidden")
            return
        code = message.get("code", 1000)
        if not isinstance(code, int) or not (is_close_code(code) or code == 1005):
            raise ApplicationError(f"close code {code!r} may not be sent (RFC 6455 section 7.4)")
        self._start_close(code, message.get("reason") or "")

    # Sending and closing.

    def _set_state(self, state: int) -> None:
        self.state = state
        self._inbox.open = state == OPEN
        self._inbox.closed = state == CLOSED

    def _write(self, data: bytes) -> None:
        self.sent += len(data)
        self._channel.send_tunnel(data)

    def _start_close(self, code: int, reason: str) -> None:
        """Send a close frame; after it, of what the peer sends only its close frame counts."""
        if self._inbox.pings:
            self.answer_pings(self._inbox.pings)
        self._write(self._codec.encode_close(code, reason))
        self._set_state(CLOSING)
        if self._codec.paused:
            self.context.loop.call_soon(self._inbox.resume)

    def _note_end(self, code: int, reason: str, outcome: Outcome) -> None:
        """Set what the application and the log learn about the end; the first call counts."""
        if self._close is None:
            self._close = (code, reason)
            self.outcome = outcome
            self._inbox.end(code, reason)

    def _close_wire(self) -> None:
        """Nothing more is read or sent."""
        self._set_state(CLOSED)
        self._record_end()
        self._channel.finish()

    def _answer(
        self, status: int, text: bytes, fields: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        """Refuse the handshake with an answer that the server itself gives."""
        denial = self._denial = self._denial or _Denial(self._channel, self)
        denial.answer(status, text, fields)

    # `Owner` of the response that refuses the handshake.

    def completed(self) -> bool:
        """The response is complete; see `Channel.finish`."""
        assert self._denial is not None
        self._set_state(CLOSED)
        self._note_end(1006, "handshake refused", self.outcome)
        self.sent = self._denial.sent
        self.record(self._denial.status)
        return self._channel.finish()

    def body_left_out(self, status: int) -> None:
        """Nobody is told: a denial is rare."""

    # How the session ends early.

    @property
    def stage(self) -> Stage:
        """See `Session.stage`."""
        if self.state == DENYING and self._denial is not None and not self._denial.unsent:
            return Stage.BEGUN
        return _STAGES[self.state]

    @property
    def stop_way(self) -> Way | None:
        """See `Session.stop_way`."""
        return None if self._close is None else Way.LEFT

    def apply(self, ending: Ending, answer: PeerError) -> None:
        """See `Session.apply`."""
        act, outcome = ending.act, ending.outcome
        if act is Act.CLOSE:
            reason = _CLOSE_REASONS[ending.code]
            self._start_close(ending.code, reason)
            if outcome != "ok":
                self._note_end(ending.code, reason, outcome)
        elif act is Act.ANSWER:
            self.outcome = outcome
            self._answer(answer.status, answer.reason.encode(), answer.fields)
        elif act is not Act.NOTHING:
            self._lose(outcome, ending.status)
            if act is Act.CUT:
                self._channel.abort(outcome)

    def _lose(self, outcome: Outcome, status: int) -> None:
        accepted = self.state >= OPEN
        self._set_state(CLOSED)
        self._note_end(1006, _REASONS.get(outcome, outcome), outcome)
        if (denial := self._denial) is not None:
            denial.gone = True
            denial.break_off()
        if accepted:
            self._record_end()
        else:
            self.record(status or (0 if denial is None else denial.status))

    def _record_end(self) -> None:
        self.context.stats.count_websocket(self.sent, self._messages_sent, self._inbox)
        self.record(self._offer.status, "websocket_close")

    def missing(self) -> tuple[str, str]:
        """See `Session.missing`."""
        if self.state == CONNECTING:
            return "without accept or close", ""
        return "without the end of its response", ""

    def complete_record(self, record: AccessRecord, event: Event) -> None:
        """Add what happens, and how the WebSocket has ended, unless its handshake was refused."""
        if event == "request":
            return
        record.event = event
        if self._close is not None:
            record.close_code, record.close_reason = self._close
            record.messages_received = self._inbox.messages_received
            record.messages_sent = self._messages_sent


class _Denial(Response):
    """The response of an application, or of the server, that refuses the handshake."""

    start_event = "websocket.http.response.start"
    body_event = "websocket.http.response.body"

    def _start(self, message: Message) -> None:
        super()._start(message)
        assert self._head is not None
        self._head = head = self._head.copy()  # other responses may share this head
        head.close = True  # the extension demands that nothing follows on the connection


def _as_bytes(data: object) -> bytes:
    """The payload of a `websocket.send` without text."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise ApplicationError(_NO_MESSAGE)
