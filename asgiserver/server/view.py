"""What others may see of a server: its figures, and nothing that could be changed."""

from __future__ import annotations

import dataclasses
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from asgiserver.metrics.figures import Counters, Snapshot
from asgiserver.wire.connection import count_states

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asgiserver.asgi.session import Session
    from asgiserver.context import ServerContext
    from asgiserver.server.limits import RequestLimit
    from asgiserver.server.tls import TLS

__all__ = ["ServerView"]

LONGEST_PATH = 200  # characters of a path that are shown

_COUNTED = [field.name for field in dataclasses.fields(Counters) if field.metadata]


class ServerView:
    """What a worker, or an endpoint for operators, sees of a server that has started."""

    __slots__ = ("_context", "_limit", "_tls")

    def __init__(
        self, context: ServerContext, limit: RequestLimit | None = None, tls: TLS | None = None
    ) -> None:
        self._context = context
        self._limit = limit
        self._tls = tls

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
    def requests(self) -> int:
        """How many requests have begun so far."""
        return self._context.stats.requests

    @property
    def running(self) -> int:
        """How many requests and WebSockets run in the application now."""
        return len(self._context.running)

    def snapshot(self, rss: int = 0) -> Snapshot:
        """A copy of all figures; `rss` is the resident memory of this process in bytes.

        Call it in the thread of the server's loop. What `Snapshot.ended` and `Snapshot.early` have
        is counted only with --admin, or after `Server.measure`.
        """
        context = self._context
        stats, running = context.stats, context.running
        counted = {name: _copied(getattr(stats, name)) for name in _COUNTED}
        websockets = sum([session.is_websocket for session in running.values()])
        shot = Snapshot(**counted)
        shot.open = len(context.connections)
        shot.states = count_states(context.connections)
        shot.h2_streams_open, opened = _count_streams(context.connections)
        shot.h2_streams += opened  # by connections that are open; the others have counted theirs
        shot.running = len(running)
        shot.websockets_open = websockets
        shot.in_flight = len(running) - websockets
        shot.queued = 0 if self._limit is None else self._limit.waiting
        shot.rss = rss
        shot.cpu = time.process_time()
        if stats.tally is not None:
            shot.ended = stats.tally.rows()
            shot.early = list(stats.tally.early.numbers)
        if self._tls is not None:
            shot.certificates = self._tls.expiries()
        return shot

    def oldest(self, most: int) -> list[dict[str, Any]]:
        """What has been running for longest, at most `most` requests and WebSockets."""
        return [_described(session) for session in islice(self._context.running.values(), most)]


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, list | dict) else value


def _count_streams(connections: Iterable[Any]) -> tuple[int, int]:
    """How many streams of HTTP/2 are open, and how many these connections have opened so far."""
    codecs = [one.codec for one in connections if one.wire == "h2"]
    return sum([len(one.streams) for one in codecs]), sum([one.ids.opened for one in codecs])


def _described(session: Session) -> dict[str, Any]:
    method, _, target = session.label.partition(" ")
    return {
        "method": method,
        "path": target.partition("?")[0][:LONGEST_PATH],
        "age": round(session.age, 3),
        "state": session.state_name,
    }
