"""Running a server in this process until it is stopped: the event loop and the signals."""

from __future__ import annotations

import _thread
import asyncio
import logging
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from asgiserver.config.fields import has_tls
from asgiserver.errors import BROKEN_OFF, ApplicationLoadError, LifespanFailed
from asgiserver.log.loggers import has_foreign_handlers, log_failure
from asgiserver.log.setup import setup_logging
from asgiserver.server.application import load_outside_the_loop
from asgiserver.server.control_socket import answering
from asgiserver.server.loops import loop_factory
from asgiserver.server.main_task import run_main
from asgiserver.server.server import Server
from asgiserver.server.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from asgiserver.config.fields import Config
    from asgiserver.errors import StartupError

logger = logging.getLogger("asgiserver")

TERMINAL_WINDOW = 2.0
"""Seconds for running requests after Ctrl-C: a person is waiting."""

BLOCKED_TIME = 1.0
"""Seconds after which a start-up that has not reacted to a signal counts as blocking the loop."""


def run(config: Config, notes: Sequence[str] = ()) -> int:
    """Serve until stopped, with logging set up; the exit code. Raises `StartupError`."""
    logging_handle = setup_logging(config)
    try:
        for note in notes:
            logger.warning("%s", note)
        for remark in config.remarks:
            logger.debug("%s", remark)
        return _bind_and_serve(config)
    except (ApplicationLoadError, LifespanFailed) as error:
        _log_elsewhere(config, error)
        raise
    finally:
        logging_handle.close()


def _log_elsewhere(config: Config, error: StartupError) -> None:
    """Log a failed start if the log goes anywhere but to standard error, where the caller tells."""
    if has_foreign_handlers(logger) or config.log_file is not None:
        if error.__cause__ is not None:
            logger.error("%s", error, exc_info=error.__cause__)
            error.is_logged = has_foreign_handlers(logger)
        else:
            log_failure(str(error), error.details)


def _bind_and_serve(config: Config) -> int:
    server = Server(config)
    server.announces = "panel"
    server.bind()  # before the application's code runs, which is vain if the address is taken
    try:
        # The import precedes the loop and the signal handlers, so that Ctrl-C ends a long import.
        server.app = load_outside_the_loop(config)
        with asyncio.Runner(loop_factory=loop_factory(config.loop)) as runner:
            loop = runner.get_loop()
            with StopSignals(loop, server) as signals, answering(config):
                return _run(runner, server, signals)
    finally:
        server.release_listeners()  # needed when the server has not started


def _run(runner: asyncio.Runner, server: Server, signals: StopSignals) -> int:
    try:
        return run_main(runner, start_and_wait(server, signals))
    except KeyboardInterrupt:
        if signals.last is None or signals.last == signal.SIGINT:
            raise
        return BROKEN_OFF + signals.last


async def start_and_wait(server: Server, signals: StopSignals) -> int:
    """Serve until stopped; 0, or 128 + N when signal N broke off the start-up.

    Raises `StartupError`.
    """
    if signals.last is None:
        signals.starting = asyncio.current_task()
        try:
            await server.start()
        except asyncio.CancelledError:
            if signals.last is None:
                raise
        signals.starting = None
    if not server.started:
        assert signals.last is not None
        logger.info("Stopped during the start-up")
        return BROKEN_OFF + signals.last
    await server.wait_stopped()
    return 0


class StopSignals:
    """SIGTERM and SIGINT stop a server; more of them hurry it.

    SIGHUP renews certificates; if the terminal is gone, SIGHUP stops the server, too.

    The handlers are Python's and not the loop's, which never run while the start-up blocks the
    loop. The first signal stops gracefully, the second without waiting, the third raises
    KeyboardInterrupt wherever the program is. During the start-up the second signal raises
    KeyboardInterrupt, and so does the first when the start-up blocks the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        self._loop = loop
        self._server = server
        self._before: dict[signal.Signals, Any] = {}
        self.count = 0
        self.last: signal.Signals | None = None
        self.starting: asyncio.Task[Any] | None = None
        self._blocked: threading.Timer | None = None
        self._terminal = Terminal()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _STOPS:
                self._before[number] = signal.signal(number, self._on_signal)
            # Without certificates, a handler of the embedding program stays, and so does nohup's.
            if _HANGUP is not None and (
                has_tls(self._server.config) or signal.getsignal(_HANGUP) is signal.SIG_DFL
            ):
                self._before[_HANGUP] = signal.signal(_HANGUP, self._on_hangup)
        return self

    def __exit__(self, *_: object) -> None:
        self._unblocked()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.last = signal.Signals(number)
        if self.count > (2 if self._server.started else 1):
            raise KeyboardInterrupt
        if not self._server.started:
            self._blocked = threading.Timer(BLOCKED_TIME, interrupt_main, (number,))
            self._blocked.daemon = True
            self._blocked.start()
        timeout = 0.0 if self.count > 1 else None
        if number == signal.SIGINT and timeout is None:
            timeout = min(TERMINAL_WINDOW, self._server.config.timeout_graceful_shutdown)
        self._loop.call_soon_threadsafe(self._stop, timeout, signal.Signals(number).name)

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        if self._terminal.is_gone():
            if self.last is None:  # the shell and the kernel may both send SIGHUP
                self._on_signal(number, frame)
        else:
            self._loop.call_soon_threadsafe(self._renew)

    def _renew(self) -> None:
        if has_tls(self._server.config):
            self._server.reload_tls()
        else:
            logger.info("SIGHUP: nothing is read again without a supervisor (--supervise)")

    def _unblocked(self) -> None:
        if self._blocked is not None:
            self._blocked.cancel()
            self._blocked = None

    def _stop(self, timeout: float | None, name: str) -> None:
        self._unblocked()
        if self._server.started:
            self._server.request_stop(timeout=timeout, reason=name, at_once=name == "SIGINT")
        elif self.starting is not None:
            self.starting.cancel()


def interrupt_main(number: int) -> None:
    """Send a signal to the main thread, as if another process had sent it."""
    if sys.platform == "win32":
        _thread.interrupt_main(number)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, number)


# SIGBREAK exists only on Windows, SIGHUP everywhere else.
_STOPS: list[signal.Signals] = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
]
_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
