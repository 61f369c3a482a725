"""What a worker is doing right now: stacks of all its threads and tasks, even when it is stuck.

It knows signals and one descriptor to write to; not who asked, nor what becomes of the text.
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
"""What to send for the stacks of a process; None on Windows, see `write_when_silent`."""

MAX_TASKS = 200
MAX_FRAMES = 12


def write_on_signal(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    """From now on `STACKS_SIGNAL` writes the stacks of this process to `fd`.

    Threads are written by C code that needs neither the interpreter lock nor a turn of the loop.
    Tasks follow from a Python handler: it runs in the main thread as soon as that executes Python
    or a system call that signals interrupt, `time.sleep` for one; not inside a C computation.
    """

    if STACKS_SIGNAL is None:
        return

    def write_tasks(_signum: int, _frame: FrameType | None) -> None:
        try:
            os.write(fd, describe_tasks(loop).encode("utf-8", "replace"))
        except OSError:
            pass  # nobody reads any more

    signal.signal(STACKS_SIGNAL, write_tasks)
    # chain: the handler above is called after the threads were written.
    faulthandler.register(STACKS_SIGNAL, file=fd, all_threads=True, chain=True)


def write_when_silent(after: float) -> None:
    """Write the stacks to the standard error unless this is called again within `after` seconds.

    For Windows: nobody else can ask a process that does not turn its loop. Threads only.
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
