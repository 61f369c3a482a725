"""The admin listener of a server without a supervisor: what it shows, and the orders it follows."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any, Protocol

from asgiserver.admin.source import OrderRefused, ServerState, WorkerState
from asgiserver.config.fields import has_tls
from asgiserver.config.values import LEVELS
from asgiserver.server.admin_listener import AdminListener, dump_text
from asgiserver.server.publisher import read_board

if TYPE_CHECKING:
    from asgiserver.config.fields import Config
    from asgiserver.context import ServerContext
    from asgiserver.server.publisher import Publisher

__all__ = ["admin_of"]


class Owner(Protocol):
    """The part of a `Server` that its admin listener knows; `context` is there once it started."""

    config: Config
    started: bool
    publisher: Publisher | None
    context: ServerContext

    def dump(self) -> dict[str, Any]: ...
    def reload_tls(self) -> bool: ...
    def stop_threadsafe(self, timeout: float | None = None) -> None: ...


def admin_of(server: Owner) -> AdminListener:
    """The admin listener of `server`, which has --admin."""
    return AdminListener(server.config, OwnSource(server))


class OwnSource:
    """The `Source` of a server that is alone in its process."""

    def __init__(self, server: Owner) -> None:
        self._server = server
        self._began = time.monotonic()
        self._began_at = time.time()

    def __repr__(self) -> str:
        return f"<OwnSource {self._server!r}>"

    @property
    def config(self) -> Config:
        """See `Source`."""
        return self._server.config

    def state(self) -> ServerState:
        """See `Source`."""
        server, now = self._server, time.monotonic()
        published = None if server.publisher is None else read_board(server.publisher.board)
        phase, silence = "starting", 0.0
        stopping = server.started and server.context.draining
        if server.started:
            phase = "draining" if stopping else "ready"
            silence = 0.0 if published is None else max(0.0, now - published.at)
        worker = WorkerState(
            index=0,
            pid=os.getpid(),
            phase=phase,
            age=now - self._began,
            silence=silence,
            reason="",
            figures={} if published is None else published.figures,
            running=[] if published is None else published.running,
        )
        return ServerState(
            wanted=1,
            started=server.started,
            stopping=stopping,
            stuck_after=server.config.timeout_worker_stuck,
            replaces=False,
            workers=[worker],
            gone={},
            restarts={},
            began=self._began_at,
        )

    async def dump(self, as_json: bool) -> str:
        """See `Source`; it needs no turn of the server's loop."""
        return dump_text(self._server.dump(), as_json)

    def reload(self) -> str:
        """Read certificates again; without a supervisor nothing else is."""
        server = self._server
        if not (has_tls(self.config) and server.started):
            text = "nothing is read again without a supervisor (--supervise), except certificates"
            raise OrderRefused(409, text)
        server.context.loop.call_soon_threadsafe(server.reload_tls)
        return "certificates are read again"

    def drain(self) -> str:
        """See `Source`."""
        self._server.stop_threadsafe()
        return "draining"

    def restart_worker(self, index: int) -> str:
        """See `Source`."""
        raise OrderRefused(409, "there are no workers; --supervise has one")

    def set_log_level(self, level: str) -> str:
        """See `Source`."""
        logging.getLogger("asgiserver").setLevel(LEVELS[level])
        return f"the log's level is {level}"
