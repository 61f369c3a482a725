"""Signals as a queue for the supervisor, and what ties a child process to its parent.

This module does not decide what a signal means.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from asgiserver.server.children import reset_signals_in_children
from asgiserver.server.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from types import FrameType

_Value = TypeVar("_Value")

__all__ = [
    "CHILD_LOOK",
    "KILL",
    "SignalQueue",
    "by_name",
    "die_with_parent",
    "ignore",
    "named",
    "reap_strangers",
    "set_process_title",
    "spawn_mask",
    "unblock",
]


def by_name(table: Mapping[str, _Value]) -> dict[signal.Signals, _Value]:
    """The entries of `table`, by name, whose signals the platform has."""
    return {getattr(signal, name): value for name, value in table.items() if hasattr(signal, name)}


def named(*names: str) -> list[signal.Signals]:
    """The signals of these names that the platform has."""
    return list(by_name(dict.fromkeys(names)))


# These signals are blocked while a child is started, so that they wait until it has its handlers.
_HELD = named("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_PR_SET_PDEATHSIG = 1

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""The signal that ends a process at once; on Windows that is SIGTERM."""

CHILD_LOOK = None if hasattr(signal, "SIGCHLD") else 0.1
"""Seconds between two looks at child processes where no signal tells of their end, or None."""


def ignore(_signum: int, _frame: FrameType | None) -> None:
    """Handle a signal by doing nothing. Unlike ``SIG_IGN``, started programs do not inherit it."""


@contextmanager
def spawn_mask() -> Iterator[None]:
    """Start a child in this context: it begins with the signals blocked that it must not lose."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Unblock the signals in a child, after its handlers are in place."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


def die_with_parent(signum: int, parent: int) -> None:
    """Let the kernel send `signum` to this process when `parent` is gone (Linux only).

    On other systems only the end of the control socket tells, which a blocked loop does not see.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:  # the parent was gone before the call
        os.kill(os.getpid(), signum)


def set_process_title(title: str) -> None:
    """Set what ``ps`` shows, where setproctitle is installed."""
    try:
        import setproctitle
    except ImportError:
        return
    setproctitle.setproctitle(title)


def reap_strangers(ours: Collection[int]) -> None:
    """Reap the orphans that the kernel gives to process 1, but not the children `ours`."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in ours:  # the handle of that child reaps it
            return
        os.waitpid(ended.si_pid, 0)


class SignalQueue:
    """Signals of this process in the order of their arrival, for a selector to wait for."""

    def __init__(self, signums: Iterable[signal.Signals]) -> None:
        reset_signals_in_children()
        self.terminal = Terminal()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        # The handler does nothing, as Python writes the signal's number to the wake-up descriptor.
        self._handlers_before = {number: signal.signal(number, ignore) for number in signums}

    def __repr__(self) -> str:
        return f"<SignalQueue {len(self._handlers_before)} signals>"

    def fileno(self) -> int:
        """The descriptor to select for reading."""
        return self._reader.fileno()

    def wake(self) -> None:
        """End the supervisor's wait, from any thread."""
        try:
            self._writer.send(b"\0")
        except BlockingIOError:
            pass  # the socket is full, so the wait ends anyway

    def read(self) -> list[signal.Signals]:
        """The signals that came since the last call; never waits."""
        try:
            data = self._reader.recv(4096)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in data if number]

    def close(self) -> None:
        """Put back the handlers that were there before."""
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._reader.close()
        self._writer.close()

    def abandon(self) -> None:
        """Called in a forked child: let go of the sockets, and leave the handlers as they are."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()
