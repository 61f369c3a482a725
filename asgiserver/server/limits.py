"""What a server does with too many connections, too many requests, and requests that run too long.

Limits that are off cost nothing: `apply_limits` decides at the start which exist. This module knows
sessions and connections by what the server may ask of them, and no wire.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from typing import TYPE_CHECKING

from asgiserver.errors import PeerError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Protocol

    from asgiserver.asgi.session import Session
    from asgiserver.context import Connection, ServerContext

    class Ticker(Protocol):
        """The part of the clock that is needed here."""

        def call_each_tick(self, callback: Callable[[], None]) -> None: ...


__all__ = ["ConnectionLimit", "RequestLimit", "apply_limits", "end_late_requests"]

QUEUE_LENGTH = 1024
"""Requests that may wait for their turn; each holds its head and up to 64 KiB of its body."""

REFUSED_CONNECTIONS = 64
"""A connection above the limit is answered 503 while fewer than this linger, and else reset."""

LOOKS = 64
"""Connections that the search for idle ones looks at for each new connection, on average."""

RETRY_AFTER = ((b"retry-after", b"1"),)


def apply_limits(context: ServerContext, clock: Ticker) -> RequestLimit | None:
    """Put the limits that the configuration wants into `context`.

    Returns the one that has to be closed at shutdown, if there is one.
    """
    config = context.config
    if config.limit_connections is not None:
        connections = ConnectionLimit(context, config.limit_connections)
        context.admission.limit = connections.admit
        clock.call_each_tick(connections.forget)
    if config.timeout_request != math.inf:
        clock.call_each_tick(functools.partial(end_late_requests, context))
    if config.limit_concurrency is None and config.limit_websockets is None:
        return None
    requests = RequestLimit(context)
    context.start = requests.start
    clock.call_each_tick(requests.on_tick)
    return requests


class ConnectionLimit:
    """At most `limit` connections; for a new one the longest idle gives way (RFC 9112 9.5)."""

    __slots__ = ("_admitted_since_look", "_context", "_idle", "_limit")

    def __init__(self, context: ServerContext, limit: int) -> None:
        self._context = context
        self._limit = limit
        self._idle: list[Connection] = []  # as of the last look, the longest idle last
        self._admitted_since_look = math.inf  # infinity: no look so far

    def __repr__(self) -> str:
        return f"<ConnectionLimit {len(self._context.connections)} of {self._limit}>"

    def admit(self, connection: Connection) -> bool:
        """Make room for `connection`, which is counted already, and return True.

        Raises `PeerError` (503) when there is no room; False when there is none for an answer.
        """
        connections = self._context.connections
        lingering = self._context.stats.lingering
        count = len(connections) - lingering
        if count <= self._limit:
            return True
        self._admitted_since_look += 1
        if not self._idle and self._admitted_since_look * LOOKS >= count:
            self._admitted_since_look = 0
            idle = [other for other in connections if other.idle]
            self._idle = sorted(idle, key=_deadline, reverse=True)
        while self._idle:
            other = self._idle.pop()
            if other.idle:
                other.begin_drain()
                return True
        if lingering >= REFUSED_CONNECTIONS:
            return False
        raise PeerError(503, "too many connections", RETRY_AFTER)

    def forget(self) -> None:
        """Hold on to no connection for longer than a tick."""
        self._idle.clear()
        self._admitted_since_look = math.inf


def _deadline(connection: Connection) -> float:
    return connection.deadline


class RequestLimit:
    """Bounds how many requests run and, separately, how many WebSockets.

    A request beyond the limit is refused, or waits its turn in a queue. A request that ends at
    once, without waiting for anything, never counts.
    """

    __slots__ = (
        "_context",
        "_queue",
        "_queue_length",
        "_request_limit",
        "_timeout",
        "_websocket_limit",
        "requests",
        "websockets",
    )

    def __init__(self, context: ServerContext) -> None:
        config = context.config
        self._context = context
        self._request_limit = config.limit_concurrency or math.inf
        self._websocket_limit = config.limit_websockets or math.inf
        self._timeout = config.timeout_queue
        self._queue_length = QUEUE_LENGTH if config.overload == "queue" else 0
        self._queue: deque[tuple[float, Session]] = deque()  # each with its arrival time
        self.requests = 0  # running
        self.websockets = 0

    def __repr__(self) -> str:
        return (
            f"<RequestLimit requests={self.requests} waiting={len(self._queue)}"
            f" websockets={self.websockets}>"
        )

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._queue)

    def start(self, session: Session) -> None:
        """Run a session, let it wait, or refuse it."""
        if session.is_websocket:
            if self.websockets >= self._websocket_limit:
                self._refuse(session, "too many WebSockets are open")
                return
            self.websockets += 1
            if not self._run(session, self._websocket_ended):
                self.websockets -= 1
        elif self.requests < self._request_limit:
            self._run_request(session)
        elif len(self._queue) < self._queue_length:
            self._queue.append((self._context.clock.now, session))
        else:
            self._refuse(session, "too many requests are running")

    def on_tick(self) -> None:
        """Refuse requests that have waited for too long, forget those whose client has left."""
        if self._queue:
            oldest = self._context.clock.now - self._timeout
            waiting = [entry for entry in self._queue if not entry[1].over]
            self._queue.clear()
            self._queue.extend(entry for entry in waiting if entry[0] > oldest)
            for since, session in waiting:
                if since <= oldest:
                    self._refuse(session, "too many requests are waiting")

    def close(self) -> None:
        """Refuse the requests that wait, and let no more wait: the server stops for good."""
        queue, self._queue = self._queue, deque()
        self._queue_length = 0
        for _, session in queue:
            self._refuse(session, "the server is stopping")

    def _run_request(self, session: Session) -> None:
        self.requests += 1
        if not self._run(session, self._request_ended):
            self.requests -= 1

    def _run(self, session: Session, ended: Callable[[asyncio.Task[None]], None]) -> bool:
        """Start `session`; False when it has ended already."""
        self._context.start_now(session)
        if session.task is None:
            return False
        session.task.add_done_callback(ended)
        return True

    def _request_ended(self, task: asyncio.Task[None]) -> None:
        self.requests -= 1
        while self._queue and self.requests < self._request_limit:
            _, session = self._queue.popleft()
            if not session.over:
                self._run_request(session)

    def _websocket_ended(self, task: asyncio.Task[None]) -> None:
        self.websockets -= 1

    def _refuse(self, session: Session, reason: str) -> None:
        self._context.refuse(session, PeerError(503, reason, RETRY_AFTER))


def end_late_requests(context: ServerContext) -> None:
    """End the requests that take longer than --timeout-request; see `Session.time_out`.

    What an application does after a complete response no longer belongs to the client's request.
    """
    limit = context.config.timeout_request
    for session in list(context.running.values()):
        if session.age >= limit:
            session.time_out()
