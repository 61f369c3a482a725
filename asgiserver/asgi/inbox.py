"""The receiving half of a WebSocket: turns bytes of the tunnel into events of `receive`.

It stands apart from `WebSocketSession` because it has all limits on what one peer may use of memory
and of the event loop. It knows neither what is sent nor the closing handshake.
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
"""Bytes taken from the channel before `Channel.consumed` is called. This is well below the number
at which the channel pauses reading."""

MAX_WAITING = 2**20
"""Bytes of messages that may wait for the application; above this no more frames are decoded. One
read brings fewer bytes unless they are compressed: they may inflate to a thousand times as many."""

MAX_PONGS = 32
"""Pings that are answered when many come at once, or while the peer does not read; of any further
pings only the latest is answered (RFC 6455 section 5.5.3)."""


CONNECT: Message = {"type": "websocket.connect"}


class Owner(Protocol):
    """What an inbox calls in its session."""

    def on_close(self, code: int, reason: str) -> None:
        """The peer has sent a close frame."""

    def on_violation(self, violation: ProtocolViolation) -> None:
        """The peer broke the protocol; nothing more is decoded."""

    def answer_pings(self, payloads: list[bytes]) -> None:
        """Answer the pings with these `payloads` and clear the list, if the peer reads."""


class Inbox:
    """Messages that were received and not taken yet; the `MessageSink` of its codec.

    The codec is paused while as many messages wait as the configuration allows, or `MAX_WAITING`
    bytes, and while other connections have their turn of the loop; bytes that arrive then are kept
    undecoded. `buffered` counts messages and kept bytes; the channel stops reading above a limit of
    its own. A message for which the application waits already goes to it directly, uncounted.
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
        self.open = False  # whether messages are read: after the handshake, until closing begins
        self.closed = False  # whether all that comes is ignored
        self.buffered = 0
        self.received = 0  # bytes
        self.messages_received = 0
        self.pings: list[bytes] = []  # payloads of pings that are not answered yet
        self.codec = codec_factory(config.ws)(self, config.ws_max_size, deflate)
        self.codec.paused = True  # until the handshake is done
        self._owner = owner
        self._channel = channel
        self._loop = loop
        self._max_queue: int = config.ws_max_queue
        self._messages: list[str | bytes] = []  # a deque costs 700 bytes even when it is empty
        self._kept = 0  # bytes of the codec's backlog that `buffered` counts
        self._consumed = 0  # bytes received that were reported to the channel as consumed
        self._waiters: list[Future[str | bytes | None]] = []
        # Events that follow the messages; None stands after the disconnect, which is the last one.
        self._events: tuple[Message | None, ...] = (CONNECT,)

    def __repr__(self) -> str:
        return f"<Inbox messages={len(self._messages)} buffered={self.buffered}>"

    @property
    def is_awaited(self) -> bool:
        """Whether the application waits for a message."""
        return any(not waiter.done() for waiter in self._waiters)

    # From the wire.

    def feed(self, data: bytes) -> None:
        """Take raw bytes of the tunnel; a bounded part of them is decoded at once."""
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
        """Count the bytes that the codec keeps; `more` if it could decode further frames."""
        codec = self.codec
        if more and not codec.paused:
            codec.paused = True  # enough for one turn: other connections come first
            self._loop.call_soon(self.resume)
        kept = codec.backlog if codec.paused else 0
        self.buffered += kept - self._kept
        self._kept = kept

    def resume(self) -> None:
        """Decode the kept bytes, unless the application has to take messages first."""
        has_room = (
            len(self._messages) < self._max_queue and self.buffered - self._kept < MAX_WAITING
        )
        if not self.closed and (has_room or not self.open):
            self.codec.paused = False
            self.feed(b"")

    def consume(self) -> None:
        """Tell the channel how many bytes were taken since the last call."""
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
        """See `MessageSink`; a pong counts only as a sign of life, like all that comes."""

    def on_close(self, code: int, reason: str) -> None:
        """See `MessageSink`."""
        self._owner.on_close(code, reason)

    # From the application.

    async def receive(self) -> Message:
        """The application's `receive`: connect, messages, then one disconnect.

        Raises `ApplicationError` when it is called again after the disconnect.
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
        """Take the next event that is no message; there must be one."""
        event = self._events[0]
        if event is None:
            raise ApplicationError("receive() after websocket.disconnect")
        self._events = self._events[1:]
        return dict(event)

    def end(self, code: int, reason: str) -> None:
        """Add the disconnect event, which the application receives after all messages."""
        disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._events = (*self._events, disconnect, None)
        self.wake()

    def _take(self) -> str | bytes:
        """Take the next message; there must be one."""
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
        """The task that waited was cancelled: keep the message that it has not seen as the next."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.done() and not waiter.cancelled() and (data := waiter.result()) is not None:
            self._messages.insert(0, data)
            self.buffered += len(data)
            self.wake()

    def wake(self) -> None:
        """Wake all tasks that wait in `receive`."""
        wake(self._waiters)
