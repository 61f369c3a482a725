"""How much of a time a thread has used the CPU, has wanted to, and what the process did besides."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import NamedTuple

from asgiserver.watch.collector import pauses

__all__ = ["Clocks", "Measure"]


class Measure(NamedTuple):
    """Clocks at one moment, in seconds."""

    wall: float
    thread: float
    """CPU time of the thread."""
    delay: float
    """Time for which the thread could have run, but had no CPU; 0 where that is not known."""
    process: float
    """CPU time of the process."""
    gc: float
    """Time spent in the garbage collector."""


class Clocks:
    """The clocks of the thread that makes this object; other threads may read them, too.

    On Linux they may be read even when the thread has ended. Elsewhere the process stands for the
    thread.
    """

    def __init__(self) -> None:
        self._cpu: int | None = None
        self._schedstat = ""
        if sys.platform.startswith("linux"):
            self._cpu = time.pthread_getcpuclockid(threading.get_ident())
            self._schedstat = f"/proc/self/task/{threading.get_native_id()}/schedstat"

    def __repr__(self) -> str:
        return f"<Clocks {self._schedstat}>"

    def read(self) -> Measure:
        """Read all clocks."""
        process = time.process_time()
        thread, delay = process, 0.0
        if self._cpu is not None and sys.platform != "win32":
            try:
                thread = time.clock_gettime(self._cpu)
                delay = self._read_delay()
            except (OSError, ValueError, IndexError):
                pass  # the thread has ended, or the kernel does not count this
        return Measure(time.monotonic(), thread, delay, process, pauses.seconds)

    def used(self, before: Measure) -> float:
        """Seconds since `before` in which the process has computed, or this thread had no CPU."""
        now = self.read()
        return now.process - before.process + now.delay - before.delay

    def _read_delay(self) -> float:
        fd = os.open(self._schedstat, os.O_RDONLY)
        try:
            return int(os.read(fd, 100).split()[1]) / 1e9
        finally:
            os.close(fd)
