"""A child process as its parent sees it: signalled, reaped, and how it ended."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ChildProcess", "exit_text"]


class ChildProcess:
    """A process that is not reaped yet, until `has_ended` has said so.

    `poll` returns the exit code, negative for the signal that ended the process, and None while the
    process runs. `forked` tells that the process shares memory with its parent.
    """

    __slots__ = ("_poll", "exit_code", "forked", "pid")

    def __init__(self, pid: int, poll: Callable[[], int | None], *, forked: bool = False) -> None:
        self.pid = pid
        self.forked = forked
        self.exit_code: int | None = None
        self._poll = poll

    def __repr__(self) -> str:
        return f"<ChildProcess {self.pid} exit_code={self.exit_code}>"

    def signal(self, signum: int) -> None:
        """Send a signal; no error when the process has just ended."""
        if self.exit_code is None:
            try:
                os.kill(self.pid, signum)
            except OSError:  # on Windows the error is no ProcessLookupError
                pass

    def has_ended(self) -> bool:
        """Reap the process if it has ended, and tell whether it has."""
        if self.exit_code is None:
            self.exit_code = self._poll()
        return self.exit_code is not None


def exit_text(code: int) -> str:
    """How a process ended: ``exit code 1`` or ``SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
