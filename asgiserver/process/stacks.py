"""What a worker is doing right now: stacks of all its threads and tasks, even when it is stuck.

This module knows signals and one descriptor to write to, but not who reads the text.
"""

from __future__ import annotations

import asyncio
import faulthandler
import io
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["STACKS_SIGNAL", "write_on_signal", "write_when_silent"]

STACKS_SIGNAL: signal.Signals | None = getattr(signal, "SIGUSR1", None)
"""The signal that asks a process for its stacks; None on Windows, see `write_when_silent`."""

MAX_TASKS = 200
MAX_FRAMES = 12


def write_on_signal(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    """Let `STACKS_SIGNAL` write the stacks of this process to `fd`.

    The threads are written by C code that needs neither the interpreter lock nor a turn of the
    loop. The tasks are written after that by a Python handler. The handler runs in the main thread
    as soon as that executes Python code, or a system call that signals interrupt, such as
    `time.sleep`; it does not run inside a computation in C.
    """

    if STACKS_SIGNAL is None:
        return

    def write_tasks(_signum: int, _frame: FrameType | None) -> None:
        try:
            os.write(fd, describe_tasks(loop).encode("utf-8", "replace"))
        except OSError:
            pass  # nobody reads any more

    signal.signal(STACKS_SIGNAL, write_tasks)
    # `chain` calls the handler above after the threads have been written.
    faulthandler.register(STACKS_SIGNAL, file=fd, all_threads=True, chain=True)


def write_when_silent(after: float) -> None:
    """Write the stacks of threads to the standard error unless called again in `after` seconds.

    Only on Windows, where no signal can ask a process whose loop is blocked.
    """
    if STACKS_SIGNAL is None and after <= threading.TIMEOUT_MAX:
        faulthandler.dump_traceback_later(after)


def describe_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """The stacks of all unfinished tasks of `loop`."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    out = io.StringIO()
    out.write(f"\n{len(tasks)} tasks:\n")
    for task in tasks[:MAX_TASKS]:
        task.print_stack(limit=MAX_FRAMES, file=out)
    if len(tasks) > MAX_TASKS:
        out.write(f"and {len(tasks) - MAX_TASKS} more\n")
    return out.getvalue()
