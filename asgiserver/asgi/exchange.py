"""One HTTP request and its response as an ASGI application sees them, on every wire."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING

from asgiserver.asgi.ending import Act, Stage, Way
from asgiserver.asgi.response import BODY, DONE, HEAD, START, STATE_NAMES, Response
from asgiserver.asgi.session import Session
from asgiserver.errors import ClientDisconnected, PeerError

if TYPE_CHECKING:
    from asyncio import Future, Task

    from asgiserver.asgi.channel import Channel
    from asgiserver.asgi.ending import Ending
    from asgiserver.context import ServerContext
    from asgiserver.http.message import RequestHead
    from asgiserver.types import Message, Outcome, Scope

logger = logging.getLogger("asgiserver")

UNKNOWN = -1
"""Stands for the missing Content-Length of a body whose parts have to be counted nevertheless."""


class Exchange(Response, Session):
    """The `Session` of an HTTP request.

    The request half: `_parts` gathers the body until the application takes all of it at once; after
    the end of the body `receive` waits until the response is complete or the client is gone. The
    response half is inherited. The class attributes are defaults that few requests change.
    """

    task: Task[None] | None = None
    outcome: Outcome = "ok"
    cancel_reason: Outcome | None = None
    _end_delivered = False  # whether the application knows that the body is complete
    _held_at_last_tick = False  # whether the head was held when the clock ticked last
    _stop_reason: Outcome | None = None  # why the application shall stop
    _sent_at_disconnect = 0  # bytes of body sent when the application received http.disconnect

    def __init__(
        self, context: ServerContext, channel: Channel, request: RequestHead, scope: Scope
    ) -> None:
        # HOT 1 %: this begins with what `Response.__init__` does, and saves the call.
        self._channel = channel
        self.request = request
        self._head = None
        self._left = None
        self.state = START
        self.sent = 0
        self.context: ServerContext = context
        self.scope = scope
        self.continue_wanted = request.framing.expect_continue
        self.begun = perf_counter()
        self._body_complete = not request.framing.has_body
        self._waiters: list[Future[None]] | None = None
        self._parts: list[bytes] | None = None
        self.buffered = 0
        self.received = 0

    @property
    def state_name(self) -> str:
        """The state of the response."""
        return STATE_NAMES[self.state]

    # From the wire.

    def feed(self, data: bytes) -> None:
        """More of the request body."""
        if self._parts is None:
            self._parts = [data]
        else:
            self._parts.append(data)
        size = len(data)
        self.buffered += size
        self.received += size
        self.continue_wanted = False
        if self._waiters:
            self._wake()

    def feed_end(self) -> None:
        """The request body is complete."""
        self._body_complete = True
        if self._waiters:
            self._wake()

    def disconnect(self, reason: Outcome) -> None:
        """The peer is gone, or it was cut; `reason` becomes the outcome in the access log."""
        if self.state != DONE:
            self.gone = True
            self.end(Way.GONE if reason == "client_gone" else Way.UNREAD)
            self._cancel_on_disconnect()
        if self._waiters:
            self._wake()

    def refuse(self, error: PeerError) -> None:
        """The request is broken or too large, which showed while its body arrived."""
        if self.state == DONE:
            return
        self.gone = True
        self.end(Way.REFUSED, refusal=error)
        self._cancel_on_disconnect()
        if self._waiters:
            self._wake()

    def hang_up(self, reason: Outcome) -> None:
        """Give the application `http.disconnect` when it listens, but let it go on sending.

        This is for a client that closed its sending side and may still read, and for a stream that
        would hold up a shutdown. `reason` is the outcome if the application stops because of it.

        After ``client_gone`` a stream that has begun is cancelled if `on_disconnect` says so. A
        response that has not begun is not, because the client may still wait for it.
        """
        self._stop_reason = self._stop_reason or reason  # the first reason counts
        if self._waiters:
            self._wake()
        if reason == "client_gone" and self.state == BODY and not self.cancel_reason:
            self._cancel_on_disconnect()

    def on_tick(self, now: float) -> None:
        """The request has been running for another second."""
        if self.state != HEAD:
            return
        if not self._held_at_last_tick:
            self._held_at_last_tick = True
        elif self._head is not None:
            # The head was held long enough: an event stream may be far from its first event, and
            # its client has to see that the stream has begun.
            self.release_head()

    def begin_drain(self) -> None:
        """The server is stopping: an endless response has to learn of it."""
        if START < self.state < DONE:
            self.hang_up("shutdown")

    # From the application.

    async def receive(self) -> Message:
        """The application's `receive` (ASGI www: http.request, http.disconnect)."""
        while self.state != DONE:
            if self._parts is not None:
                return self._take_body(self._parts)
            if not self._end_delivered:
                if self._body_complete:
                    self._end_delivered = True
                    return {"type": "http.request", "body": b"", "more_body": False}
                if self.continue_wanted:
                    self.continue_wanted = False
                    if self.state == START:
                        self._channel.send_informational(100, [])
            elif self._stop_reason:
                self._note_disconnect()
                break
            await self._wait()
        return {"type": "http.disconnect"}

    def _take_body(self, parts: list[bytes]) -> Message:
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = None
        self.buffered = 0
        self._end_delivered = self._body_complete
        self._channel.consumed(len(body))
        return {"type": "http.request", "body": body, "more_body": not self._body_complete}

    def _note_disconnect(self) -> None:
        """Note that the application receives `http.disconnect`; its body is counted from now on."""
        if not self.disconnect_received:
            self.disconnect_received = True
            self._sent_at_disconnect = self.sent
            if self.state == BODY and self._left is None and self._stop_reason == "client_gone":
                self._left = UNKNOWN

    def _count_down(self, size: int, end: bool) -> None:
        """Hold the application to its Content-Length, unless it stops because the client left.

        A body that ends early after `http.disconnect` is not the application's error, but the
        response is not complete either: middleware ends a response in good order when the stream
        beneath it was cancelled, and the client must not take such a response for whole.
        """
        if self.disconnect_received and self._stop_reason == "client_gone":
            left = self._left
            if left == UNKNOWN:
                early = not size and self.sent == self._sent_at_disconnect
            else:
                early = left is not None and size < left
            if end and early:
                raise ClientDisconnected("the client has left")
            if left == UNKNOWN:
                return
        super()._count_down(size, end)

    async def _wait(self) -> None:
        """Return when something has changed."""
        # HOT 5 %: a future is made only here; an `asyncio.Event` for each request takes 0.5 us.
        waiter = self.context.loop.create_future()
        if self._waiters is None:
            self._waiters = [waiter]
        else:  # the application waits in several tasks
            self._waiters = [*(other for other in self._waiters if not other.done()), waiter]
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def completed(self) -> None:
        """The response is complete; the application may go on with its own business."""
        if self.context.access is not None:
            if self.status != 500 or self.outcome != "ok":
                self.record(self.status)
            else:  # frameworks send a 500 and then raise its cause: see `apply`
                self.context.loop.call_soon(self.record, 500)
        if self._waiters:
            self._wake()
        self._channel.finish()

    def body_left_out(self, status: int) -> None:
        """Warn once for each status; for HEAD never, as applications send a body as for GET."""
        if self.request.method != "HEAD" and self.context.first_time(f"body of a {status}"):
            logger.warning(
                "Left out the body of a %d response, which has none: %s; said once",
                status,
                self.label,
            )

    # The application itself.

    def time_out(self) -> None:
        """The request takes too long: answer or cut at once, whatever the application does."""
        if self.state == DONE and not self.gone:
            return  # after its response the application may run as long as it likes
        if self.state != DONE:
            self.end(Way.LATE)
            self.gone = True
        if not self.cancel_reason:
            self.cancel("timeout")

    def _cancel_on_disconnect(self) -> None:
        """Cancel the application if `on_disconnect` is ``cancel`` for this request.

        The application may replace the option's value in its scope, with
        ``scope["extensions"]["asgiserver.on_disconnect"] = {"mode": "cancel"}``. If that value is
        no mode, the option holds: it is too late to report an error to the application.
        """
        mode = self.context.config.on_disconnect
        chosen = (self.scope.get("extensions") or {}).get("asgiserver.on_disconnect")
        if isinstance(chosen, dict) and chosen.get("mode") in ("notify", "cancel"):
            mode = chosen["mode"]
        if mode == "cancel":
            self.cancel("client_gone")

    # How the exchange ends early.

    @property
    def stage(self) -> Stage:
        """See `Session.stage`."""
        if self.state == DONE:
            return Stage.OVER
        return Stage.UNSENT if self.unsent else Stage.BEGUN

    @property
    def stop_way(self) -> Way | None:
        """See `Session.stop_way`: `receive` or `send` has told the application."""
        if not (self.gone or self.disconnect_received):
            return None
        return Way.DRAINED if self._stop_reason == "shutdown" and not self.gone else Way.LEFT

    def apply(self, ending: Ending, answer: PeerError) -> None:
        """See `Session.apply`."""
        act = ending.act
        if act is Act.NOTHING:
            if ending.outcome == "app_error" and self.status == 500 and not self.gone:
                self.outcome = "app_error"  # its record may wait for this: see `completed`
            return
        self.outcome = ending.outcome
        if act is Act.ANSWER:
            self.answer(answer.status, answer.reason.encode(), answer.fields)
            return
        self.state = DONE
        self.record(ending.status or self.status)
        if act is Act.CUT:
            self._channel.abort(self.outcome)

    def missing(self) -> tuple[str, str]:
        """See `Session.missing`."""
        hint = ""
        if self.state == HEAD and "http.response.pathsend" in (self.scope.get("extensions") or ()):
            hint = (
                "; nothing came after its start: has middleware that does not know"
                " http.response.pathsend dropped a file? Then serve without --pathsend"
            )
        return "without a response" if self.unsent else "before its response was complete", hint
