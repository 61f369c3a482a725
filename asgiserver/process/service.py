"""What other programs see of a supervisor: sockets, pid file, readiness, systemd, successor.

This module knows nothing of workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
from typing import TYPE_CHECKING, Any

from asgiserver.errors import ConfigError
from asgiserver.process.sockets import Sockets
from asgiserver.process.systemd import Notifier, inherited_sockets
from asgiserver.process.upgrade import Predecessor, Successor
from asgiserver.server.announcement import announce
from asgiserver.server.control_socket import open_control
from asgiserver.server.listener import bind_sockets
from asgiserver.server.readiness import Readiness
from asgiserver.watch.door import Door

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable

    from asgiserver.config.fields import Config
    from asgiserver.process.desk import Desk
    from asgiserver.process.pidfile import PidFile
    from asgiserver.process.supervised import Supervised
    from asgiserver.server.listener import Listener

__all__ = ["Service"]

logger = logging.getLogger("asgiserver")


class Service:
    """The outside of a supervisor: `open` precedes the first worker, `close` follows the last."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._notifier = Notifier()
        self._watchdog_at = -math.inf
        self._readiness = Readiness(config)
        self._pidfile = _pid_file(config.pid)
        self._predecessor: Predecessor | None = None
        self._announced = False
        self._handed_over = False
        self._listening = False
        self._opened: Sockets | None = None
        self._control: Listener | None = None  # where `asgiserver dump` asks
        self._door: Door | None = None
        self._desk: Desk | None = None

    def __repr__(self) -> str:
        state = "serving" if self._announced else "starting"
        return f"<Service {'handed over' if self._handed_over else state}>"

    @property
    def sockets(self) -> Sockets:
        """The sockets that `open` has bound."""
        assert self._opened is not None
        return self._opened

    def open(self, supervisor: Supervised) -> None:
        """Take the pid file, bind, and become the configured user. Raises `StartupError`.

        With --admin, operators get answers from now on, and `supervisor` their orders.
        """
        self._predecessor = Predecessor.find()
        if self._predecessor is not None:
            self._readiness.forget_descriptor()
        if self._pidfile is not None and self._predecessor is None:
            self._pidfile.open()
        queues = self._predecessor.queues if self._predecessor is not None else ()
        self._opened = Sockets(self._bind(), self._config, queues)
        self._listening = True
        self._open_desk(supervisor)
        if self._config.user is not None or self._config.group is not None:
            from asgiserver.process.privileges import drop_privileges

            config = self._config
            logs = [path for path in (config.log_file, config.access_log_file) if path]
            drop_privileges(config.user, config.group, logs)
        self._control = open_control(self._config.control, replace=self._predecessor is not None)
        self._readiness.check()
        if self._desk is not None and self._predecessor is None:
            self._desk.start()

    def _open_desk(self, supervisor: Supervised) -> None:
        inherited = [] if self._predecessor is None else self._predecessor.admin
        if self._config.admin is not None:
            from asgiserver.process.desk import Desk

            self._desk = Desk(self._config, supervisor)
            self._desk.bind(inherited)
        else:
            for listener in inherited:
                listener.close()

    def take_orders(self) -> None:
        """Do what operators have ordered of the admin listener."""
        if self._desk is not None:
            self._desk.take()

    def standing_still(self) -> contextlib.AbstractContextManager[None]:
        """What a fork is done in: this process has no other thread that runs."""
        return contextlib.nullcontext() if self._desk is None else self._desk.standing_still()

    def answer(
        self,
        selector: selectors.BaseSelector,
        tell: Callable[[Callable[[dict[str, Any]], None]], None],
    ) -> None:
        """Answer those who ask what the workers are doing; `tell` finds that out."""
        if self._control is None:
            return

        def answer(reply: Callable[[bytes], None]) -> None:
            tell(lambda result: reply(json.dumps(result).encode()))

        self._door = Door(self._control.socket, selector, answer)

    def _bind(self) -> list[Listener]:
        if self._predecessor is not None:
            logger.info("Taking over from the supervisor with pid %d", self._predecessor.pid)
            return self._predecessor.listeners
        passed = inherited_sockets()
        if not passed:
            return bind_sockets(self._config)
        logger.info("Listening on the sockets that systemd has opened")
        bind = tuple(f"fd://{fd}" for fd in passed)
        listeners = bind_sockets(dataclasses.replace(self._config, bind=bind, uds=None, fd=None))
        for fd in passed:  # the listeners have duplicates of the descriptors
            os.close(fd)
        return listeners

    def ready(self, status: str, workers: int = 0) -> None:
        """Announce that all `workers` serve: at the start, and after each restart.

        Raises `StartupError`.
        """
        if not self._announced:
            self._announced = True
            announce(self._config, self.sockets.addresses, workers, panel=True)
            if self._predecessor is not None:
                self._succeed(self._predecessor)
            self._readiness.announce(self.sockets.addresses)
        self._notifier.ready(status)

    def _succeed(self, predecessor: Predecessor) -> None:
        """Take over from the predecessor, only now that this supervisor serves.

        If this supervisor had failed before, the predecessor would go on undisturbed.
        """
        if self._pidfile is not None:
            try:
                self._pidfile.open(predecessor.pid)
            except ConfigError as exc:
                logger.warning("%s", exc)
        predecessor.let_go()
        if self._desk is not None:
            self._desk.start()

    def reloading(self) -> None:
        """Tell systemd that a rolling restart begins."""
        self._notifier.reloading()

    def watchdog(self, now: float, alive: bool) -> float:
        """Tell systemd's watchdog of a turning loop, if `alive`; return when to call again."""
        interval = self._notifier.interval
        if interval is None or self._handed_over:
            return math.inf
        if alive and now >= self._watchdog_at + interval:
            self._watchdog_at = now
            self._notifier.alive()
        return max(now, self._watchdog_at) + interval

    # Handing over ----------------------------------------------------------------------------

    def upgrade(self) -> Successor:
        """Start the same command line again, with the same sockets. Raises `OSError`."""
        admin = () if self._desk is None else self._desk.listeners
        return Successor(self.sockets.listeners, self.sockets.further_queues, admin)

    def hand_over(self) -> None:
        """Leave files and systemd to the successor, which serves now."""
        self._handed_over = True
        if self._desk is not None:
            self._desk.stop(unlink=False)

    # The end ---------------------------------------------------------------------------------

    def stopping(self) -> None:
        """Begin the graceful stop. From now on only the workers hold the sockets."""
        if not self._handed_over:
            self._notifier.stopping()
            self._readiness.withdraw()
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._listening:
            self._listening = False
            self.sockets.close(unlink=not self._handed_over)

    def close(self) -> None:
        """Give everything back, however far `open` came."""
        self._stop_listening()
        if self._door is not None:
            self._door.close()
        if self._control is not None:
            self._control.close()
        if self._desk is not None:
            self._desk.stop(unlink=not self._handed_over)
        if self._opened is not None:
            self._opened.close_board()
        if self._predecessor is not None:
            self._predecessor.close()
        if not self._handed_over:
            self._readiness.withdraw()
        if self._pidfile is not None:
            self._pidfile.close()

    def abandon(self) -> None:
        """Called in a forked child: let go of what only the supervisor may hold."""
        if self._desk is not None:
            self._desk.abandon()
        self._readiness.abandon()
        if self._control is not None:
            self._control.close(unlink=False)
        if self._pidfile is not None:
            self._pidfile.abandon()
        if self._predecessor is not None:
            self._predecessor.close()


def _pid_file(path: str | None) -> PidFile | None:
    if path is None:
        return None
    from asgiserver.process.pidfile import PidFile  # late, because Windows has no fcntl

    return PidFile(path)
