"""A line for each connection that opens or ends, with ``--log-level debug``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiserver.log.escape import client_text
from asgiserver.log.loggers import logger

if TYPE_CHECKING:
    import asyncio

__all__ = ["LoggedConnections"]


class LoggedConnections(set[Any]):
    """Takes the place of the set of a server's connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def add(self, connection: Any) -> None:
        """A connection is made; its addresses are known a moment later."""
        super().add(connection)
        self._loop.call_soon(self._opened, connection)

    def _opened(self, connection: Any) -> None:
        logger.debug("Connection opened: %s", client_text(connection.peer.client))

    def discard(self, connection: Any) -> None:
        """A connection is lost."""
        super().discard(connection)
        logger.debug("Connection ended: %s", client_text(connection.peer.client))
