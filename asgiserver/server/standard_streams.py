"""Descriptors 0, 1 and 2: open from the start, and never closed by a server.

A socket that got one of these numbers would receive whatever somebody prints.
"""

from __future__ import annotations

import os
import sys

__all__ = ["HIGHEST", "open_missing"]

HIGHEST = 2
"""The last of the descriptors that are never closed."""


def open_missing() -> None:
    """Open those that are closed (``>&-`` in a shell) on the null device.

    Where Python has no stream for one of them, it gets that, too.
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
            return  # there is none in here
        if fd != number:  # another thread was faster with the one below
            os.dup2(fd, number)
            os.close(fd)
        os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
