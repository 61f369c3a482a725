"""Descriptors 0, 1 and 2, which are open from the start and which a server never closes.

A socket that got one of these numbers would receive everything that is printed.
"""

from __future__ import annotations

import os
import sys

__all__ = ["HIGHEST", "open_missing"]

HIGHEST = 2
"""The last of the descriptors that are never closed."""


def open_missing() -> None:
    """Open each of the descriptors that is closed (``>&-`` in a shell) on the null device.

    Python gets a stream for the descriptor if it has none.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
            continue
        except OSError:
            pass
        try:
            fd = os.open(os.devnull, os.O_RDWR)
        except OSError:
            return  # there is no null device in this environment
        if fd != number:  # another thread has opened or closed a standard stream meanwhile
            os.dup2(fd, number)
            os.close(fd)
        os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
