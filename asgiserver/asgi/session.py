"""What a session is: the ASGI side of one exchange, whatever ASGI protocol it speaks.

Three parties call a session: the wire reports what the peer does; the server runs and stops the
session; the application calls `receive` and `send`. There are two kinds, `asgi.exchange.Exchange`
for an HTTP request and `asgi.websocket.WebSocketSession`. This module has what both do alike.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Protocol

from asgiserver.asgi.ending import Stage, Way, ending_of, way_of_cancelling
from asgiserver.asgi.failure import is_disconnect, is_of_the_loop, is_of_the_process
from asgiserver.errors import PeerError
from asgiserver.log.escape import escape
from asgiserver.log.record import AccessRecord, unlogged

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Callable

    from asgiserver.asgi.channel import Channel
    from asgiserver.asgi.ending import Ending
    from asgiserver.http.message import RequestHead
    from asgiserver.log.record import Event
    from asgiserver.metrics.figures import Counters
    from asgiserver.types import ASGIApplication, Outcome, Receive, Scope, Send

logger = logging.getLogger("asgiserver")


class Served(Protocol):
    """What a session needs of its server: a part of `ServerContext`, which imports this module."""

    app: ASGIApplication

    access: Callable[[AccessRecord], None] | None
    """The access log; `unlogged`: requests are only counted; None: nobody wants records."""

    stats: Counters


class Session:
    """The ASGI side of one exchange.

    A subclass sets each attribute below, and has the methods that raise `NotImplementedError`.
    """

    # HOT 1 %: there is no `__init__`, which each request would have to call.

    if not TYPE_CHECKING:  # with empty slots mypy would not let a subclass set the attributes below
        __slots__ = ()

    is_websocket: ClassVar[bool] = False

    adds_to_record: ClassVar[bool] = False
    """Whether `complete_record` has something to add."""

    may_half_close: ClassVar[bool] = True
    """Whether a client that has closed its sending side may wait for an answer."""

    receive: Receive
    """The application's `receive`."""
    send: Send
    """The application's `send`."""

    context: Served
    request: RequestHead
    _channel: Channel
    scope: Scope
    task: Task[None] | None  # None also when the application ended without waiting for anything
    over: bool
    """Whether all is sent or broken off; the application may still run."""
    outcome: Outcome
    cancel_reason: Outcome | None  # why the server cancelled the application
    buffered: int
    """Bytes received that the application has not taken yet."""
    continue_wanted: bool
    """Whether the client waits for a 100 (Continue) before it sends the body."""
    # For the access log: bytes received and sent, and the `perf_counter` time of the beginning.
    received: int
    sent: int
    begun: float
    first_byte = 0.0
    """The `perf_counter` time at which the head was sent; 0: it is sent together with the end."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label} {self.state_name} {self.age:.1f} s>"

    @property
    def state_name(self) -> str:
        """The name of the state, for debugging."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The method, or WebSocket, and the target, escaped for a log."""
        kind = "WebSocket" if self.is_websocket else self.request.method
        return f"{kind} {escape(self.request.target)}"

    @property
    def age(self) -> float:
        """Seconds since the session began."""
        return perf_counter() - self.begun

    @property
    def unsent(self) -> bool:
        """Whether nothing of the answer is on the wire yet."""
        raise NotImplementedError

    @property
    def waits_for(self) -> str:
        """For whom the session waits: "application", "client to send" or "client to read"."""
        if not self.over and not self._channel.writable:
            return "client to read"
        return "client to send" if self.awaits_client else "application"

    @property
    def awaits_client(self) -> bool:
        """Whether the application waits for something that the client has still to send."""
        raise NotImplementedError

    # From the wire.

    def feed(self, data: bytes) -> None:
        """Bytes of the request body, or of the tunnel, have come."""
        raise NotImplementedError

    def feed_end(self) -> None:
        """The request body is complete, or the peer closed its side of the tunnel."""
        raise NotImplementedError

    def disconnect(self, reason: Outcome) -> None:
        """The peer is gone, or it was cut; `reason` becomes the outcome."""
        raise NotImplementedError

    def hang_up(self, reason: Outcome) -> None:
        """The peer sends no more and may have left, but it may also wait for the answer."""

    def on_tick(self, now: float) -> None:
        """Called about once a second (clock seconds) while the wire waits for the application."""

    def connection_drains(self) -> None:
        """The connection takes no further exchange: the server is stopping."""

    # From the server.

    async def run(self) -> None:
        """Call the application once; what it raises is logged and ends this session alone."""
        try:
            await self.context.app(self.scope, self.receive, self.send)
        except CancelledError as error:
            if self.cancel_reason or is_of_the_loop(self.task):
                self.end(way_of_cancelling(self.cancel_reason or "shutdown"))
            else:  # the application has cancelled itself
                self._failed(error)
        except BaseException as error:
            if is_of_the_process(error):
                raise
            self._failed(error)
        else:
            if not self.over:
                self.end(self.stop_way or Way.UNFINISHED)

    def _failed(self, error: BaseException) -> None:
        way = self.stop_way
        if way is not None and is_disconnect(error):
            self.end(way)
        else:
            self.end(Way.FAILED, error)

    def cancel(self, reason: Outcome) -> None:
        """Cancel the application; `reason` is the outcome: timeout, shutdown or client_gone."""
        if self.task is not None and not self.task.done():
            self.cancel_reason = reason
            self.task.cancel(reason)

    def refuse(self, error: PeerError) -> None:
        """Answer in place of the application: the request is broken, or there are too many."""
        raise NotImplementedError

    def answer_health(self, status: int, text: bytes) -> None:
        """Answer a health check in place of the application, and keep the connection."""
        raise NotImplementedError

    def time_out(self) -> None:
        """The session has lasted for --timeout-request: end it, unless its kind may last longer."""

    def begin_drain(self) -> None:
        """The server is stopping."""
        raise NotImplementedError

    # How the session ends early; see `asgi.ending`.

    @property
    def stage(self) -> Stage:
        """How far the session has come."""
        raise NotImplementedError

    @property
    def stop_way(self) -> Way | None:
        """How the session ends if the application stops now.

        None until the application has been told that its client left or the server stops.
        """
        raise NotImplementedError

    def end(
        self, way: Way, error: BaseException | None = None, refusal: PeerError | None = None
    ) -> None:
        """End the session as far as its stage still allows; `refusal`, if any, is the answer."""
        ending = ending_of(way, self.stage)
        try:
            if ending.level:
                self._report(way, ending.level, error)
        finally:  # logging handlers and filters of the application may raise
            self.apply(ending, refusal or _answer_with(ending.status))

    def apply(self, ending: Ending, answer: PeerError) -> None:
        """Do what `ending` says; `answer` is sent if it says so."""
        raise NotImplementedError

    def _report(self, way: Way, level: int, error: BaseException | None) -> None:
        label = self.label
        if way is Way.FAILED:
            logger.log(level, "Exception in ASGI application: %s", label, exc_info=error)
        elif way is Way.UNFINISHED:
            what, hint = self.missing()
            logger.log(level, "ASGI application returned %s: %s%s", what, label, hint)
        elif way is Way.LATE:
            logger.log(level, "Timed out: %s (%.1f s)", label, self.age)
        else:
            why = "the client left" if way is Way.LEFT else "the server stops"
            logger.log(level, "%s: %s, the application stopped", label, why)

    def missing(self) -> tuple[str, str]:
        """For the log: what the application had not done when it returned, and a hint why."""
        raise NotImplementedError

    # For the access log.

    def record(self, status: int, event: Event = "request") -> None:
        """Count the session, and give the access log a record, if anybody wants to know."""
        context = self.context
        access = context.access
        if access is None:
            return
        tally = context.stats.tally
        if tally is None:
            duration = perf_counter() - self.begun
        else:
            duration = tally.count(self, status) if event == "request" else self.age
            if access is unlogged:
                return
        request = self.request
        # HOT 6 %: of a logged request; `__init__` with eleven keywords takes three times as long.
        record = AccessRecord.__new__(AccessRecord)
        record.client = self.scope["client"]
        record.method = request.method
        record.target = request.target
        record.http_version = request.http_version
        record.status = status
        record.sent = self.sent
        record.duration = duration
        record.outcome = self.outcome
        record.fields = request.fields
        record.scheme = self.scope["scheme"]
        record.received = self.received
        if self.adds_to_record:
            self.complete_record(record, event)
        access(record)

    def complete_record(self, record: AccessRecord, event: Event) -> None:
        """Add what only some sessions have."""


def _answer_with(status: int) -> PeerError:
    return PeerError(status, HTTPStatus(status).phrase if status in _STATUSES else "")


_STATUSES = frozenset(HTTPStatus)
