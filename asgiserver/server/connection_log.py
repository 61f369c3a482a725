"""A line for each connection that opens or ends, with ``--log-level debug``."""

from __future__ import annotations

from typing import Any

from asgiserver.log.escape import client_text
from asgiserver.log.loggers import logger

__all__ = ["LoggedConnections"]


class LoggedConnections(set[Any]):
    """Takes the place of the set of a server's connections."""

    def add(self, connection: Any) -> None:
        """A connection is made, or takes over from one that speaks another protocol."""
        super().add(connection)
        logger.debug("Connection opened: %s", _described(connection))

    def discard(self, connection: Any) -> None:
        """A connection is lost."""
        super().discard(connection)
        logger.debug("Connection ended: %s", _described(connection))


def _described(connection: Any) -> str:
    return f"{client_text(connection.peer.client)} ({type(connection).__name__})"
