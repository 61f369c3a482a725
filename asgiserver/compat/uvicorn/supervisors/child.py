"""A child process that runs a target, such as `Server.run`, with sockets of its parent."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from multiprocessing.context import SpawnProcess

    from asgiserver.compat.uvicorn.config import Config

__all__ = ["make_child"]


def make_child(
    config: Config, target: Callable[..., Any], sockets: Sequence[socket.socket]
) -> SpawnProcess:
    """A process, not yet started, that calls ``target(sockets=...)``."""
    try:
        stdin = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # there is none, or it is no file
        stdin = None
    spawn = multiprocessing.get_context("spawn")
    return spawn.Process(target=_run, args=(config, target, list(sockets), stdin))


def _run(
    config: Config,
    target: Callable[..., Any],
    sockets: list[socket.socket],
    stdin: int | None,
) -> None:
    if stdin is not None:  # multiprocessing closes it; a debugger wants it
        sys.stdin = os.fdopen(stdin)
    threading.Thread(target=_stop_without_parent, daemon=True).start()
    config.configure_logging()
    try:
        target(sockets=sockets)
    except KeyboardInterrupt:
        pass  # Ctrl-C reaches the parent as well, which tells the end


def _stop_without_parent() -> None:
    """Stop this process when its parent has died without telling it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
