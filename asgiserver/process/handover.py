"""Handing over to a new supervisor (SIGUSR2): its start, and what becomes of it.

This module knows nothing of workers; the supervisor stops them once the successor serves.
"""

from __future__ import annotations

import logging
import os
import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.process.service import Service
    from asgiserver.process.upgrade import Successor

__all__ = ["Handover"]

logger = logging.getLogger("asgiserver")


class Handover:
    """Starts a successor and calls `on_success` when the successor serves.

    A successor that fails is logged and forgotten: this supervisor goes on, and may try again.
    """

    def __init__(
        self, service: Service, selector: selectors.BaseSelector, on_success: Callable[[], None]
    ) -> None:
        self._service = service
        self._selector = selector
        self._on_success = on_success
        self._successor: Successor | None = None

    def __repr__(self) -> str:
        return f"<Handover {self._successor}>"

    def begin(self) -> None:
        """Start a successor on the same sockets, unless one is starting already."""
        if self._successor is not None:
            return
        if os.getpid() == 1:
            logger.error("SIGUSR2: process 1 cannot be succeeded, the container would end with it")
            return
        try:
            self._successor = self._service.upgrade()
        except OSError as exc:
            logger.error("SIGUSR2: the new supervisor cannot be started: %s", exc)
            return
        logger.info("Started a new supervisor (pid %d)", self._successor.pid)
        self._selector.register(self._successor, selectors.EVENT_READ, self._on_answer)

    def check(self) -> None:
        """Notice a successor that has ended without an answer."""
        if self._successor is not None and self._successor.has_ended():
            self._on_answer()

    def _on_answer(self) -> None:
        successor, self._successor = self._successor, None
        assert successor is not None
        self._selector.unregister(successor)
        if successor.serves():
            logger.info("The new supervisor (pid %d) serves", successor.pid)
            self._service.hand_over()
            self._on_success()
        else:
            logger.error("The new supervisor (pid %d) failed, this one goes on", successor.pid)
            self._service.sockets.forget_choice()
        successor.close()

    def close(self) -> None:
        """Stop listening to a successor that has not answered."""
        if self._successor is not None:
            self._successor.close()
