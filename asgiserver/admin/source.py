"""What the admin application shows, and whom it asks: one state of the server at one moment.

A server of one process and a supervisor of many give the same. This module knows neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from asgiserver.config.fields import Config
    from asgiserver.metrics.figures import Values

__all__ = ["OrderRefused", "ServerState", "Source", "WorkerState"]


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker, or the only process. Times are seconds."""

    index: int
    pid: int
    phase: str  # starting, ready or draining
    age: float  # since the process was started
    silence: float  # since its loop turned last; 0 while it starts
    reason: str  # why it leaves, if it does
    figures: Values  # what it has published last; nothing before its start
    running: list[dict[str, Any]]  # requests, those that have been running for longest first


class ServerState(NamedTuple):
    """A server at one moment."""

    wanted: int  # workers
    started: bool  # some worker has been ready
    stopping: bool
    stuck_after: float  # seconds of silence after which a loop counts as stuck
    replaces: bool  # whether somebody then replaces the worker
    workers: list[WorkerState]
    gone: Values  # what workers counted that have ended
    restarts: dict[str, int]  # workers that were replaced, by cause
    began: float  # seconds since 1970


class OrderRefused(Exception):
    """An order that this server cannot follow; the text is one line for the operator."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Source(Protocol):
    """What the admin application asks; every method may be called in its thread."""

    @property
    def config(self) -> Config:
        """The configuration as it is now."""
        ...

    def state(self) -> ServerState:
        """The server now."""
        ...

    async def dump(self, as_json: bool) -> str:
        """What all processes are doing, for people or as JSON; it may take a few seconds."""
        ...

    def reload(self) -> str:
        """Read the configuration again; the answer. Raises `OrderRefused`, as all orders do."""
        ...

    def drain(self) -> str:
        """Begin the graceful stop."""
        ...

    def restart_worker(self, index: int) -> str:
        """Replace a worker."""
        ...

    def set_log_level(self, level: str) -> str:
        """Change the level of the server's own log in all processes."""
        ...
