"""One server: one process, one event loop, one application.

A `Server` puts the layers together, and stops them in stages. It installs no signal handlers and
never exits the process; the code that runs it may do both.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
from typing import TYPE_CHECKING, Any, Self

from asgiserver.asgi.lifespan import Lifespan
from asgiserver.config.fields import has_tls
from asgiserver.context import ServerContext
from asgiserver.errors import ConfigError
from asgiserver.log.access import make_access_log, taker_of
from asgiserver.log.record import unlogged
from asgiserver.log.refusals import PeerErrorLog
from asgiserver.log.setup import setup_logging
from asgiserver.server.acceptor import FIRST_LOOKS, Acceptor, watches_sockets
from asgiserver.server.announcement import announce
from asgiserver.server.application import load
from asgiserver.server.children import close_in_children
from asgiserver.server.control_socket import answer_at_path, silence
from asgiserver.server.importing import refuse_nested_server
from asgiserver.server.limits import apply_limits
from asgiserver.server.listener import bind_sockets
from asgiserver.server.log_flusher import LogFlusher
from asgiserver.server.proxy import make_proxies
from asgiserver.server.readiness import Readiness
from asgiserver.server.redirect import redirect_context
from asgiserver.server.unfinished import Unfinished
from asgiserver.server.view import ServerView
from asgiserver.server.wires import make_wires
from asgiserver.watch import watching
from asgiserver.wire.clock import CoarseClock
from asgiserver.ws.codecs import check_codec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from asgiserver.config.fields import Config
    from asgiserver.errors import PeerError
    from asgiserver.server.admin_listener import AdminListener
    from asgiserver.server.limits import RequestLimit
    from asgiserver.server.listener import Listener
    from asgiserver.server.publisher import Publisher
    from asgiserver.server.tls import TLS
    from asgiserver.types import ASGIApplication
    from asgiserver.wire.choose import Wires

__all__ = ["Server"]

logger = logging.getLogger("asgiserver")

HANDSHAKE_TIME = 1.0
"""Seconds that a TLS handshake under way has to become a connection when the server stops."""


class Server:
    """Serves one application in the running event loop.

    Within ``async with Server(Config(app, port=0)) as server:`` the server listens, and the
    lifespan's start-up is complete; after the block the server has drained. `listeners` are
    sockets that the caller has bound; the server closes them. `app` is the application when the
    caller has loaded it already. Raises `StartupError` when the start fails.
    """

    def __init__(
        self,
        config: Config,
        *,
        listeners: Sequence[Listener] | None = None,
        app: ASGIApplication | None = None,
    ) -> None:
        self.config = config
        self.app = app
        self.listeners: list[Listener] = list(listeners or ())
        self.addresses: tuple[str, ...] = ()
        self.extra_state: dict[str, Any] = {}  # put into the lifespan's state before its start
        self.accept_gate: Callable[[], float] | None = None  # see `Acceptor`
        # How the addresses are told: in "lines" of the log, or in a "panel" where there is a
        # terminal; not at all in a worker, because its supervisor tells them for all workers.
        self.announces = "lines"
        self.publisher: Publisher | None = None  # counts and publishes what is done, see `measure`
        self.admin: AdminListener | None = None
        if config.admin is not None:
            from asgiserver.server.own_admin import admin_of

            self.admin = admin_of(self)
        self.started = False
        self.context: ServerContext
        self.view: ServerView  # set by `start`
        self._wires: Wires
        self._unfinished: Unfinished
        self._owns_paths = listeners is None
        self._readiness = Readiness(config)
        self._announce_time = config.drain_delay
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = contextlib.ExitStack()  # what has been begun, and ends with the server
        self._acceptors: list[Acceptor] = []
        self._tls: TLS | None = None
        self._redirect: ServerContext | None = None  # of the listener that redirects to https
        self._lifespan: Lifespan | None = None
        self._request_limit: RequestLimit | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._early_stop: tuple[float | None, str] | None = None  # requested before the start
        self._stopped: asyncio.Future[None] | None = None
        self._hurry = asyncio.Event()

    def __repr__(self) -> str:
        state = "stopping" if self._stopping else "serving" if self.started else "new"
        return f"<Server {state} {' '.join(self.addresses)}>"

    # Starting ---------------------------------------------------------------------------------

    def bind(self) -> None:
        """Reserve the addresses before `start`, which accepts; until then clients are refused.

        Raises `StartupError`. When no start follows, `release_listeners` gives the addresses back.
        """
        if self.listeners:
            return
        self._readiness.check()
        self.listeners = bind_sockets(self.config)
        if self.admin is not None:
            self.admin.bind()
        for listener in self.listeners:
            close_in_children(listener.socket)

    def release_listeners(self) -> None:
        """Give the addresses back."""
        for listener in self.listeners:
            listener.close(unlink=self._owns_paths)
        self.listeners.clear()
        if self.admin is not None:
            self.admin.stop()

    def measure(self) -> None:
        """Count outcomes and durations of requests, too, as --admin does; call this first."""
        from asgiserver.server.publisher import Publisher

        self.publisher = self.publisher or Publisher()

    async def start(self) -> None:
        """Load the application, run its start-up, listen. Raises `StartupError`.

        When the start is cancelled, the application's shutdown runs if its start-up was complete.
        """
        refuse_nested_server()
        self._loop = loop = asyncio.get_running_loop()
        self._stopped = loop.create_future()
        config = self.config
        self._closing.callback(setup_logging(config).close)
        try:
            self.bind()
            if self.admin is not None:
                self.measure()
                self.admin.start()
            clock = CoarseClock(loop, lambda: self.context.connections)
            self.context = context = self._make_context(loop, self.app or load(config), clock)
            self.view = ServerView(context, self._request_limit, self._tls)
            answer_at_path(context)
            watching.begin(context)
            await self._start_lifespan(context)
            watching.started(context, clock)
            self._start_records(context, clock)
            await self._accept(context, clock)
            self.addresses = tuple(listener.address for listener in self.listeners)
            self.started = True
            if self._owns_paths:
                self._readiness.announce(self.addresses)
        except BaseException:
            self._stopping = loop.create_task(self._give_up())
            await asyncio.shield(self._stopping)  # a second cancellation does not break it off
            raise
        if self.announces:
            announce(config, self.addresses, panel=self.announces == "panel")
        if self._early_stop is not None:
            timeout, reason = self._early_stop
            self.request_stop(timeout=timeout, reason=reason)

    def _make_context(
        self, loop: asyncio.AbstractEventLoop, app: ASGIApplication, clock: CoarseClock
    ) -> ServerContext:
        config = self.config
        context = ServerContext(config, app, loop, clock)
        self._unfinished = Unfinished(context, self._hurry)
        self._closing.callback(clock.stop)
        log = PeerErrorLog()

        def refused(client: tuple[str, int] | None, error: PeerError) -> None:
            context.stats.count_refused(error.reason)
            log.report(client, error, clock.now)

        context.on_refused = refused
        context.admission.proxies = make_proxies(config)
        check_codec(config.ws)
        self._wires = wires = make_wires(config, clock, loop)
        if has_tls(config):
            from asgiserver.server.tls import TLS

            # The event loop's TLS makes the connection before ALPN has chosen a protocol.
            names = wires.names if config.tls_transport != "loop" else wires.names[-1:]
            self._tls = tls = TLS(config, names)
            context.admission.tls_extension = tls.extension
            clock.call_each_tick(lambda: tls.on_tick(clock.now))
        self._request_limit = apply_limits(context, clock)
        if logger.isEnabledFor(logging.DEBUG):
            from asgiserver.server.connection_log import log_choices

            log_choices(context)
        if config.health_path is not None:
            from asgiserver.server.health_path import answer_health

            context.start = answer_health(context, config.health_path)
        return context

    async def _start_lifespan(self, context: ServerContext) -> None:
        config = self.config
        state = dict(self.extra_state)
        self._lifespan = Lifespan(context.app, config.lifespan, state)
        base = await self._lifespan.startup(config.timeout_startup)
        if not config.reset_contextvars:
            context.base_context = base
        if self._lifespan.supported:
            context.state = state

    def _start_records(self, context: ServerContext, clock: CoarseClock) -> None:
        """Called after the lifespan's start-up, where the application may set up logging."""
        config = self.config
        log = make_access_log(config)
        if log is not None:
            context.access = taker_of(log, config)
        if config.request_id != "off" or config.otel or (log is not None and log.wants_details):
            from asgiserver.server.observing import observe

            log = observe(context, log)
        if log is not None:
            self._closing.callback(log.close)
        clock.call_each_tick(LogFlusher(context.loop, log).flush)
        if self.publisher is not None:
            context.access = context.access or unlogged
            self.publisher.begin(context, self.view)
            self._closing.callback(self.publisher.end)
            clock.call_each_tick(self.publisher.tick)

    async def _accept(self, context: ServerContext, clock: CoarseClock) -> None:
        """Accept on all listeners; with --ssl-redirect the plain ones only redirect to https."""
        plain: list[Listener] = []
        if self.config.ssl_redirect:
            plain = [listener for listener in self.listeners if listener.scheme == "http"]
        main = [listener for listener in self.listeners if listener not in plain]
        clock.start()
        clock.call_each_tick(context.on_tick)
        await self._make_acceptor(context, self._tls).open(main)
        if plain:
            self._redirect = redirect = redirect_context(context, main)
            clock.call_each_tick(redirect.on_tick)
            await self._make_acceptor(redirect, None).open(plain)

    def _make_acceptor(self, context: ServerContext, tls: TLS | None) -> Acceptor:
        config, wires = self.config, self._wires
        connect = None
        if config.proxy_protocol != "off" and not watches_sockets(context.loop):
            raise ConfigError("proxy_protocol: on Windows use --loop asyncio:SelectorEventLoop")
        if tls is not None or config.proxy_protocol != "off":
            from asgiserver.server.handshake import Handshake

            connect = Handshake(config, context.loop, context.stats, tls).connect
        acceptor = Acceptor(
            context.loop,
            functools.partial(wires.default if tls is None else wires.connection, context),
            backlog=config.backlog,
            gate=self.accept_gate,
            connect=connect,
            limit=math.inf if config.limit_connections is None else config.limit_connections,
        )
        self._acceptors.append(acceptor)
        return acceptor

    # Serving ----------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Start, and return when the server has been stopped.

        Cancelling `serve` stops the server gracefully. Raises `StartupError`.
        """
        await self.start()
        try:
            await self.wait_stopped()
        except asyncio.CancelledError:
            await self.stop()
            raise

    def stop_accepting(self, *, take_waiting: bool = False) -> None:
        """Accept no new connections; open ones stay. See `Acceptor.close` for `take_waiting`."""
        for listener in self.listeners if self._owns_paths else ():
            listener.unlink()
        for acceptor in self._acceptors:
            acceptor.close(take_waiting=take_waiting)

    @property
    def has_clients(self) -> bool:
        """Whether there are connections, or accepted sockets that become some."""
        return bool(self.context.connections) or any(a.is_busy for a in self._acceptors)

    async def wait_stopped(self) -> None:
        """Return when the server has been stopped."""
        assert self._stopped is not None
        await asyncio.shield(self._stopped)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def dump(self) -> dict[str, Any]:
        """What this process is doing, as JSON has it: its requests, tasks and threads.

        It may be called in any thread; see ``asgiserver dump``.
        """
        from asgiserver.watch.watchdog import take_dump

        return take_dump()

    def reload_tls(self) -> bool:
        """Read certificates and keys again; True when new connections now get them."""
        return self._tls is not None and self._tls.reload()

    # Stopping ---------------------------------------------------------------------------------

    async def stop(self, timeout: float | None = None) -> None:
        """Stop gracefully within `timeout` seconds (default: the configuration's).

        A server that is still starting stops as soon as it has started.
        """
        self.request_stop(timeout=timeout)
        if self._stopped is not None:
            await self.wait_stopped()

    def stop_threadsafe(self, timeout: float | None = None) -> None:
        """Begin to stop; may be called in any thread."""
        if self._loop is None:
            self._early_stop = (timeout, "stop")
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self.request_stop(timeout=timeout))

    def request_stop(
        self, *, timeout: float | None = None, reason: str = "stop", at_once: bool = False
    ) -> None:
        """Begin to stop and return at once. A second request with `timeout` 0 ends all waiting.

        `at_once` leaves out --drain-delay, for a person who is waiting.
        """
        if not self.started:
            self._early_stop = (timeout, reason)
            return
        if timeout is None:
            timeout = self.config.timeout_graceful_shutdown
        if at_once:
            self._announce_time = 0.0
        if timeout <= 0:
            self._hurry.set()
        if self._stopping is None and self._loop is not None:
            logger.log(self._level, "Stopping (%s)", reason)
            self._stopping = self._loop.create_task(self._stop(timeout))

    @property
    def _level(self) -> int:
        """Of the lines that a supervisor writes for all its workers."""
        return logging.INFO if self.announces else logging.DEBUG

    async def _stop(self, timeout: float) -> None:
        """Drain, then give everything back, whatever happens."""
        assert self._stopped is not None
        try:
            try:
                await self._drain(timeout)
            finally:
                await self._release()
        except Exception:
            logger.exception("Error while stopping")
        finally:
            logger.log(self._level, "Stopped")
            if not self._stopped.done():
                self._stopped.set_result(None)

    def announce_stop(self) -> None:
        """Begin a stop: connections end with their responses, and applications are notified."""
        self.context.announce_stop()
        if self._redirect is not None:
            self._redirect.announce_stop()

    async def _drain(self, timeout: float) -> None:
        """Stop what is served in stages; every stage is bounded."""
        context = self.context
        loop = context.loop
        deadline = loop.time() + timeout
        self._readiness.withdraw()
        self.announce_stop()
        if self._announce_time and not self._hurry.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._announce_time)
            deadline = loop.time() + timeout
        self.stop_accepting(take_waiting=not self._hurry.is_set())
        for acceptor in self._acceptors:
            await acceptor.finish_handshakes(0 if self._hurry.is_set() else HANDSHAKE_TIME)
        for _ in range(FIRST_LOOKS):
            await asyncio.sleep(0)  # a socket that uvloop has accepted is a connection a turn later
        await self._unfinished.wait(timeout, deadline)
        if self._request_limit is not None:
            self._request_limit.close()
        await self._unfinished.cancel()

    async def _give_up(self) -> None:
        """Release everything after a start that failed."""
        assert self._stopped is not None
        try:
            await self._release()
        finally:
            self._stopped.set_result(None)

    async def _release(self) -> None:
        """Run the lifespan's shutdown and give everything back, however far the start came."""
        try:
            if self._lifespan is not None:
                await self._lifespan.shutdown(self.config.timeout_lifespan_shutdown)
        finally:
            for acceptor in self._acceptors:
                acceptor.close()
                await acceptor.finish_handshakes(0)
            if hasattr(self, "context"):
                silence(self.context)
                watching.end(self.context)
            self._readiness.withdraw()
            self.release_listeners()
            self._closing.close()
