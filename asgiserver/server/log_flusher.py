"""Writes log lines that wait for a slow reader, as soon as the reader goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.log.loggers import flush_log

if TYPE_CHECKING:
    import asyncio

    from asgiserver.log.access import AccessLog

__all__ = ["LogFlusher"]

CATCH_UP = 0.02
"""Seconds between flushes while the reader takes lines: a pipe holds 64 KiB at a time."""


class LogFlusher:
    """Flushes the access log and the server's own log at each tick, or more often if that helps."""

    def __init__(self, loop: asyncio.AbstractEventLoop, access_log: AccessLog | None) -> None:
        self._loop = loop
        self._access_log = access_log
        self._next: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<LogFlusher {self._access_log!r}>"

    def flush(self) -> None:
        """Write as much as the readers take now."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        more = flush_log()
        if self._access_log is not None:
            more = self._access_log.flush() or more
        if more:
            self._next = self._loop.call_later(CATCH_UP, self.flush)
