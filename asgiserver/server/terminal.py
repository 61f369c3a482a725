"""The controlling terminal of this process, and whether its window was closed."""

from __future__ import annotations

import os
import signal

__all__ = ["Terminal"]


class Terminal:
    """The controlling terminal at the time of construction, which must precede a SIGHUP handler.

    Under nohup SIGHUP is ignored, so the terminal does not count: its end must stop nothing.
    """

    def __init__(self) -> None:
        hangup = getattr(signal, "SIGHUP", None)
        ignored = hangup is not None and signal.getsignal(hangup) is signal.SIG_IGN
        self._was_there = not ignored and _is_there()

    def is_gone(self) -> bool:
        """Whether there was a terminal whose window or connection has been closed meanwhile."""
        return self._was_there and not _is_there()


def _is_there() -> bool:
    """Whether this process has a terminal: a service has none, and no process after a hang-up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True
