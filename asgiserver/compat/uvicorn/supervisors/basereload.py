"""Restarting one child process whenever a file changes."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgiserver.compat.uvicorn.server import HANDLED_SIGNALS
from asgiserver.compat.uvicorn.supervisors.child import make_child
from asgiserver.log.setup import setup_logging
from asgiserver.process.reload import Watcher, short_path

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from asgiserver.compat.uvicorn.config import Config

__all__ = ["BaseReload", "ChangeReload"]

logger = logging.getLogger("asgiserver")


class BaseReload:
    """Runs ``target(sockets=...)`` in a child; a subclass says by `should_restart` when it changes.

    Only the main thread may call `run`, which handles signals.
    """

    reloader_name: str | None = None

    def __init__(
        self, config: Config, target: Callable[..., Any], sockets: list[socket.socket]
    ) -> None:
        self.config = config
        self.target = target
        self.sockets = sockets
        self.should_exit = threading.Event()
        self.pid = os.getpid()
        self.process: SpawnProcess

    def signal_handler(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: stop."""
        self.should_exit.set()

    def run(self) -> None:
        """Run until a signal comes."""
        handle = setup_logging(self.config.own_config())
        try:
            self.startup()
            for changes in self:
                if changes:
                    names = ", ".join(short_path(str(path)) for path in changes)
                    logger.info("Changed: %s; restarting", names)
                    self.restart()
            self.shutdown()
        finally:
            handle.close()

    def __iter__(self) -> Iterator[list[Path] | None]:
        while not self.should_exit.is_set():
            try:
                yield self.should_restart()
            except StopIteration:
                return

    def pause(self) -> None:
        """Wait for as long as the configuration says. Raises `StopIteration` at the end."""
        if self.should_exit.wait(self.config.reload_delay):
            raise StopIteration

    def should_restart(self) -> list[Path] | None:
        """The files that have changed; None when there are none. It may wait a while."""
        raise NotImplementedError

    def startup(self) -> None:
        """Handle signals, and start the child."""
        for number in HANDLED_SIGNALS:
            signal.signal(number, self.signal_handler)
        self._start()

    def _start(self) -> None:
        self.process = make_child(self.config, self.target, self.sockets)
        self.process.start()

    def restart(self) -> None:
        """Stop the child, and start another one."""
        self._stop()
        self._start()

    def _stop(self) -> None:
        if sys.platform == "win32" and not self.should_exit.is_set():
            os.kill(self.process.pid or 0, signal.CTRL_C_EVENT)
        else:
            self.process.terminate()
        self.process.join()

    def shutdown(self) -> None:
        """Stop the child, and close the sockets."""
        self._stop()
        for sock in self.sockets:
            sock.close()


class ChangeReload(BaseReload):
    """Watches files as ``asgiserver --reload`` does."""

    reloader_name = "asgiserver"

    def __init__(
        self, config: Config, target: Callable[..., Any], sockets: list[socket.socket]
    ) -> None:
        super().__init__(config, target, sockets)
        self._news = threading.Event()
        self._watcher = Watcher(config.own_config(), self._news.set)

    def startup(self) -> None:
        """Begin to watch, and start the child."""
        self._watcher.start(warn=False)  # programs give patterns that fit every project
        super().startup()

    def signal_handler(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: stop."""
        super().signal_handler(sig, frame)
        self._news.set()

    def should_restart(self) -> list[Path] | None:
        """Wait for a change."""
        self._news.wait()
        self._news.clear()
        if self.should_exit.is_set() or not self._watcher.changed:
            return None
        return [Path(self._watcher.take_changed())]

    def shutdown(self) -> None:
        """Stop watching, stop the child, and close the sockets."""
        self._watcher.stop()
        super().shutdown()
