"""When a worker that serves well is replaced all the same: by requests, age and memory.

This module knows no process and no clock: it gets what the worker reports, and the worker's age.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from asgiserver.server.memory import size_text

if TYPE_CHECKING:
    from asgiserver.config.fields import Config
    from asgiserver.process.control import Beat

__all__ = ["Recycling"]

RSS_SAMPLES = 3
"""A worker is recycled after so many samples in a row above the limit of memory."""


class Recycling:
    """The limits of one worker; a random jitter lets workers reach that of requests in turn."""

    __slots__ = ("_max_age", "_max_requests", "_max_rss", "_rss_above")

    def __init__(self, config: Config | None = None) -> None:
        self._max_requests = self._max_age = self._max_rss = math.inf
        self._rss_above = 0  # samples in a row
        if config is None:
            return
        if config.limit_max_requests is not None:
            jitter = random.randint(0, config.limit_max_requests_jitter)
            self._max_requests = config.limit_max_requests + jitter
        self._max_age = config.max_worker_age
        self._max_rss = config.max_worker_rss

    def __repr__(self) -> str:
        return f"<Recycling after {self._max_requests} requests, {self._max_age} s>"

    def reason(self, beat: Beat, age: float) -> str:
        """Why a worker of `age` seconds is to be replaced, as a sentence; empty if it is not.

        Called once for each beat, because samples of memory are counted.
        """
        self._rss_above = self._rss_above + 1 if beat.rss > self._max_rss else 0
        if beat.requests >= self._max_requests:
            return f"it has served {beat.requests} requests"
        if age >= self._max_age:
            return f"it is {age:.0f} s old"
        if self._rss_above >= RSS_SAMPLES:
            return f"its memory is {size_text(beat.rss)}"
        return ""
