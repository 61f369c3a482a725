"""Names requests that run for long without an answer (``--request-warn``), each of them once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.asgi.ending import Stage
from asgiserver.watch.dump import path_of, where
from asgiserver.watch.notice import Notices

if TYPE_CHECKING:
    import asyncio

    from asgiserver.asgi.session import Session
    from asgiserver.context import ServerContext

__all__ = ["SlowRequests"]


class SlowRequests:
    """Looks at the oldest requests at each tick, so that no request needs a timer.

    A request whose response has begun may be meant to last: a stream, or an open WebSocket.
    """

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._seen: set[asyncio.Task[None]] = set()
        self._notices = Notices("slow_request", "slow requests")

    def __repr__(self) -> str:
        return f"<SlowRequests {len(self._seen)}>"

    def on_tick(self) -> None:
        """Name the requests that have become slow since the last tick."""
        context = self._context
        limit = context.config.request_warn
        self._seen.intersection_update(context.running)
        late = []
        for task, session in context.running.items():  # in the order in which they began
            if session.age < limit:
                break
            if task not in self._seen:
                self._seen.add(task)
                if session.stage is Stage.UNSENT:
                    late.append(session)
        context.stats.slow_requests += len(late)
        late = [session for session in late if self._notices.allows()]
        if late:
            self._name(late)

    def _name(self, late: list[Session]) -> None:
        for session, place in where(self._context, late).items():
            method = "WebSocket" if session.is_websocket else session.request.method
            path, age = path_of(session), session.age
            code = f" in {place}" if place else ""
            self._notices.say(
                f"Slow request: {method} {path} has run for {age:.1f} s without an answer,"
                f" and waits for the {session.waits_for}{code}",
                method=method,
                path=path,
                age=age,
                waits_for=session.waits_for,
                frame=str(place or ""),
            )
