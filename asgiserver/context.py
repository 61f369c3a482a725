"""The part of a server that its connections may use, and nothing more."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from asgiserver.log.record import unlogged
from asgiserver.metrics.figures import Counters

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.asgi.session import Session
    from asgiserver.config.fields import Config
    from asgiserver.errors import PeerError
    from asgiserver.http.message import RequestHead
    from asgiserver.http.peer import Peer
    from asgiserver.log.record import AccessRecord
    from asgiserver.types import Address, ASGIApplication


class State(Protocol):
    """For whom a connection waits: see `wire.waiting`."""

    @property
    def name(self) -> str: ...


class Connection(Protocol):
    """A connection, as the server sees it."""

    deadline: float
    peer: Peer

    @property
    def wire(self) -> str:
        """The protocol of the connection, as in ALPN."""
        ...

    @property
    def waiting(self) -> State: ...

    @property
    def reading(self) -> object:
        """What is done with the bytes that come: see `wire.waiting`."""
        ...

    @property
    def idle(self) -> bool:
        """Whether it waits for a next request."""
        ...

    def extend(self, seconds: float) -> None:
        """Move the deadline: the loop was blocked for so long."""

    def on_deadline(self, now: float) -> None:
        """`deadline` (clock seconds) has passed."""

    def begin_drain(self) -> None:
        """The server is stopping: close now if idle, else after the current response."""

    def abort(self, reason: str) -> None:
        """Close at once."""


class Clock(Protocol):
    """Coarse time: one tick a second checks every deadline and renews the Date field."""

    now: float
    """Seconds of the event loop's clock, at most one tick old."""

    date: bytes
    """The value of the Date field (RFC 9110 section 5.6.7)."""


class SharedExtension(dict[str, Any]):
    """The value of an extension that all scopes share: a scope may replace it, but not change it.

    Its items are plain JSON. A copy of it, a deep or pickled one included, is an ordinary dict, so
    a scope can be copied.
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
    """An extension whose values are functions: ``extension["name"]()`` calls one.

    The functions can be looked up by name but are not items of the dict, because many programs dump
    their scopes as JSON. Copies have them, too, except a pickled copy for another process.
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

    def copy(self) -> Self:
        """The extension itself, as it cannot be changed."""
        return self


def _nobody_waits() -> None:
    """Stands for whoever waits for the last connection and the last task."""


class ShutdownNotice:
    """Tells applications that the server is stopping; scope extension `asgiserver.shutdown`.

    While the server drains, `has_ended` is called whenever a connection or a task has ended.
    """

    __slots__ = ("_given", "_loop", "_waiters", "has_ended")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._given = False
        self._waiters: list[asyncio.Future[None]] = []
        self.has_ended: Callable[[], None] = _nobody_waits

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
    """Let the tasks that wait for these futures go on, and empty the list."""
    for waiter in waiters:
        if not waiter.done():  # a waiter is done already when its task was cancelled
            waiter.set_result(None)
    waiters.clear()


PeerReader: TypeAlias = "Callable[[RequestHead, Peer], Peer | None]"
"""Takes a request's head and the connection's `Peer`; returns the request's `Peer`, or None when
that is the connection's."""


class Admission:
    """What each new connection goes through; None stands for what the server has not."""

    __slots__ = ("limit", "proxies", "tls_extension")

    def __init__(self) -> None:
        # Tells whether there is room for a connection; may raise `PeerError`. See `server.limits`.
        self.limit: Callable[[Connection], bool] | None = None
        # Returns the reader of a connection's forwarding fields, or None when they are ignored. See
        # `server.proxy`.
        self.proxies: Callable[[Peer], PeerReader | None] | None = None
        # Returns the ASGI extension `tls` of a connection by its `ssl_object`.
        self.tls_extension: Callable[[Any], dict[str, Any]] | None = None

    def __repr__(self) -> str:
        parts = [name for name in self.__slots__ if getattr(self, name) is not None]
        return f"<Admission {' '.join(parts)}>"


class ServerContext:
    """Shared by every connection of one `Server`."""

    __slots__ = (
        "_on_ended",
        "_seen",
        "access",
        "admission",
        "app",
        "base_context",
        "clock",
        "config",
        "connections",
        "draining",
        "http_extensions",
        "idle_deadline",
        "loop",
        "observe",
        "on_refused",
        "running",
        "shutdown",
        "start",
        "state",
        "stats",
    )

    def __init__(
        self, config: Config, app: ASGIApplication, loop: asyncio.AbstractEventLoop, clock: Clock
    ) -> None:
        self.config = config
        self.app = app
        self.loop = loop
        self.clock = clock
        self.on_tick()
        self.state: dict[str, Any] | None = None  # of the lifespan; None: it is not supported
        self.base_context = contextvars.Context()  # captured after the lifespan's start-up
        self.connections: set[Connection] = set()
        self.running: dict[asyncio.Task[None], Session] = {}  # sessions that did not end at once
        self.stats = Counters()
        self._on_ended = self._ended  # bound once: a block of memory for each task
        self._seen: set[str] = set()
        self.draining = False
        self.shutdown = ShutdownNotice(loop)
        self.on_refused: Callable[[Address | None, PeerError], None] = self._count_refused
        self.access: Callable[[AccessRecord], None] | None = None  # None: no access log
        # Opens sessions in the place of `open_session`, where more is to be found out about them
        # than they know by themselves. See `server.observing`.
        self.observe: Callable[..., Session] | None = None
        self.start: Callable[[Session], None] = self.start_now  # runs a session; see `limits`
        self.admission = Admission()
        # The extensions that every wire of this server supports; each scope has a copy of the dict.
        notice = FunctionsExtension(wait=self.shutdown.wait, is_set=self.shutdown.is_set)
        no_details = SharedExtension()
        self.http_extensions: dict[str, Any] = {
            "asgiserver.on_disconnect": SharedExtension(mode=config.on_disconnect),
            "asgiserver.shutdown": notice,
            "http.response.zerocopysend": no_details,
            "http.response.early_hint": no_details,
        }
        if config.pathsend:
            self.http_extensions["http.response.pathsend"] = no_details

    def __repr__(self) -> str:
        return (
            f"<ServerContext connections={len(self.connections)} running={len(self.running)}"
            f" draining={self.draining}>"
        )

    def _count_refused(self, client: Address | None, error: PeerError) -> None:
        self.stats.count_refused(error.reason)

    def announce_stop(self) -> None:
        """Tell applications that the server stops; from now on responses end their connections."""
        self.shutdown.give()
        self.draining = True

    def first_time(self, what: str) -> bool:
        """Whether this server sees `what` for the first time, so that it is logged only once."""
        if what in self._seen:
            return False
        self._seen.add(what)
        return True

    def refuse(self, session: Session, error: PeerError) -> None:
        """Answer in place of the application; the access log has a line, else the server's log."""
        if self.access is None or self.access is unlogged:
            self.on_refused(session.scope["client"], error)
        else:
            self.stats.count_refused(error.reason)
        session.refuse(error)

    def on_tick(self) -> None:
        """The clock has moved on; called at each of its ticks."""
        # HOT 1 %: no request has to add up the deadline of a connection that becomes idle now.
        self.idle_deadline = self.clock.now + self.config.timeout_keep_alive

    def start_soon(self, session: Session) -> None:
        """Run a session in a copy of the base context, beginning in the next turn of the loop."""
        task = self.loop.create_task(session.run(), context=self.base_context.copy())
        self._keep(session, task)

    if sys.version_info >= (3, 12):

        def start_now(self, session: Session) -> None:
            """Run a session in a copy of the base context, at once."""
            # HOT 15 %: most sessions end without waiting for anything; a scheduled task takes 1.2
            # to 2.3 us more.
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
        task.add_done_callback(self._on_ended)

    def lost(self, connection: Connection) -> None:
        """A connection is lost: forget it."""
        self.connections.discard(connection)
        if self.draining:
            self.shutdown.has_ended()

    def _ended(self, task: asyncio.Task[None]) -> None:
        session = self.running.pop(task)
        if self.draining:
            self.shutdown.has_ended()
        session.task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler(
                {"message": f"{session!r} raised", "exception": error, "task": task}
            )
