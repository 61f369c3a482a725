"""When to try again after workers have failed, and when to give up. Pure: it reads no clock."""

from __future__ import annotations

__all__ = ["Failures"]


class Failures:
    """The recent failures of workers. Times are seconds of one monotonic clock."""

    LIMIT = 5  # failures within WINDOW: give up
    WINDOW = 60.0
    STEADY = 10.0  # a worker that served for this long was no failed start
    FIRST_DELAY = 0.25
    LONGEST_DELAY = 30.0

    def __init__(self) -> None:
        self._times: list[float] = []
        self.in_row = 0  # since a worker that was started later proved steady
        self.last_at = float("-inf")
        self.retry_at = 0.0

    def __repr__(self) -> str:
        return f"<Failures in_row={self.in_row} retry_at={self.retry_at:.1f}>"

    def add(self, now: float, *, booted: bool, counts: bool = True) -> None:
        """Note that a worker failed at `now`. The first one that had `booted` is replaced at once.

        `counts` is False for a worker that nobody misses: the one it was to replace still serves.
        """
        self.in_row += 1
        self.last_at = now
        if counts:
            self._times = [at for at in self._times if now - at < self.WINDOW] + [now]
        delay = min(self.LONGEST_DELAY, self.FIRST_DELAY * 2 ** min(self.in_row - 1, 20))
        self.retry_at = now if booted and self.in_row == 1 else now + delay

    def steady(self) -> None:
        """Note that a worker which started after the last failure has served for long enough."""
        self.in_row = 0

    def too_many(self, now: float) -> bool:
        """Whether to give up."""
        return sum(now - at < self.WINDOW for at in self._times) >= self.LIMIT
