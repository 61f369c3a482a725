"""Several child processes on the same sockets."""

from __future__ import annotations

import logging
import multiprocessing.connection
import signal
import threading
from typing import TYPE_CHECKING, Any

from asgiserver.compat.uvicorn.config import STARTUP_FAILURE
from asgiserver.compat.uvicorn.server import HANDLED_SIGNALS, Server
from asgiserver.compat.uvicorn.supervisors.child import make_child
from asgiserver.log.setup import setup_logging

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from asgiserver.compat.uvicorn.config import Config

__all__ = ["Multiprocess"]

logger = logging.getLogger("asgiserver")

LOOK = 0.5
"""Seconds after which a signal that came while nobody waited is seen."""


class Multiprocess:
    """Runs ``config.workers`` children, and replaces those that die.

    Each calls ``target(sockets=...)``, by default a new `Server`'s `run`. A child that does not
    start ends them all. Only the main thread may call `run`. Older programs give `target` before
    `sockets`, newer ones give the sockets alone.
    """

    def __init__(
        self,
        config: Config,
        target: Callable[..., Any] | list[socket.socket] | None = None,
        sockets: list[socket.socket] | None = None,
    ) -> None:
        if isinstance(target, list):
            target, sockets = None, target
        self.config = config
        self.target = target or Server(config).run
        self.sockets = sockets or []
        self.processes: list[SpawnProcess] = []
        self.should_exit = threading.Event()

    def signal_handler(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: stop."""
        self.should_exit.set()

    def run(self) -> None:
        """Run until a signal comes, or until a child does not start."""
        handle = setup_logging(self.config.own_config())
        try:
            for number in HANDLED_SIGNALS:
                signal.signal(number, self.signal_handler)
            self.processes = [self._start() for _ in range(self.config.workers)]
            while not self.should_exit.is_set():
                sentinels = [process.sentinel for process in self.processes]
                multiprocessing.connection.wait(sentinels, timeout=LOOK)
                self._replace_dead()
            for process in self.processes:
                process.terminate()
            for process in self.processes:
                process.join()
            for sock in self.sockets:
                sock.close()
        finally:
            handle.close()

    def _start(self) -> SpawnProcess:
        process = make_child(self.config, self.target, self.sockets)
        process.start()
        return process

    def _replace_dead(self) -> None:
        for index, process in enumerate(self.processes):
            if process.is_alive() or self.should_exit.is_set():
                continue
            if process.exitcode == STARTUP_FAILURE:
                logger.error("A worker did not start (pid %s): stopping", process.pid)
                self.should_exit.set()
                return
            logger.warning("A worker has died (pid %s): starting another one", process.pid)
            self.processes[index] = self._start()
