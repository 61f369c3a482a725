"""The stacks of a stuck worker, which are written even while code in C keeps Python from running.

What all other workers do, their watchdog tells (see `watch.watchdog`). This module knows signals
and one descriptor to write to, but not who reads the text.
"""

from __future__ import annotations

import faulthandler
import signal
import threading

from asgiserver.server.children import write_stacks_at

__all__ = ["STACKS_SIGNAL", "write_on_signal", "write_when_silent"]

STACKS_SIGNAL: signal.Signals | None = getattr(signal, "SIGUSR1", None)
"""The signal that asks a process for its stacks; None on Windows, see `write_when_silent`."""


def write_on_signal(fd: int) -> None:
    """Let `STACKS_SIGNAL` write the stacks of all threads of this process to `fd`."""
    if STACKS_SIGNAL is not None:
        write_stacks_at(STACKS_SIGNAL, fd)


def write_when_silent(after: float) -> None:
    """Write the stacks of threads to the standard error unless called again in `after` seconds.

    Only on Windows, where no signal can ask a process whose loop is blocked.
    """
    if STACKS_SIGNAL is None and after <= threading.TIMEOUT_MAX:
        faulthandler.dump_traceback_later(after)
