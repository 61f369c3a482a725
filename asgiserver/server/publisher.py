"""Publishes the figures of a server, and what runs in it, on a board that others read.

That happens at each tick of the clock, in the server's own loop, so a loop that is blocked shows by
the age of what it has published. This module does not know who reads.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from asgiserver.log.record import unlogged
from asgiserver.metrics.requests import RequestTally
from asgiserver.server.board import Board
from asgiserver.server.memory import resident_bytes

if TYPE_CHECKING:
    from asgiserver.context import ServerContext
    from asgiserver.metrics.figures import Values
    from asgiserver.server.view import ServerView

__all__ = ["Published", "Publisher", "read_board"]

MOST_RUNNING = 20
"""Requests that are published, those that have been running for longest."""


class Published(NamedTuple):
    """What a server has published last.

    `at` is when its loop turned last, in seconds of the system's monotonic clock; `running` are
    the requests and WebSockets that have been running for longest, the oldest first.
    """

    at: float
    figures: Values
    running: list[dict[str, Any]]


class Publisher:
    """Counts each request of a server, and publishes the figures once a second."""

    def __init__(self, board: Board | None = None) -> None:
        """`board` is one that other processes read; None: only this process does."""
        self.board = board or Board(-1)
        self._view: ServerView | None = None
        self._turned = 0.0  # when the loop has ticked last, in seconds of the monotonic clock

    def __repr__(self) -> str:
        return f"<Publisher {self.board!r}>"

    def begin(self, context: ServerContext, view: ServerView) -> None:
        """Count and publish from now on."""
        context.stats.tally = tally = RequestTally()
        if context.access is unlogged:
            context.stats.count_usual = tally.count_usual
        self._view = view

    def tick(self) -> None:
        """The clock has ticked: the loop turns."""
        self._turned = time.monotonic()
        self.publish()

    def publish(self) -> None:
        """Publish now. A thread that finds the loop blocked may call this, too."""
        view = self._view
        if view is None:
            return
        try:
            shot, running = view.snapshot(resident_bytes()), view.oldest(MOST_RUNNING)
        except RuntimeError:  # in another thread: the loop turns again, and has changed a set
            return
        content: dict[str, Any] = {
            "at": self._turned,
            "figures": shot.values(),
            "running": running,
        }
        if not self.board.write(_encode(content)):
            content["running"] = []
            self.board.write(_encode(content))

    def end(self) -> None:
        """Publish for the last time, what is counted up to the very end."""
        self.publish()
        self._view = None


def read_board(board: Board) -> Published | None:
    """What was published last on `board`; None when that was nothing, or cannot be read."""
    try:
        return Published(**json.loads(board.read()))
    except (ValueError, TypeError):  # nothing yet, a board that was just closed, or a torn copy
        return None


def _encode(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
