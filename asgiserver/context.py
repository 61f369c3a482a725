"""What a connection may touch of its server, and nothing more."""

from __future__ import annotations

import contextvars
import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from asgiserver.config import Config
    from asgiserver.types import ASGIApplication, Fields


@dataclasses.dataclass(slots=True)
class AccessRecord:
    """One request at its end, for the access log.

    `outcome` is one of ``ok``, ``client_gone`` (status 499), ``app_error``, ``timeout``,
    ``shutdown``. Durations are seconds, sizes are bytes of body.
    """

    client: tuple[str, int] | None
    method: str
    target: bytes  # as received, with the query
    http_version: str
    status: int
    sent: int
    duration: float
    outcome: str
    fields: Fields  # of the request, for {h[name]}
    scheme: str = "http"
    received: int = 0


@dataclasses.dataclass(slots=True)
class Stats:
    """Counters of one server since it started."""

    connections: int = 0  # accepted so far
    requests: int = 0  # begun so far
    refused: dict[str, int] = dataclasses.field(default_factory=dict)  # PeerErrors by reason

    def count_refused(self, reason: str) -> None:
        """Count one request refused for `reason`."""
        self.refused[reason] = self.refused.get(reason, 0) + 1


class Draining(Protocol):
    """A connection, as the server sees it."""

    deadline: float

    def on_deadline(self, now: float) -> None:
        """`deadline` (clock seconds) has passed."""

    def begin_drain(self) -> None:
        """The server is stopping: close when idle, else with the response in flight."""

    def abort(self, reason: str) -> None:
        """Close at once."""


class Clock(Protocol):
    """Coarse time: one tick a second for every deadline and for the Date field."""

    now: float
    """Seconds of the event loop's clock, at most one tick old."""

    date: bytes
    """The value of the Date field (RFC 9110 section 5.6.7)."""


class ServerContext:
    """Shared by every connection of one `Server`."""

    __slots__ = (
        "access",
        "app",
        "base_context",
        "clock",
        "config",
        "connections",
        "draining",
        "loop",
        "shutdown",
        "state",
        "stats",
        "tasks",
    )

    def __init__(
        self, config: Config, app: ASGIApplication, loop: asyncio.AbstractEventLoop, clock: Clock
    ) -> None:
        self.config = config
        self.app = app
        self.loop = loop
        self.clock = clock
        self.state: dict[str, Any] | None = None  # the lifespan's; None: not supported
        self.base_context = contextvars.Context()
        self.connections: set[Draining] = set()
        self.tasks: set[asyncio.Task[None]] = set()  # exchanges that did not end at once
        self.stats = Stats()
        self.draining = False
        self.shutdown: asyncio.Event | None = None
        self.access: Callable[[AccessRecord], None] | None = None  # None: no access log
