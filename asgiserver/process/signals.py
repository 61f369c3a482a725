"""Signals as a queue for the supervisor, and what ties a child process to its parent.

It knows no meaning of any signal.
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
    """The part of a table of signals that the platform has."""
    return {getattr(signal, name): value for name, value in table.items() if hasattr(signal, name)}


def named(*names: str) -> list[signal.Signals]:
    """Those of these signals that the platform has."""
    return list(by_name(dict.fromkeys(names)))


# Blocked while a child is started: what comes before it has its handlers waits until then.
_HELD = named("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_PR_SET_PDEATHSIG = 1

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""Ends a process at once. On Windows SIGTERM does."""

CHILD_LOOK = None if hasattr(signal, "SIGCHLD") else 0.1
"""Seconds between two looks at child processes, where no signal tells of their end."""


def ignore(_signum: int, _frame: FrameType | None) -> None:
    """Do nothing. Unlike ``SIG_IGN`` this is not inherited by programs that are started."""


@contextmanager
def spawn_mask() -> Iterator[None]:
    """Start a child in here: it begins with the signals held back that it must not lose."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """In the child, once its handlers are in place."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


def die_with_parent(signum: int, parent: int) -> None:
    """Let the kernel send `signum` to this process when `parent` is gone (Linux only).

    Elsewhere the end of the control socket has to do; a blocked event loop does not see that.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:  # it went before the call
        os.kill(os.getpid(), signum)


def set_process_title(title: str) -> None:
    """What ``ps`` shows, where setproctitle is installed."""
    try:
        import setproctitle
    except ImportError:
        return
    setproctitle.setproctitle(title)


def reap_strangers(ours: Collection[int]) -> None:
    """As process 1: bury the orphans that the kernel gave to this process, but not its own."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in ours:  # its own handle will
            return
        os.waitpid(ended.si_pid, 0)


class SignalQueue:
    """Signals of this process, in the order they came, readable as a descriptor for a selector."""

    def __init__(self, signums: Iterable[signal.Signals]) -> None:
        reset_signals_in_children()
        self.terminal = Terminal()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        # The handler does nothing: the number is written to the socket before it is called.
        self._handlers_before = {number: signal.signal(number, ignore) for number in signums}

    def __repr__(self) -> str:
        return f"<SignalQueue {len(self._handlers_before)} signals>"

    def fileno(self) -> int:
        """What to select for reading."""
        return self._reader.fileno()

    def wake(self) -> None:
        """End the supervisor's wait, from any thread."""
        try:
            self._writer.send(b"\0")
        except BlockingIOError:
            pass  # it is awake

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
        """In a forked child: let go of everything without touching the parent's signals."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()
