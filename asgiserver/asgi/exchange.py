"""One HTTP request and its response as an ASGI application sees them, on every wire."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING

from asgiserver.asgi.ending import Act, Stage, Way
from asgiserver.asgi.response import BODY, DONE, START, STATE_NAMES, Response
from asgiserver.asgi.session import Session
from asgiserver.asgi.shared_keys import share_keys
from asgiserver.context import wake
from asgiserver.http.message import PLAIN

if TYPE_CHECKING:
    from asyncio import Future, Task

    from asgiserver.asgi.channel import Channel
    from asgiserver.asgi.ending import Ending
    from asgiserver.context import ServerContext
    from asgiserver.errors import PeerError
    from asgiserver.http.message import RequestHead
    from asgiserver.types import Message, Outcome, Scope, Send

logger = logging.getLogger("asgiserver")

JOINED = 512
"""Bytes below which parts of a body are joined: a client may send two bytes at a time, and each
object of its own takes about fifty."""


class Exchange(Session):
    """The `Session` of an HTTP request; the `Owner` of its response.

    This is the request half: `_parts` gathers the body until the application takes all of it at
    once; after the end of the body `receive` waits until the response is complete or the client is
    gone. The class attributes are defaults that few requests change: see `shared_keys`.
    """

    task: Task[None] | None = None
    outcome: Outcome = "ok"
    cancel_reason: Outcome | None = None
    _held_at_last_tick: bool = False  # whether the head was held when the clock ticked last
    _stop_reason: Outcome | None = None  # why the application shall stop

    send: Send  # the method of its response

    def __init__(
        self, context: ServerContext, channel: Channel, request: RequestHead, scope: Scope
    ) -> None:
        self.context: ServerContext = context
        self._channel = channel
        self.request = request
        self.scope = scope
        self.begun = perf_counter()
        self.response = response = Response(channel, self)
        self.send = response.send
        self.over = False
        self.buffered = self.received = 0
        self._parts: list[bytes] | None = None
        self._waiters: list[Future[None]] | None = None
        self._end_delivered = False  # whether the application knows that the body is complete
        framing = request.framing
        if framing is PLAIN:
            self._body_complete = True
            self.continue_wanted = False
        else:
            self._body_complete = not framing.has_body
            self.continue_wanted = framing.expect_continue

    @property
    def state_name(self) -> str:
        """The state of the response."""
        return STATE_NAMES[self.response.state]

    @property
    def sent(self) -> int:  # type: ignore[override] # nobody sets it
        """Bytes of the response's body."""
        return self.response.sent

    @property
    def first_byte(self) -> float:  # type: ignore[override] # nobody sets it
        """See `Response.first_byte`."""
        return self.response.first_byte

    @property
    def unsent(self) -> bool:
        """See `Session.unsent`."""
        return self.response.unsent

    @property
    def awaits_client(self) -> bool:
        """See `Session.awaits_client`; after the end of its body a client sends no more."""
        return bool(self._waiters) and not self._body_complete

    # From the wire.

    def feed(self, data: bytes) -> None:
        """More of the request body."""
        if self._parts is None:
            self._parts = [data]
        else:
            _add(self._parts, data)
        size = len(data)
        self.buffered += size
        self.received += size
        self.continue_wanted = False
        if self._waiters:
            self._wake(self._waiters)

    def feed_end(self) -> None:
        """The request body is complete."""
        self._body_complete = True
        if self._waiters:
            self._wake(self._waiters)

    def disconnect(self, reason: Outcome) -> None:
        """The peer is gone, or it was cut; `reason` becomes the outcome in the access log."""
        if not self.over:
            self.response.gone = True
            self.end(Way.GONE if reason == "client_gone" else Way.UNREAD)
            self._cancel_on_disconnect()
        if self._waiters:
            self._wake(self._waiters)

    def refuse(self, error: PeerError) -> None:
        """The request is broken or too large, which showed while its body arrived."""
        if self.over:
            return
        self.response.gone = True
        self.end(Way.REFUSED, refusal=error)
        self._cancel_on_disconnect()
        if self._waiters:
            self._wake(self._waiters)

    def hang_up(self, reason: Outcome) -> None:
        """Give the application `http.disconnect` when it listens, but let it go on sending.

        This is for a client that closed its sending side and may still read, and for a stream that
        would hold up a shutdown. `reason` is the outcome if the application stops because of it.

        After ``client_gone`` a stream that has begun is cancelled if `on_disconnect` says so. A
        response that has not begun is not, because the client may still wait for it.
        """
        self._stop_reason = self._stop_reason or reason  # the first reason counts
        if self._waiters:
            self._wake(self._waiters)
        if reason == "client_gone" and self.response.state == BODY and not self.cancel_reason:
            self._cancel_on_disconnect()

    def on_tick(self, now: float) -> None:
        """The request has been running for another second."""
        response = self.response
        if not response.holds_head:
            return
        if not self._held_at_last_tick:
            self._held_at_last_tick = True
        else:
            # The head was held long enough: an event stream may be far from its first event, and
            # its client has to see that the stream has begun.
            response.release_head()

    def begin_drain(self) -> None:
        """The server is stopping: an endless response has to learn of it."""
        if START < self.response.state < DONE:
            self.hang_up("shutdown")

    # From the application.

    async def receive(self) -> Message:
        """The application's `receive` (ASGI www: http.request, http.disconnect)."""
        while not self.over:
            if self._parts is not None:
                return self._take_body(self._parts)
            if not self._end_delivered:
                if self._body_complete:
                    self._end_delivered = True
                    return {"type": "http.request", "body": b"", "more_body": False}
                if self.continue_wanted:
                    self.continue_wanted = False
                    if self.response.state == START:
                        self._channel.send_informational(100, [])
            elif self._stop_reason:
                response = self.response
                if not response.disconnect_received:
                    response.note_disconnect(self._stop_reason == "client_gone")
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

    async def _wait(self) -> None:
        """Return when something has changed."""
        # HOT 5 %: a future is made only here; an `asyncio.Event` for each request takes 0.5 us.
        waiter = self.context.loop.create_future()
        if self._waiters is None:
            self._waiters = [waiter]
        else:  # the application waits in several tasks, and may have cancelled some of them
            self._waiters = [*(other for other in self._waiters if not other.done()), waiter]
        await waiter

    def _wake(self, waiters: list[Future[None]]) -> None:
        self._waiters = None
        wake(waiters)

    # `Owner` of the response.

    def completed(self) -> bool:
        """The response is complete; whether its `send` still waits: see `Channel.finish`."""
        self.over = True
        if self.context.access is not None:
            request, response = self.request, self.response
            status, count = response.status, self.context.stats.count_usual
            # HOT 4 %: with --admin and no access log. An answer that the server gives in the
            # application's place has another outcome, and always a status of 400 or more.
            if not (
                count is not None
                and status < 400
                and request.framing is PLAIN
                and not response.first_byte
                and count(request.method, status, self.begun, response.sent)
            ):
                if status != 500 or self.outcome != "ok":
                    self.record(status)
                else:  # frameworks send a 500 and then raise its cause: see `apply`
                    self.context.loop.call_soon(self.record, 500)
        if self._waiters:
            self._wake(self._waiters)
        return self._channel.finish()

    def body_left_out(self, status: int) -> None:
        """Warn once for each status; for HEAD never, as applications send a body as for GET."""
        if self.request.method != "HEAD" and self.context.first_time(f"body of a {status}"):
            logger.warning(
                "Left out the body of a %d response, which has none: %s (logged once)",
                status,
                self.label,
            )

    # The application itself.

    def time_out(self) -> None:
        """The request takes too long: answer or cut at once, whatever the application does."""
        if not self.over:
            self.end(Way.LATE)
            self.response.gone = True
        elif not self.response.gone:
            return  # after its response the application may run as long as it likes
        if not self.cancel_reason:
            self.cancel("timeout")

    def answer_health(self, status: int, text: bytes) -> None:
        """See `Session.answer_health`."""
        self.response.answer(status, text, close=False)

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
        if self.over:
            return Stage.OVER
        return Stage.UNSENT if self.unsent else Stage.BEGUN

    @property
    def stop_way(self) -> Way | None:
        """See `Session.stop_way`: `receive` or `send` has told the application."""
        gone = self.response.gone
        if not (gone or self.response.disconnect_received):
            return None
        return Way.DRAINED if self._stop_reason == "shutdown" and not gone else Way.LEFT

    def apply(self, ending: Ending, answer: PeerError) -> None:
        """See `Session.apply`."""
        act, response = ending.act, self.response
        if act is Act.NOTHING:
            if ending.outcome == "app_error" and response.status == 500 and not response.gone:
                self.outcome = "app_error"  # its record may wait for this: see `completed`
            return
        self.outcome = ending.outcome
        if act is Act.ANSWER:
            response.answer(answer.status, answer.reason.encode(), answer.fields)
            return
        self.over = True
        response.break_off()
        self.record(ending.status or response.status)
        if act is Act.CUT:
            self._channel.abort(self.outcome)

    def missing(self) -> tuple[str, str]:
        """See `Session.missing`."""
        hint = ""
        offered = self.scope.get("extensions") or ()
        if self.response.holds_head and "http.response.pathsend" in offered:
            hint = (
                "; nothing came after its start: has middleware that does not know"
                " http.response.pathsend dropped a file? Then serve without --pathsend"
            )
        return "without a response" if self.unsent else "before its response was complete", hint


def _add(parts: list[bytes], data: bytes) -> None:
    """Add to the parts of a body; small ones become one."""
    if len(data) < JOINED and len(parts[-1]) < JOINED:
        parts[-1] += data
    else:
        parts.append(data)


share_keys(Exchange)
