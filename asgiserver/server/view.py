"""What others may see of a server: its figures, and nothing that they could change."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from asgiserver.metrics.figures import Snapshot

if TYPE_CHECKING:
    from asgiserver.context import ServerContext

__all__ = ["ServerView"]


class ServerView:
    """A server that has started, as a worker or an endpoint for its operators sees it."""

    __slots__ = ("_context",)

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def __repr__(self) -> str:
        return f"<ServerView open={self.open} accepted={self.accepted} running={self.running}>"

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._context.connections)

    @property
    def accepted(self) -> int:
        """How many connections there have been so far."""
        return self._context.stats.connections

    @property
    def running(self) -> int:
        """For how many requests and WebSockets the application runs now."""
        return len(self._context.running)

    def snapshot(self, rss: int = 0) -> Snapshot:
        """A copy of all figures; `rss` is the resident memory of this process in bytes."""
        counted = dataclasses.asdict(self._context.stats)
        return Snapshot(**counted, open=self.open, running=self.running, rss=rss)
