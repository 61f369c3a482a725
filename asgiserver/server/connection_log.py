"""With ``--log-level debug``: what was chosen, and a line for each connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.log.escape import client_text
from asgiserver.log.loggers import logger
from asgiserver.server.announcement import reader_name

if TYPE_CHECKING:
    from asgiserver.context import Connection, ServerContext

__all__ = ["LoggedConnections", "log_choices"]


class LoggedConnections(set["Connection"]):
    """Takes the place of the set of a server's connections."""

    def add(self, connection: Connection) -> None:
        """A connection is made, or takes over from one that speaks another protocol."""
        super().add(connection)
        logger.debug("Connection opened: %s", _described(connection))

    def discard(self, connection: Connection) -> None:  # type: ignore[override] # a set of these
        """A connection is lost."""
        super().discard(connection)
        logger.debug("Connection ended: %s", _described(connection))


def _described(connection: Connection) -> str:
    return f"{client_text(connection.peer.client)} ({type(connection).__name__})"


def log_choices(context: ServerContext) -> None:
    """Log what was chosen, and from now on what connects."""
    config, kind = context.config, type(context.loop)
    logger.debug("Options from %s", ", ".join(config.sources) or "nowhere: all are defaults")
    logger.debug("Event loop: %s (%s.%s)", config.loop, kind.__module__, kind.__qualname__)
    logger.debug("HTTP/1 heads: %s", reader_name(config.http))
    logger.debug("WebSockets: %s", "python" if config.ws == "auto" else config.ws)
    context.connections = LoggedConnections()
