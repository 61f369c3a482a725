"""One server: one process, one event loop, one application.

A `Server` puts the layers together, and stops them in stages. It installs no signal handlers and
never exits the process; the code that runs it may do both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, NoReturn, Self

from asgiserver.asgi.lifespan import Lifespan
from asgiserver.context import ServerContext
from asgiserver.errors import ConfigError
from asgiserver.log.access import make_access_log, taker_of
from asgiserver.log.record import unlogged
from asgiserver.log.refusals import PeerErrorLog
from asgiserver.log.setup import setup_logging
from asgiserver.server.acceptor import FIRST_LOOKS
from asgiserver.server.announcement import announce
from asgiserver.server.application import load
from asgiserver.server.control_socket import answer_at_path, silence
from asgiserver.server.frontend import Frontend
from asgiserver.server.importing import refuse_nested_server
from asgiserver.server.limits import apply_limits
from asgiserver.server.log_flusher import LogFlusher
from asgiserver.server.proxy import make_proxies
from asgiserver.server.readiness import Readiness
from asgiserver.server.staged_stop import StagedStop
from asgiserver.server.unfinished import Unfinished
from asgiserver.server.view import ServerView
from asgiserver.watch import watching
from asgiserver.wire.clock import CoarseClock
from asgiserver.ws.codecs import check_codec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from asgiserver.config.fields import Config
    from asgiserver.errors import PeerError
    from asgiserver.server.admin_listener import AdminListener
    from asgiserver.server.listener import Listener
    from asgiserver.server.publisher import Publisher
    from asgiserver.types import Address, ASGIApplication

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
        self.extra_state: dict[str, Any] = {}  # put into the lifespan's state before its start
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
        self._frontend = Frontend(config, listeners)
        self._readiness = Readiness(config)
        self._closing = contextlib.ExitStack()  # what has been begun, and ends with the server
        self._lifespan: Lifespan | None = None
        self._unfinished: Unfinished
        self._stop = StagedStop(config, drain=self._drain, release=self._release)

    def __repr__(self) -> str:
        state = "stopping" if self._stop.has_begun else "serving" if self.started else "new"
        return f"<Server {state} {' '.join(self.addresses)}>"

    @property
    def listeners(self) -> list[Listener]:
        """The sockets on which the server listens, from `bind` to the end."""
        return self._frontend.listeners

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the server listens, as URLs; empty before the start."""
        return self._frontend.addresses

    @property
    def accept_gate(self) -> Callable[[], float] | None:
        """Asked before each connection is accepted, see `Acceptor`; it is set before the start."""
        return self._frontend.accept_gate

    @accept_gate.setter
    def accept_gate(self, gate: Callable[[], float] | None) -> None:
        self._frontend.accept_gate = gate

    # Starting ---------------------------------------------------------------------------------

    def bind(self) -> None:
        """Reserve the addresses before `start`, which accepts; until then clients are refused.

        Raises `StartupError`. When no start follows, `release_listeners` gives the addresses back.
        """
        if self.listeners:
            return
        self._readiness.check()
        self._frontend.bind()
        if self.admin is not None:
            self.admin.bind()

    def release_listeners(self) -> None:
        """Give the addresses back."""
        self._frontend.release()
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
        loop = asyncio.get_running_loop()
        self._stop.belong_to(loop)
        config = self.config
        self._closing.callback(setup_logging(config).close)
        try:
            self.bind()
            if self.admin is not None:
                self.measure()
                self.admin.start()
            clock = CoarseClock(loop, lambda: self.context.connections)
            self.context = context = self._make_context(loop, self.app or load(config), clock)
            answer_at_path(context)
            watching.begin(context)
            await self._start_lifespan(context)
            watching.started(context, clock)
            self._start_records(context, clock)
            clock.start()
            clock.call_each_tick(context.on_tick)
            await self._frontend.accept(context, clock)
            self.started = True
            if self._frontend.owns_listeners:
                self._readiness.announce(self.addresses)
        except BaseException:
            await self._stop.give_up()
            raise
        if self.announces:
            announce(config, self.addresses, panel=self.announces == "panel")
        # A supervisor writes lines about the stop for all its workers.
        self._stop.allow(logging.INFO if self.announces else logging.DEBUG)

    def _make_context(
        self, loop: asyncio.AbstractEventLoop, app: ASGIApplication, clock: CoarseClock
    ) -> ServerContext:
        config = self.config
        context = ServerContext(config, app, loop, clock)
        self._closing.callback(clock.stop)
        log = PeerErrorLog()

        def refused(client: Address | None, error: PeerError) -> None:
            context.stats.count_refused(error.reason)
            log.report(client, error, clock.now)

        context.on_refused = refused
        context.admission.proxies = make_proxies(config)
        check_codec(config.ws)
        frontend = self._frontend
        frontend.prepare(context, clock)
        queue = apply_limits(context, clock)
        self._unfinished = Unfinished(context, self._stop.hurry, queue)
        self.view = ServerView(context, queue, frontend.tls)
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

    def run(self) -> NoReturn:
        """Raise `ConfigError`, which names what to call: a server is run by `asgiserver.run`."""
        raise ConfigError(
            "Server.run(): call asgiserver.run(app, ...), or await Server.serve() in an event loop;"
            " to stop a server from elsewhere, set should_exit or call stop_threadsafe()"
        )

    def stop_accepting(self, *, take_waiting: bool = False) -> None:
        """Accept no new connections; open ones stay. See `Acceptor.close` for `take_waiting`."""
        self._frontend.stop_accepting(take_waiting=take_waiting)

    @property
    def has_clients(self) -> bool:
        """Whether there are connections, or accepted sockets that become some."""
        return bool(self.context.connections) or self._frontend.is_busy

    async def wait_stopped(self) -> None:
        """Return when the server has been stopped."""
        await self._stop.wait()

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
        return self._frontend.reload_tls()

    # Stopping ---------------------------------------------------------------------------------

    async def stop(self, timeout: float | None = None) -> None:
        """Stop gracefully within `timeout` seconds (default: the configuration's).

        A server that is still starting stops as soon as it has started.
        """
        self.request_stop(timeout=timeout)
        if self._stop.loop is not None:
            await self.wait_stopped()

    def stop_threadsafe(self, timeout: float | None = None) -> None:
        """Begin to stop; may be called in any thread."""
        self._stop.request_threadsafe(timeout)

    @property
    def should_exit(self) -> bool:
        """uvicorn's way to stop a server: setting it to True is `stop_threadsafe`."""
        return self._stop.was_requested

    @should_exit.setter
    def should_exit(self, stop: bool) -> None:
        if stop:
            self.stop_threadsafe()

    def request_stop(
        self, *, timeout: float | None = None, reason: str = "stop", at_once: bool = False
    ) -> None:
        """Begin to stop and return at once. A second request with `timeout` 0 ends all waiting.

        `at_once` leaves out --drain-delay, for a person who is waiting.
        """
        self._stop.request(timeout, reason, at_once=at_once)

    def announce_stop(self) -> None:
        """Begin a stop: connections end with their responses, and applications are notified."""
        self.context.announce_stop()
        self._frontend.announce_stop()

    async def _drain(self, timeout: float) -> None:
        """Stop what is served in stages; every stage is bounded."""
        self._readiness.withdraw()
        self.announce_stop()
        await self._stop.pause()
        deadline = self.context.loop.time() + timeout
        hurry = self._stop.hurry
        self.stop_accepting(take_waiting=not hurry.is_set())
        await self._frontend.finish_handshakes(0 if hurry.is_set() else HANDSHAKE_TIME)
        for _ in range(FIRST_LOOKS):
            await asyncio.sleep(0)  # a socket that uvloop has accepted is a connection a turn later
        await self._unfinished.wait(timeout, deadline)
        await self._unfinished.cancel()

    async def _release(self) -> None:
        """Run the lifespan's shutdown and give everything back, however far the start came."""
        try:
            if self._lifespan is not None:
                await self._lifespan.shutdown(self.config.timeout_lifespan_shutdown)
        finally:
            self.stop_accepting()
            await self._frontend.finish_handshakes(0)
            if hasattr(self, "context"):
                silence(self.context)
                watching.end(self.context)
            self._readiness.withdraw()
            self.release_listeners()
            self._closing.close()
