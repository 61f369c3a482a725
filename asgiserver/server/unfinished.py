"""What is unfinished when a server stops: it is waited for, notified, and at last cancelled.

This module knows nothing of listeners; the server accepts nothing new by then.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asgiserver.asgi.session import Session
    from asgiserver.context import ServerContext
    from asgiserver.server.limits import RequestLimit

__all__ = ["Unfinished"]

logger = logging.getLogger("asgiserver")

NOTICE_DELAY = 1.0
"""Seconds between the shutdown notice and `http.disconnect` for endless responses: time for an
application that heeds the notice to end its streams in its own way."""

CANCEL_TIME = 1.0
"""Seconds that a cancelled application has to end."""

REPORT_DELAY = 5.0
"""Seconds of waiting at shutdown after which the log names what the server waits for."""


class Unfinished:
    """The connections and the sessions of `context`. Setting `hurry` ends the wait for them.

    Sessions of `queue` have not begun; None: no session has to wait for its turn.
    """

    def __init__(
        self, context: ServerContext, hurry: asyncio.Event, queue: RequestLimit | None
    ) -> None:
        self._context = context
        self._hurry = hurry
        self._queue = queue
        self._quiet: asyncio.Future[None] | None = None  # done when nothing is left to wait for
        context.shutdown.has_ended = self._on_end

    def __repr__(self) -> str:
        context = self._context
        return (
            f"<Unfinished {len(context.connections)} connections, {len(context.running)} running>"
        )

    async def wait(self, timeout: float, deadline: float) -> None:
        """Close connections as they become idle, until none and no session is left.

        Ends at `deadline`, seconds of the loop's clock, at the latest. Half of `timeout` seconds,
        but at most `NOTICE_DELAY`, pass before endless responses are told to end.
        """
        context = self._context
        for connection in list(context.connections):
            connection.begin_drain()
        notice = context.loop.call_later(min(NOTICE_DELAY, timeout / 2), self._notify)
        report = context.loop.call_later(REPORT_DELAY, self._report)
        try:
            await self._wait_quiet(deadline)
        finally:
            notice.cancel()
            report.cancel()

    async def _wait_quiet(self, deadline: float) -> None:
        loop = self._context.loop
        self._quiet = loop.create_future()
        self._on_end()
        hurry = loop.create_task(self._hurry.wait())
        left = None if deadline == math.inf else max(0.0, deadline - loop.time())
        waiting: list[asyncio.Future[Any]] = [self._quiet, hurry]
        await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()

    def _on_end(self) -> None:
        """Called when a connection or an application has ended: it may have been the last."""
        quiet = self._quiet
        context = self._context
        if quiet is not None and not quiet.done() and not (context.connections or context.running):
            quiet.set_result(None)

    def _notify(self) -> None:
        for session in list(self._context.running.values()):
            session.begin_drain()

    def _report(self) -> None:
        for session, place in self._places():
            logger.info("Waiting for %s (%.1f s)%s", session.label, session.age, place)

    def _places(self) -> list[tuple[Session, str]]:
        """The sessions that still run, and where in the application each of them waits."""
        from asgiserver.watch.dump import where

        context = self._context
        found = where(context, list(context.running.values()))
        return [(session, f" in {place}" if place else "") for session, place in found.items()]

    async def cancel(self) -> None:
        """Cancel the sessions that still run, name them in the log, and close all connections."""
        if self._queue is not None:
            self._queue.close()
        context = self._context
        running = context.running.copy()
        for session, place in self._places() if running else ():
            logger.warning(
                "Cancelled at shutdown: %s (%.1f s)%s", session.label, session.age, place
            )
            session.cancel("shutdown")
        if running:
            await asyncio.wait(set(running), timeout=CANCEL_TIME)
        for session in context.running.values():
            logger.error("Does not end though it was cancelled: %s", session.label)
        for connection in list(context.connections):
            connection.abort("shutdown")
        await asyncio.sleep(0)  # the loop tells connections of their end in its next turn
