"""What a connection may touch of its server, and nothing more."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from asgiserver.metrics.figures import Counters

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.asgi.session import Session
    from asgiserver.config.fields import Config
    from asgiserver.errors import PeerError
    from asgiserver.http.message import RequestHead
    from asgiserver.http.peer import Peer
    from asgiserver.log.record import AccessRecord
    from asgiserver.types import ASGIApplication


class Connection(Protocol):
    """A connection, as the server sees it."""

    deadline: float

    @property
    def idle(self) -> bool:
        """Whether it waits for a next request."""
        ...

    def on_deadline(self, now: float) -> None:
        """`deadline` (clock seconds) has passed."""

    def begin_drain(self) -> None:
        """The server is stopping: close when idle, else with the response in flight."""

    def abort(self, reason: str) -> None:
        """Close at once."""


class Clock(Protocol):
    """Coarse time: one tick a second for every deadline and for the Date field."""

    now: float
    """Seconds of the event loop's clock, at most one tick old."""

    date: bytes
    """The value of the Date field (RFC 9110 section 5.6.7)."""


class SharedExtension(dict[str, Any]):
    """What all scopes say of an extension: to be replaced in one of them, not changed.

    Its items are plain JSON. A copy of it, also a pickled one, is an ordinary dict, so scopes can
    be copied, deeply too.
    """

    def _refuse(self, *_args: Any, **_kwargs: Any) -> Any:
        raise TypeError("all requests share this extension's value: put a new dict in its place")

    __setitem__ = __delitem__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse
    __ior__ = _refuse

    def __copy__(self) -> dict[str, Any]:
        return self.copy()

    def __deepcopy__(self, _memo: Any) -> dict[str, Any]:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class FunctionsExtension(SharedExtension):
    """An extension that is asked: ``extension["name"]`` is a function.

    The functions are no items, as many a program dumps its scopes as JSON: they are found by their
    names alone. Copies find them, too; only a pickled one, for another process, has none.
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        super().__init__()
        self._functions = functions

    def __repr__(self) -> str:
        return f"<{', '.join(self._functions)}>"

    def __missing__(self, name: str) -> Callable[..., Any]:
        return self._functions[name]

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def get(self, name: str, default: Any = None) -> Any:
        """The function called `name`, or `default`."""
        return self._functions.get(name, default)

    def copy(self) -> Self:  # it cannot be changed
        """The same."""
        return self


class ShutdownNotice:
    """Tells applications that the server is stopping; scope extension `asgiserver.shutdown`."""

    __slots__ = ("_given", "_loop", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._given = False
        self._waiters: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"<ShutdownNotice given={self._given}>"

    def is_set(self) -> bool:
        """Whether the server is stopping."""
        return self._given

    async def wait(self) -> None:
        """Return when the server begins to stop. Any number of tasks may wait."""
        if not self._given:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def give(self) -> None:
        """Wake everyone."""
        self._given = True
        wake(self._waiters)


def wake(waiters: list[asyncio.Future[Any]]) -> None:
    """Let the tasks that wait for these futures go on; the list is empty then."""
    for waiter in waiters:
        if not waiter.done():  # else its task was cancelled
            waiter.set_result(None)
    waiters.clear()


PeerReader: TypeAlias = "Callable[[RequestHead, Peer], Peer | None]"
"""The `Peer` of a request, given its head and the connection's `Peer`; None: ask no more."""


class ServerContext:
    """Shared by every connection of one `Server`."""

    __slots__ = (
        "_seen",
        "access",
        "admit",
        "app",
        "base_context",
        "clock",
        "config",
        "connections",
        "draining",
        "http_extensions",
        "idle_deadline",
        "loop",
        "on_quiet",
        "proxy",
        "refused",
        "running",
        "shutdown",
        "start",
        "state",
        "stats",
        "tls_extension",
        "websocket_extensions",
    )

    def __init__(
        self, config: Config, app: ASGIApplication, loop: asyncio.AbstractEventLoop, clock: Clock
    ) -> None:
        self.config = config
        self.app = app
        self.loop = loop
        self.clock = clock
        self.on_tick()
        self.state: dict[str, Any] | None = None  # the lifespan's; None: not supported
        self.base_context = contextvars.Context()  # captured after the lifespan's start-up
        self.connections: set[Connection] = set()
        self.running: dict[asyncio.Task[None], Session] = {}  # those that did not end at once
        self.stats = Counters()
        self._seen: set[str] = set()
        self.draining = False
        self.shutdown = ShutdownNotice(loop)
        self.refused: Callable[[tuple[str, int] | None, PeerError], None] = self._count_refused
        self.on_quiet: Callable[[], None] | None = None  # at a connection's or task's end, draining
        self.access: Callable[[AccessRecord], None] | None = None  # None: no access log
        # Runs a session; and whether there is room for a connection, None: always. See
        # `server.limits`.
        self.start: Callable[[Session], None] = self.start_now
        self.admit: Callable[[Connection], bool] | None = None
        # Asked once for each connection what has to look at its requests; see `server.proxy`.
        self.proxy: Callable[[Peer], PeerReader | None] | None = None
        self.tls_extension: Callable[[Any], dict[str, Any]] | None = None  # None: no TLS
        # What every wire of this server can do; a wire adds its own. Copied for each scope.
        notice = FunctionsExtension(wait=self.shutdown.wait, is_set=self.shutdown.is_set)
        nothing_to_say = SharedExtension()
        self.http_extensions: dict[str, Any] = {
            "asgiserver.on_disconnect": SharedExtension(mode=config.on_disconnect),
            "asgiserver.shutdown": notice,
            "http.response.zerocopysend": nothing_to_say,
            "http.response.early_hint": nothing_to_say,
        }
        if config.pathsend:
            self.http_extensions["http.response.pathsend"] = nothing_to_say
        self.websocket_extensions: dict[str, Any] = {"asgiserver.shutdown": notice}

    def __repr__(self) -> str:
        return (
            f"<ServerContext connections={len(self.connections)} running={len(self.running)}"
            f" draining={self.draining}>"
        )

    def _count_refused(self, client: tuple[str, int] | None, error: PeerError) -> None:
        self.stats.count_refused(error.reason)

    def announce_stop(self) -> None:
        """Tell applications that the server stops; each response ends its connection from now."""
        self.shutdown.give()
        self.draining = True

    def first_time(self, what: str) -> bool:
        """Whether this server sees `what` for the first time: some things are said once."""
        if what in self._seen:
            return False
        self._seen.add(what)
        return True

    def refuse(self, session: Session, error: PeerError) -> None:
        """Answer for an application; the access log has a line for it, else the server's log."""
        if self.access is None:
            self.refused(session.scope["client"], error)
        else:
            self.stats.count_refused(error.reason)
        session.refuse(error)

    def on_tick(self) -> None:
        """The clock has moved on; called at each of its ticks."""
        # HOT 1 %: of a connection that becomes idle now, so that no request has to add it up.
        self.idle_deadline = self.clock.now + self.config.timeout_keep_alive

    def start_soon(self, session: Session) -> None:
        """Run a session in a copy of the base context, from the next turn of the loop on."""
        task = self.loop.create_task(session.run(), context=self.base_context.copy())
        self._keep(session, task)

    if sys.version_info >= (3, 12):

        def start_now(self, session: Session) -> None:
            """Run a session in a copy of the base context, at once."""
            # HOT 15 %: most end without waiting for anything; a scheduled task takes 1.2 to 2.3 us
            # more.
            task = asyncio.Task(
                session.run(), loop=self.loop, eager_start=True, context=self.base_context.copy()
            )
            if not task.done():
                self._keep(session, task)

    else:
        start_now = start_soon

    def _keep(self, session: Session, task: asyncio.Task[None]) -> None:
        session.task = task
        self.running[task] = session
        task.add_done_callback(self._ended)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if self.draining and self.on_quiet is not None:
            self.on_quiet()

    def _ended(self, task: asyncio.Task[None]) -> None:
        session = self.running.pop(task)
        if self.draining and self.on_quiet is not None:
            self.on_quiet()
        session.task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler(
                {"message": f"{session!r} raised", "exception": error, "task": task}
            )
