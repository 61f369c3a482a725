"""Log lines about what is wrong inside the process, with fields for structured logs, and bounded.

This module knows nothing of what the lines are about.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from asgiserver.log.loggers import logger
from asgiserver.log.outlet import write_at_last

__all__ = ["Notices"]

WINDOW = 60.0
"""Seconds in which there are at most `MOST` lines of one kind."""

MOST = 10


class Notices:
    """The lines of one kind; `event` is what structured logs call it, `what` what people do."""

    def __init__(self, event: str, what: str) -> None:
        self.event = event
        self._what = what
        self._window = -WINDOW  # when the current minute began
        self._lines = 0

    def __repr__(self) -> str:
        return f"<Notices {self.event} {self._lines}>"

    def allows(self) -> bool:
        """Whether one more line may be written in this minute; the first that may not is said."""
        now = time.monotonic()
        if now - self._window >= WINDOW:
            self._window, self._lines = now, 0
        self._lines += 1
        if self._lines == MOST + 1:
            logger.warning("Further %s are not logged for a minute", self._what)
        return self._lines <= MOST

    def say(self, text: str, *, event: str = "", past_logging: bool = False, **fields: Any) -> None:
        """Log a warning whose record has `event` and `fields` as attributes.

        With `past_logging` the line goes to the standard error at once, because a thread that is
        stuck may hold the locks of `logging`.
        """
        if past_logging:
            write_at_last(f"asgiserver: {text}\n")
        else:
            logger.log(logging.WARNING, "%s", text, extra={"event": event or self.event, **fields})
