"""The socket on which ``asgiserver dump`` asks a server what it is doing (``--control``)."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

from asgiserver.server.children import close_in_children, write_stacks_at
from asgiserver.server.listener import Listener, bind_unix
from asgiserver.watch.door import abstract_name
from asgiserver.watch.watchdog import watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asgiserver.config.fields import Config
    from asgiserver.context import ServerContext

__all__ = ["answer_at_path", "answering", "open_control", "silence"]

MODE = "600"

_HAS_NAMES = sys.platform.startswith("linux")
"""Whether a unix socket may have a name that belongs to no file system."""


def open_control(control: str, *, replace: bool = False) -> Listener | None:
    """Bind the socket that `control`, the option, names; None when there is to be none.

    With `replace` the path is taken from the predecessor, which still listens there. Raises
    `BindError` for a path that cannot be bound.
    """
    if control == "off" or (control == "auto" and not _HAS_NAMES):
        return None
    if control == "auto":
        listener = _by_process_id()
    elif replace:
        draft = f"{control}.{os.getpid()}"
        listener = bind_unix(draft, MODE, "control")
        os.replace(draft, control)
        listener.path = os.path.abspath(control)
    else:
        listener = bind_unix(control, MODE, "control")
    if listener is not None:
        listener.socket.setblocking(False)
        close_in_children(listener.socket)
    return listener


def _by_process_id() -> Listener | None:
    """On the name that is made of the process id; None if somebody else has taken the name."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(abstract_name(os.getpid()))
    except OSError:
        sock.close()
        return None
    return Listener(sock, None, "control")


def answer_at_path(context: ServerContext) -> None:
    """Answer those who ask at the path that the configuration names, if any, until `silence`.

    Raises `BindError`.
    """
    control = context.config.control
    listener = open_control(control) if control != "auto" else None
    if listener is not None:
        watchdog.open_door(context, listener.socket, listener.close)


def silence(context: ServerContext) -> None:
    """Answer nobody any more at that path."""
    watchdog.close_door(context)


@contextlib.contextmanager
def answering(config: Config) -> Iterator[None]:
    """For a process that only serves: answer at the name that is made of the process id.

    At SIGUSR1 the log tells what the process does; a handler that the program has for it stays.
    """
    listener = open_control("auto") if config.control == "auto" else None
    if listener is not None:
        watchdog.open_door(listener, listener.socket, listener.close)
    try:
        with _logging_at(getattr(signal, "SIGUSR1", None)):
            yield
    finally:
        watchdog.close_door(listener)


@contextlib.contextmanager
def _logging_at(number: signal.Signals | None) -> Iterator[None]:
    in_main = threading.current_thread() is threading.main_thread()
    if number is None or not in_main or signal.getsignal(number) is not signal.SIG_DFL:
        yield
        return
    # The handler in C writes even while the main thread runs no Python.
    with watchdog.waker() as fd:
        write_stacks_at(number, fd, all_threads=False)
        try:
            yield
        finally:
            faulthandler.unregister(number)
