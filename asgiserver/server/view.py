"""What others may see of a server: its figures, and nothing that could be changed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from asgiserver.metrics.figures import Snapshot

if TYPE_CHECKING:
    from asgiserver.context import ServerContext

__all__ = ["ServerView"]


class ServerView:
    """What a worker, or an endpoint for operators, sees of a server that has started."""

    __slots__ = ("_context",)

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def __repr__(self) -> str:
        return f"<ServerView open={self.open} accepted={self.accepted} running={self.running}>"

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._context.connections)

    @property
    def accepted(self) -> int:
        """How many connections were accepted so far."""
        return self._context.stats.connections

    @property
    def running(self) -> int:
        """How many requests and WebSockets run in the application now."""
        return len(self._context.running)

    def snapshot(self, rss: int = 0) -> Snapshot:
        """A copy of all figures; `rss` is the resident memory of this process in bytes."""
        counted = dataclasses.asdict(self._context.stats)
        return Snapshot(**counted, open=self.open, running=self.running, rss=rss)
