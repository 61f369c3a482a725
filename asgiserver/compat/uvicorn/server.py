"""uvicorn's `Server`: a class to subclass and to steer by its attributes, on our server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from asgiserver.compat.uvicorn.config import Config, fail
from asgiserver.config.fields import has_tls
from asgiserver.errors import StartupError
from asgiserver.log.setup import setup_logging
from asgiserver.server.control_socket import answering
from asgiserver.server.listener import Listener
from asgiserver.server.main_task import run_main
from asgiserver.server.runner import TERMINAL_WINDOW
from asgiserver.server.server import Server as OwnServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from types import FrameType

__all__ = ["HANDLED_SIGNALS", "Server", "ServerState"]

logger = logging.getLogger("asgiserver")

TICK = 0.1
"""Seconds between two looks at `Server.should_exit` and `Server.force_exit`."""

TICKS_A_DAY = 864000

HANDLED_SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)


class ServerState:
    """Figures of a server that runs; zero and empty before its start."""

    def __init__(self) -> None:
        self.server: OwnServer | None = None

    @property
    def total_requests(self) -> int:
        """Requests that were begun."""
        return self.server.context.stats.requests if self.server else 0

    @property
    def connections(self) -> set[Any]:
        """Open connections."""
        return set(self.server.context.connections) if self.server else set()

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """Tasks of the requests that are running."""
        return set(self.server.context.running) if self.server else set()


class Lifespan:
    """What `Server.lifespan` tells: whether the application could not start."""

    def __init__(self) -> None:
        self.should_exit = False


class Listening:
    """Sockets on which a server accepts, as `asyncio.Server` shows them."""

    def __init__(self, server: OwnServer, sockets: Sequence[socket.socket]) -> None:
        self._server = server
        self.sockets = tuple(sockets)

    def is_serving(self) -> bool:
        """Whether the server has started and was not closed."""
        return self._server.started and any(sock.fileno() >= 0 for sock in self.sockets)

    def close(self) -> None:
        """Accept no new connections on any of the server's sockets."""
        self._server.stop_accepting()

    async def wait_closed(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_stopped()


class Server:
    """Serves the application of `config`.

    `should_exit` stops it gracefully, `force_exit` ends that wait; both may be set in any thread.
    `run`, `serve`, `startup`, `main_loop`, `on_tick`, `shutdown`, `capture_signals` and
    `handle_exit` may be overridden. Where `install_signal_handlers` is overridden or replaced, a
    program handles signals itself: then only SIGTERM, and only if nobody handles it, stops the
    server. A start that fails is logged, and raises ``SystemExit(3)``.
    """

    servers: list[Listening]

    def __init__(self, config: Config) -> None:
        self.config = config
        self.server_state = ServerState()
        self.lifespan = Lifespan()
        self.started = False
        self.should_exit = False
        self.force_exit = False
        self.last_notified = 0.0
        self._captured_signals: list[int] = []
        self._own: OwnServer | None = None
        self._closing = contextlib.ExitStack()

    def __getstate__(self) -> dict[str, Any]:
        """A server that has not started can go to another process, where it is run."""
        return {name: value for name, value in vars(self).items() if name != "_closing"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._closing = contextlib.ExitStack()

    @functools.cached_property
    def limit_max_requests(self) -> int | None:
        """After how many requests the server stops, with the jitter."""
        limit, jitter = self.config.limit_max_requests, self.config.limit_max_requests_jitter
        return None if limit is None else limit + random.randint(0, jitter)

    # Running ----------------------------------------------------------------------------------

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped, in an event loop of its own. In a loop, await `serve` instead."""
        events = sys.modules["asyncio.events"]
        if events._get_running_loop() is not None:
            raise RuntimeError("Server.run(): an event loop is running here; await Server.serve()")
        config = self.config
        with self._closing:
            own = self._make(sockets)
            try:
                own.bind()  # before the import, which is vain when the address is taken
            except StartupError as error:
                fail(error)
            self._closing.callback(own.release_listeners)
            if not config.loaded:
                config.load(in_loop=False)
            own.app = config.loaded_app
            with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.get_loop()
                with answering(own.config):
                    run_main(runner, self.serve(sockets=sockets))

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped. Cancelling stops the server gracefully."""
        with self.capture_signals(), self._closing:
            if not self.config.loaded:
                self.config.load()
            await self.startup(sockets=sockets)
            try:
                if not self.should_exit:
                    await self.main_loop()
                if self.started:
                    await self.shutdown(sockets=sockets)
            except asyncio.CancelledError:
                if self._own is not None and self.started:
                    await self._own.stop()
                raise

    def _make(self, sockets: Sequence[socket.socket] | None) -> OwnServer:
        """Our server, with its log set up until the end of `run` or `serve`."""
        try:
            config = self.config.own_config()
            self._closing.callback(setup_logging(config).close)
        except StartupError as error:
            fail(error)
        for note in config.notes:
            logger.warning("%s", note)
        listeners = None
        if sockets is not None:
            scheme = "https" if has_tls(config) else "http"
            listeners = [Listener(sock, None, scheme) for sock in sockets]
            for sock in sockets:
                sock.setblocking(False)
        self._own = own = OwnServer(config, listeners=listeners)
        if sockets is None:
            own.announces = "panel"
        return own

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; `started` says whether that is complete, or was broken off by `should_exit`."""
        own = self._own or self._make(sockets)
        own.app = self.config.loaded_app
        start = asyncio.get_running_loop().create_task(own.start())
        try:
            cancelled = False
            while not start.done():
                await asyncio.wait({start}, timeout=TICK)
                if self.should_exit and not cancelled:
                    cancelled = start.cancel()
        except asyncio.CancelledError:
            start.cancel()
            await asyncio.wait({start})
            raise
        if start.cancelled():
            logger.info("Stopped during the start-up")
            return
        if isinstance(error := start.exception(), StartupError):
            self.lifespan.should_exit = True
            fail(error)
        start.result()
        self.server_state.server = own
        opened = [listener.socket for listener in own.listeners]
        groups = [opened] if sockets is None else [[sock] for sock in opened]
        self.servers = [Listening(own, group) for group in groups]
        self.started = True

    async def main_loop(self) -> None:
        """Return when the server is to stop, or has stopped."""
        assert self._own is not None
        stopped = asyncio.ensure_future(self._own.wait_stopped())
        try:
            counter = 0
            while not (stopped.done() or await self.on_tick(counter)):
                counter = (counter + 1) % TICKS_A_DAY
                await asyncio.wait({stopped}, timeout=TICK)
        finally:
            stopped.cancel()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True stops the server."""
        notify = self.config.callback_notify
        if notify is not None and counter % 10 == 0:
            now = time.time()
            if now - self.last_notified > self.config.timeout_notify:
                self.last_notified = now
                await notify()
        limit = self.limit_max_requests
        if limit is not None and self.server_state.total_requests >= limit:
            logger.info("%d requests served, the limit", limit)
            return True
        return self.should_exit

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop gracefully; `force_exit` ends the wait for running requests."""
        own = self._own
        if own is None:
            return
        by = self._captured_signals[-1:]
        at_once = by == [signal.SIGINT]
        timeout = own.config.timeout_graceful_shutdown
        own.request_stop(
            timeout=min(TERMINAL_WINDOW, timeout) if at_once else timeout,
            reason=signal.Signals(by[0]).name if by else "should_exit",
            at_once=at_once,
        )
        stopped = asyncio.ensure_future(own.wait_stopped())
        hurried = False
        while not stopped.done():
            if self.force_exit and not hurried:
                hurried = True
                own.request_stop(timeout=0)
            await asyncio.wait({stopped}, timeout=TICK)
        for sock in sockets or ():
            sock.close()

    # Signals ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let `handle_exit` handle signals; at the end they are raised again for the program.

        Outside the main thread this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = self._take_signals()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        for captured in reversed(self._captured_signals):
            signal.raise_signal(captured)

    def _take_signals(self) -> dict[signal.Signals, Any]:
        install = self.install_signal_handlers
        wanted = HANDLED_SIGNALS
        if getattr(install, "__func__", None) is not Server.install_signal_handlers:
            install()
            # The default of SIGTERM ends the process at once, which no program that stops wants.
            wanted = tuple(n for n in wanted if signal.getsignal(n) is signal.SIG_DFL)
        return {number: signal.signal(number, self.handle_exit) for number in wanted}

    def install_signal_handlers(self) -> None:
        """Do nothing: `capture_signals` installs the handlers. To be replaced by a program."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: stop, the second time without waiting; the third interrupts at once."""
        self._captured_signals.append(sig)
        if self.force_exit and sig == signal.SIGINT:
            raise KeyboardInterrupt
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        else:
            self.should_exit = True
