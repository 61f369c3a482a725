"""The receiving half of a WebSocket: bytes of the tunnel to events of `receive`, within bounds.

Kept apart from `WebSocketSession` because all that bounds one peer's use of memory and of the event
loop stands here. It knows neither what is sent nor the closing handshake.
"""

from __future__ import annotations

from asyncio import CancelledError, InvalidStateError
from typing import TYPE_CHECKING, Protocol

from asgiserver.context import wake
from asgiserver.errors import ApplicationError
from asgiserver.ws.codecs import codec_factory
from asgiserver.ws.protocol import ProtocolViolation

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

    from asgiserver.asgi.channel import Channel
    from asgiserver.config.fields import Config
    from asgiserver.types import Message
    from asgiserver.ws.deflate import Deflate

CREDIT = 32768
"""Bytes taken from the channel before it is told so: well below what makes it pause reading."""

MAX_WAITING = 2**20
"""Bytes of messages that wait for the application before no more are decoded. What one read brings
is less, unless it is compressed: it may inflate to a thousand times its size."""

MAX_PONGS = 32
"""Pings answered of those that come at once, or while the peer does not read; of more than that
the latest (RFC 6455 section 5.5.3)."""


CONNECT: Message = {"type": "websocket.connect"}


class Owner(Protocol):
    """What an inbox tells its session."""

    def on_close(self, code: int, reason: str) -> None:
        """The peer has sent a close frame."""

    def on_violation(self, violation: ProtocolViolation) -> None:
        """The peer broke the protocol; nothing is decoded any more."""

    def answer_pings(self, payloads: list[bytes]) -> None:
        """Answer `payloads` and clear them, when the peer reads."""


class Inbox:
    """Messages received and not taken yet; the sink of its codec.

    The codec is paused while as many messages wait as the configuration allows, or `MAX_WAITING`
    bytes, and while others have their turn of the loop; what arrives then is kept undecoded.
    `buffered` counts messages and kept bytes: above a limit of its own the channel stops reading.
    A message for which the application waits already goes straight to it and is not counted.
    """

    __slots__ = (
        "_channel",
        "_consumed",
        "_events",
        "_kept",
        "_loop",
        "_max_queue",
        "_messages",
        "_owner",
        "_waiters",
        "buffered",
        "closed",
        "codec",
        "messages_received",
        "open",
        "pings",
        "received",
    )

    def __init__(
        self,
        owner: Owner,
        channel: Channel,
        loop: AbstractEventLoop,
        config: Config,
        deflate: Deflate | None,
    ) -> None:
        self.open = False  # messages are wanted: from the handshake on, until closing begins
        self.closed = False  # nothing is looked at any more
        self.buffered = 0
        self.received = 0  # bytes
        self.messages_received = 0
        self.pings: list[bytes] = []  # that are not answered yet
        self.codec = codec_factory(config.ws)(self, config.ws_max_size, deflate)
        self.codec.paused = True  # until the handshake is done
        self._owner = owner
        self._channel = channel
        self._loop = loop
        self._max_queue: int = config.ws_max_queue
        self._messages: list[str | bytes] = []  # a deque costs 700 bytes even when it is empty
        self._kept = 0  # bytes of the codec's backlog that `buffered` counts
        self._consumed = 0  # bytes received that the channel was told of
        self._waiters: list[Future[str | bytes | None]] = []
        # What the application is told after the messages; None: it has been told of the end.
        self._events: tuple[Message | None, ...] = (CONNECT,)

    def __repr__(self) -> str:
        return f"<Inbox messages={len(self._messages)} buffered={self.buffered}>"

    # From the wire.

    def feed(self, data: bytes) -> None:
        """Raw bytes of the tunnel. A bounded part is decoded now; the application runs later."""
        self.received += len(data)
        if self.closed:
            return
        try:
            more = self.codec.feed(data)
        except ProtocolViolation as violation:
            self.buffered -= self._kept
            self._kept = 0
            self._owner.on_violation(violation)
            return
        if self.pings:
            self._owner.answer_pings(self.pings)
        if more or self._kept:
            self._keep(more)
        if self.received - self._consumed >= CREDIT and self.buffered < CREDIT:
            self.consume()

    def _keep(self, more: bool) -> None:
        """Count what the codec keeps; `more` when that holds frames it could go on with."""
        codec = self.codec
        if more and not codec.paused:
            codec.paused = True  # enough for one turn: the others first
            self._loop.call_soon(self.resume)
        kept = codec.backlog if codec.paused else 0
        self.buffered += kept - self._kept
        self._kept = kept

    def resume(self) -> None:
        """Decode what was kept, unless the application has to take messages first."""
        has_room = (
            len(self._messages) < self._max_queue and self.buffered - self._kept < MAX_WAITING
        )
        if not self.closed and (has_room or not self.open):
            self.codec.paused = False
            self.feed(b"")

    def consume(self) -> None:
        """Tell the channel what was taken."""
        size = self.received - self._consumed
        self._consumed = self.received
        self._channel.consumed(size)

    # From the codec.

    def on_message(self, data: str | bytes) -> None:
        """See `MessageSink`."""
        if not self.open:
            return
        self.messages_received += 1
        while self._waiters:
            try:
                self._waiters.pop(0).set_result(data)
            except InvalidStateError:
                continue
            return
        self.buffered += len(data)
        messages = self._messages
        messages.append(data)
        if len(messages) >= self._max_queue or self.buffered >= MAX_WAITING:
            self.codec.paused = True

    def on_ping(self, payload: bytes) -> None:
        """See `MessageSink`."""
        if len(self.pings) < MAX_PONGS:
            self.pings.append(payload)
        else:
            self.pings[-1] = payload

    def on_pong(self, payload: bytes) -> None:
        """See `MessageSink`; that something came is all that counts."""

    def on_close(self, code: int, reason: str) -> None:
        """See `MessageSink`."""
        self._owner.on_close(code, reason)

    # From the application.

    async def receive(self) -> Message:
        """The application's `receive`: connect, messages, then one disconnect.

        Raises `ApplicationError` when it is called once more after the disconnect.
        """
        data: str | bytes | None = None
        while data is None:
            if self._messages:
                data = self._take()
            elif self._events:
                return self._next_event()
            else:
                waiter: Future[str | bytes | None] = self._loop.create_future()
                self._waiters.append(waiter)
                try:
                    data = await waiter
                except CancelledError:
                    self._withdraw(waiter)
                    raise
        if isinstance(data, str):
            return {"type": "websocket.receive", "text": data}
        return {"type": "websocket.receive", "bytes": data}

    def _next_event(self) -> Message:
        """The next event that is no message; there is one."""
        event = self._events[0]
        if event is None:
            raise ApplicationError("receive() after websocket.disconnect")
        self._events = self._events[1:]
        return dict(event)

    def end(self, code: int, reason: str) -> None:
        """No message comes after those that have come: the application is told of the end."""
        disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._events = (*self._events, disconnect, None)
        self.wake()

    def _take(self) -> str | bytes:
        """The next message; there is one."""
        messages = self._messages
        data = messages.pop(0)
        before = self.buffered
        self.buffered -= len(data)
        if self.codec.paused and 2 * len(messages) <= self._max_queue:
            self.resume()
        owed = self.received - self._consumed
        if self.buffered < CREDIT and (owed >= CREDIT or before >= CREDIT):
            self.consume()
        return data

    def _withdraw(self, waiter: Future[str | bytes | None]) -> None:
        """The task that waited was cancelled: the message it has not seen is the next again."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.done() and not waiter.cancelled() and (data := waiter.result()) is not None:
            self._messages.insert(0, data)
            self.buffered += len(data)
            self.wake()

    def wake(self) -> None:
        """All who wait have to look again."""
        wake(self._waiters)
