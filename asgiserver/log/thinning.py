"""Which requests the access log leaves out: health checks, fast ones, all but a sample."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from asgiserver.config.values import OFF

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.config.fields import Config
    from asgiserver.log.record import AccessRecord

__all__ = ["Thinning"]


class Thinning:
    """Passes on the records that are wanted.

    A request that failed is always wanted: its status is 500 or above, or its outcome not ``ok``.
    The lines of WebSockets are left out by their path alone: their durations say nothing, and an
    opening without its end would puzzle.
    """

    __slots__ = ("_sample", "_skipped", "_slow", "_take")

    def __init__(self, take: Callable[[AccessRecord], None], config: Config) -> None:
        self._take = take
        self._skipped = _any_of(config.access_log_skip)
        self._sample = config.access_log_sample
        self._slow = 0.0 if config.access_log_slow == OFF else config.access_log_slow

    def __repr__(self) -> str:
        return f"<Thinning sample={self._sample} slow={self._slow}>"

    def log(self, record: AccessRecord) -> None:
        """Pass `record` on, or drop it."""
        if record.status >= 500 or record.outcome != "ok" or self._wants(record):
            self._take(record)

    def _wants(self, record: AccessRecord) -> bool:
        if self._skipped is not None:
            path = record.target.partition(b"?")[0].decode("latin-1")
            if self._skipped(path):
                return False
        if record.event != "request":
            return True
        if record.duration < self._slow:
            return False
        return self._sample >= 1 or random.random() < self._sample


def _any_of(patterns: tuple[str, ...]) -> Callable[[str], object] | None:
    """What tells whether a path matches one of these patterns of a shell."""
    if not patterns:
        return None
    import fnmatch
    import re

    return re.compile("|".join(map(fnmatch.translate, patterns))).match
