"""What a fork of a serving process does not keep: sockets that accept, and our signal handlers.

A child that an application starts with `os.fork` or multiprocessing would otherwise hold the port
after the server has ended, and would not end on SIGTERM. Other programs that the application starts
need no care: no descriptor of ours is inheritable, and handlers do not survive exec.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

__all__ = ["close_in_children", "reset_signals_in_children", "write_stacks_at"]

_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
_descriptors: set[int] = set()
_stacks_signals: set[int] = set()
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


def close_in_children(own: socket.socket | int) -> None:
    """Let no fork keep `own`; a descriptor must stay open as long as the process."""
    if isinstance(own, int):
        _descriptors.add(own)
    else:
        _sockets.add(own)
    reset_signals_in_children()


def write_stacks_at(number: int, fd: int, *, all_threads: bool = True) -> None:
    """Let a signal write the stacks of this process to `fd`, but not those of any fork.

    It is done by code in C that needs neither the interpreter lock nor a turn of an event loop.
    """
    import faulthandler

    faulthandler.register(number, file=fd, all_threads=all_threads)
    _stacks_signals.add(number)
    reset_signals_in_children()


@functools.cache
def reset_signals_in_children() -> None:
    """Give every later fork the default action for each signal that this package handles."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_become_a_child)


def _become_a_child() -> None:
    _replace_descriptors()
    for number in _stacks_signals:
        sys.modules["faulthandler"].unregister(number)
    signal.set_wakeup_fd(-1)  # the descriptor belongs to the event loop of the parent
    for number in signal.valid_signals():
        # The file tells whose a handler is; its module may be called __main__, as in a worker.
        code = getattr(signal.getsignal(number), "__code__", None)
        if code is None or not code.co_filename.startswith(_PACKAGE):
            continue
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)


def _replace_descriptors() -> None:
    """Put /dev/null in place of each descriptor that a fork must not keep.

    If a descriptor were closed, its number could be given to another file. The fork has a copy of
    the parent's object, and when that copy is collected it would close the other file.
    """
    numbers = {own.fileno() for own in _sockets} | _descriptors
    _sockets.clear()
    _descriptors.clear()
    null = os.open(os.devnull, os.O_RDWR)
    for number in numbers:
        if number >= 0:
            os.dup2(null, number, inheritable=False)
    os.close(null)
