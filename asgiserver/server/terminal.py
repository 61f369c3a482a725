"""The controlling terminal of this process, and whether its window was closed."""

from __future__ import annotations

import os
import signal

__all__ = ["Terminal"]


class Terminal:
    """The terminal as it is now; to be made before SIGHUP is handled.

    Under nohup that signal is ignored: the terminal may go.
    """

    def __init__(self) -> None:
        hangup = getattr(signal, "SIGHUP", None)
        ignored = hangup is not None and signal.getsignal(hangup) is signal.SIG_IGN
        self._was_there = not ignored and _is_there()

    def is_gone(self) -> bool:
        """Whether there was one, and its window or connection was closed meanwhile."""
        return self._was_there and not _is_there()


def _is_there() -> bool:
    """A service has none, and nobody has after a hang-up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True
