"""The time of a log line as text. Most lines share their second, so its text is kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SecondText", "clf_time", "iso_time"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SecondText:
    """Keeps the text of one second, which `make` makes of its `time.time`."""

    __slots__ = ("_kept", "_make")

    def __init__(self, make: Callable[[int], str]) -> None:
        self._make = make
        self._kept = (-1, "")  # one object, because several threads may ask

    def at(self, now: float) -> str:
        """The text of the second in which `now` lies."""
        second = int(now)
        kept, text = self._kept
        if second != kept:
            text = self._make(second)
            self._kept = (second, text)
        return text


_iso_seconds = SecondText(lambda second: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))


def iso_time(now: float) -> str:
    """``2026-11-21T11:01:13.250Z`` of a `time.time` (RFC 3339)."""
    return f"{_iso_seconds.at(now)}.{int(now % 1 * 1000):03d}Z"


def _clf(second: int) -> str:
    # The month is not written by strftime's %b, which follows the locale.
    utc = time.gmtime(second)
    return (
        f"{utc.tm_mday:02d}/{_MONTHS[utc.tm_mon - 1]}/{utc.tm_year:04d}"
        f":{utc.tm_hour:02d}:{utc.tm_min:02d}:{utc.tm_sec:02d} +0000"
    )


_clf_seconds = SecondText(_clf)


def clf_time(now: float) -> str:
    """``21/Nov/2026:11:01:13 +0000`` of a `time.time`, as in Apache's log."""
    return _clf_seconds.at(now)
