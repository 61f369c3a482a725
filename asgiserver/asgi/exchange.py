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
"""The length of a body that has no Content-Length, while its parts are counted all the same."""


class Exchange(Response, Session):
    """The `Session` of an HTTP request.

    The request half: `_parts` gathers the body until the application takes all of it at once; after
    its end `receive` waits for the response to be complete or the client to be gone. The response
    half is inherited. What most requests leave as it is stands here, not in `__init__`.
    """

    task: Task[None] | None = None
    outcome: Outcome = "ok"
    cancel_reason: Outcome | None = None
    _told_end = False  # the application knows that the body is complete
    _held = False  # the head was, when the clock looked last
    _hung_up: Outcome | None = None  # why the application shall stop, as an outcome
    _sent_when_told = 0  # bytes of body, when it heard that

    def __init__(
        self, context: ServerContext, channel: Channel, request: RequestHead, scope: Scope
    ) -> None:
        # HOT 1 %: first what `Response.__init__` does, without a call.
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
        self._ended = not request.framing.has_body  # the body is complete
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
        self._ended = True
        if self._waiters:
            self._wake()

    def disconnect(self, reason: Outcome) -> None:
        """The peer is gone, or broke off; `reason` becomes the outcome in the access log."""
        if self.state != DONE:
            self.gone = True
            self.end(Way.GONE if reason == "client_gone" else Way.UNREAD)
            self._cancel_on_disconnect()
        if self._waiters:
            self._wake()

    def refuse(self, error: PeerError) -> None:
        """The request turned out to be broken or too large while its body came in."""
        if self.state == DONE:
            return
        self.gone = True
        self.end(Way.REFUSED, refusal=error)
        self._cancel_on_disconnect()
        if self._waiters:
            self._wake()

    def hang_up(self, reason: Outcome) -> None:
        """Tell the application `http.disconnect` when it listens, but let it go on sending.

        For a client that closed its sending side and may still read, and for a stream that would
        hold up a shutdown. `reason` is the outcome if it stops then. Of a client, a stream that has
        begun is cancelled, if that is wanted: an answer that is being prepared may be waited for.
        """
        self._hung_up = self._hung_up or reason  # the first word counts
        if self._waiters:
            self._wake()
        if reason == "client_gone" and self.state == BODY and not self.cancel_reason:
            self._cancel_on_disconnect()

    def on_tick(self, now: float) -> None:
        """The request has been running for another second."""
        if self.state != HEAD:
            return
        if not self._held:
            self._held = True
        elif self._head is not None:
            # Long enough: an event stream whose first event is far away has to be seen to begin.
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
            if not self._told_end:
                if self._ended:
                    self._told_end = True
                    return {"type": "http.request", "body": b"", "more_body": False}
                if self.continue_wanted:
                    self.continue_wanted = False
                    if self.state == START:
                        self._channel.send_informational(100, [])
            elif self._hung_up:
                self._tell_gone()
                break
            await self._wait()
        return {"type": "http.disconnect"}

    def _take_body(self, parts: list[bytes]) -> Message:
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = None
        self.buffered = 0
        self._told_end = self._ended
        self._channel.consumed(len(body))
        return {"type": "http.request", "body": body, "more_body": not self._ended}

    def _tell_gone(self) -> None:
        """The application hears `http.disconnect`, and from now on its body is counted."""
        if not self.told_gone:
            self.told_gone = True
            self._sent_when_told = self.sent
            if self.state == BODY and self._left is None and self._hung_up == "client_gone":
                self._left = UNKNOWN

    def _count_down(self, size: int, end: bool) -> None:
        """The same, but who ends early because it heard that the client left makes no mistake.

        Nor has it ended: middleware ends the response in good order when the stream beneath it was
        cancelled, and then nobody may take the response for whole.
        """
        if self.told_gone and self._hung_up == "client_gone":
            left = self._left
            if left == UNKNOWN:
                early = not size and self.sent == self._sent_when_told
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
            else:  # frameworks send it and then raise what it is about: see `apply`
                self.context.loop.call_soon(self.record, 500)
        if self._waiters:
            self._wake()
        self._channel.finish()

    def body_left_out(self, status: int) -> None:
        """Say it once, unless the request was HEAD: then it is what applications do."""
        if self.request.method != "HEAD" and self.context.first_time(f"body of a {status}"):
            logger.warning(
                "Left out the body of a %d response, which has none: %s; said once",
                status,
                self.label,
            )

    # The application itself.

    def time_out(self) -> None:
        """It takes too long: answer or cut at once, whatever the application does about it."""
        if self.state == DONE and not self.gone:
            return  # what it does behind its response is its own business
        if self.state != DONE:
            self.end(Way.LATE)
            self.gone = True
        if not self.cancel_reason:
            self.cancel("timeout")

    def _cancel_on_disconnect(self) -> None:
        """The option's value unless the application has changed it for this request.

        In its scope: ``scope["extensions"]["asgiserver.on_disconnect"] = {"mode": "cancel"}``.
        What is no mode there leaves the option: nobody could be told of it any more.
        """
        mode = self.context.config.on_disconnect
        chosen = (self.scope.get("extensions") or {}).get("asgiserver.on_disconnect")
        if isinstance(chosen, dict) and chosen.get("mode") in ("notify", "cancel"):
            mode = chosen["mode"]
        if mode == "cancel":
            self.cancel("client_gone")

    # How it ends before its time.

    @property
    def stage(self) -> Stage:
        """See `Session.stage`."""
        if self.state == DONE:
            return Stage.OVER
        return Stage.UNSENT if self.unsent else Stage.BEGUN

    @property
    def told(self) -> Way | None:
        """See `Session.told`: the application knows from `receive` or from `send`."""
        if not (self.gone or self.told_gone):
            return None
        return Way.DRAINED if self._hung_up == "shutdown" and not self.gone else Way.LEFT

    def apply(self, ending: Ending, answer: PeerError) -> None:
        """See `Session.apply`."""
        act = ending.act
        if act is Act.NOTHING:
            if ending.outcome == "app_error" and self.status == 500 and not self.gone:
                self.outcome = "app_error"  # its record may wait for this
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
                "; after its start nothing came: has middleware that does not know"
                " http.response.pathsend dropped a file? Then serve without --pathsend"
            )
        return "without a response" if self.unsent else "before its response was complete", hint
