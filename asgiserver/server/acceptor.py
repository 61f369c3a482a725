"""Accepting connections from listeners; knows nothing of what the connections speak."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import math
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from asgiserver.server.children import close_in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from asgiserver.server.listener import Listener

    Connect = Callable[[Callable[..., asyncio.Protocol], socket.socket], Coroutine[Any, Any, None]]

logger = logging.getLogger("asgiserver")

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
RETRY_DELAY = 1.0
"""Seconds without accepting after the process ran out of file descriptors."""

QUIET = 60.0
"""Seconds in which it is not said again that there are no file descriptors."""

TURN = 16
"""Connections accepted in one turn of the loop, when they are not taken one at a time."""

FIRST_LOOKS = 3
"""Turns of the loop in which what a new connection has sent already is read."""

PROBE_EVERY, RESERVE = 8, 16
"""After so many connections that uvloop has accepted, so many descriptors must still be free."""


class Acceptor:
    """Accepts on all listeners of a server until it is closed.

    With a `gate`, connections are taken one at a time, each after asking it how long (seconds) to
    leave the queue to other processes. `connect` makes a connection of an accepted socket where
    something precedes it; no more than `limit` of these are under way at a time.

    Where there is nothing to be asked, uvloop's own servers accept: in C, 12 us a connection less.
    Out of descriptors they reset whoever comes, without a word, so they are watched and paused
    before that. Those of asyncio are no faster than this, and log thousands of lines then.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        backlog: int = 2048,
        gate: Callable[[], float] | None = None,
        connect: Connect | None = None,
        limit: float = math.inf,
    ) -> None:
        self._loop = loop
        self._make_protocol = make_protocol
        self._backlog = backlog
        self._gate = gate
        in_c = type(loop).__module__.startswith("uvloop")
        self._own = gate is not None or connect is not None or not in_c
        self._turn = TURN if gate is None else 1
        self._limit = limit if connect is not None else math.inf
        self._make_connection = connect or self._connect
        self._watches = watches_sockets(loop)
        self._tasks: dict[socket.socket, asyncio.Task[None]] = {}  # where it does not
        self._listeners: list[Listener] = []  # of the loop's servers
        self._servers: list[asyncio.AbstractServer] = []
        self._sockets: list[socket.socket] = []
        self._timers: dict[socket.socket | None, asyncio.TimerHandle] = {}
        self._reopening: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepted = 0  # by the loop's servers
        self._exhausted = False
        self._said = -math.inf  # when that was logged

    def __repr__(self) -> str:
        return f"<Acceptor servers={len(self._servers)} sockets={len(self._sockets)}>"

    @property
    def is_busy(self) -> bool:
        """Whether something accepted is still to become a connection."""
        return bool(self._handshakes)

    async def open(self, listeners: Sequence[Listener]) -> None:
        """Listen and accept. Raises `BindError` when somebody else listens by now."""
        for listener in listeners:
            sock = listener.socket
            close_in_children(sock)
            listener.listen(self._backlog)  # by ourselves: uvloop would not tell us of an error
            self._sockets.append(sock)
            if not self._watches:
                self._tasks[sock] = self._loop.create_task(self._accept_forever(sock))
            elif self._own:
                self._loop.add_reader(sock.fileno(), self._accept, sock)
            else:
                self._listeners.append(listener)
        await self._open_servers()

    async def _open_servers(self) -> None:
        """Let the loop accept, on copies of the sockets: these survive a pause."""
        for listener in self._listeners:
            sock = listener.socket.dup()
            close_in_children(sock)
            options: dict[str, Any] = {"sock": sock, "backlog": self._backlog}
            if not listener.is_unix:
                server = await self._loop.create_server(self._make_watched, **options)
            else:
                if sys.version_info >= (3, 13):
                    options["cleanup_socket"] = False  # the listener does, if it is still ours
                server = await self._loop.create_unix_server(self._make_watched, **options)
            self._servers.append(server)

    def close(self, *, take_waiting: bool = False) -> None:
        """Accept no more. The sockets are closed; connections stay.

        The kernel resets what waits in a queue that nobody else has: `take_waiting` accepts it
        first. What arrives between these two steps is lost; the system offers no way to avoid it.
        """
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            if self._watches:
                self._loop.remove_reader(sock.fileno())
            if take_waiting:
                self._take_waiting(sock)
            if self._watches:
                sock.close()
            else:  # not before the loop has let go of it
                self._tasks[sock].add_done_callback(functools.partial(_close, sock))
                self._tasks[sock].cancel()
        for timer in self._timers.values():
            timer.cancel()
        if self._reopening is not None:
            self._reopening.cancel()
        self._listeners.clear()
        self._servers.clear()
        self._sockets.clear()
        self._timers.clear()

    async def finish_handshakes(self, timeout: float) -> None:
        """Let what has been accepted become connections for `timeout` seconds; drop the rest.

        On return these have read what their clients had sent by then.
        """
        if self._tasks and not self._sockets:
            await asyncio.wait(self._tasks.values())
            self._tasks.clear()
        if self._handshakes:
            _, late = await asyncio.wait(self._handshakes, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            for _ in range(FIRST_LOOKS):
                await asyncio.sleep(0)

    def _accept(self, sock: socket.socket) -> None:
        """The queue is not empty: take connections, or look again later."""
        if self._gate is not None and (delay := self._gate()):
            self._pause(sock, delay)
            return
        for _ in range(self._turn):
            try:
                connection, _ = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._say_exhausted(error)
                self._pause(sock, RETRY_DELAY)
                return
            if self._exhausted:
                self._say_again()
            if len(self._handshakes) >= self._limit:
                connection.close()
            else:
                self._begin(sock, connection)

    async def _accept_forever(self, sock: socket.socket) -> None:
        """Accept where the loop watches no sockets: Windows' proactor."""
        while True:
            try:
                connection, _ = await self._loop.sock_accept(sock)
            except ConnectionError:
                continue
            except OSError as error:
                self._say_exhausted(error)
                await asyncio.sleep(RETRY_DELAY)
                continue
            if len(self._handshakes) >= self._limit:
                connection.close()
            else:
                self._begin(sock, connection)

    def _take_waiting(self, sock: socket.socket) -> None:
        """Accept what is in the queue now, whoever's turn it is."""
        for _ in range(self._backlog):
            if len(self._handshakes) >= self._limit:
                return
            try:
                connection, _ = sock.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return  # it is empty, or there are no descriptors
            self._begin(sock, connection)

    def _begin(self, sock: socket.socket, connection: socket.socket) -> None:
        """Make a connection of what `sock` has accepted."""
        connection.setblocking(False)
        if not self._is_unix(sock):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._make_connection(self._make_protocol, connection))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    def _say_exhausted(self, error: OSError) -> None:
        now = self._loop.time()
        if now - self._said >= QUIET:
            logger.error("Cannot accept connections: %s; trying again every second", error)
            self._exhausted = True
            self._said = now

    def _say_again(self) -> None:
        logger.warning("Accepting connections again")
        self._exhausted = False

    # Watching the loop's own servers.

    def _scarcity(self) -> OSError | None:
        return scarcity(self._sockets[0].fileno()) if self._sockets else None

    def _make_watched(self) -> asyncio.Protocol:
        self._accepted += 1
        if not self._accepted % PROBE_EVERY and self._scarcity() is not None:
            self._loop.call_soon(self._pause_servers)  # not while it accepts
        return self._make_protocol()

    def _pause_servers(self) -> None:
        error = self._scarcity() if self._servers else None
        if error is not None:
            self._say_exhausted(error)
            for server in self._servers:
                server.close()
            self._servers.clear()
            self._timers[None] = self._loop.call_later(RETRY_DELAY, self._resume_servers)

    def _resume_servers(self) -> None:
        if self._scarcity() is not None:
            self._timers[None] = self._loop.call_later(RETRY_DELAY, self._resume_servers)
            return
        if self._exhausted:
            self._say_again()
        self._reopening = self._loop.create_task(self._open_servers())

    @staticmethod
    def _is_unix(sock: socket.socket) -> bool:
        return sock.family not in (socket.AF_INET, socket.AF_INET6)

    async def _connect(
        self, make_protocol: Callable[..., asyncio.Protocol], connection: socket.socket
    ) -> None:
        try:
            await self._loop.connect_accepted_socket(make_protocol, connection)
        except (OSError, asyncio.CancelledError) as error:
            connection.close()
            logger.debug("A connection was lost before it began: %s", error)

    def _pause(self, sock: socket.socket, delay: float) -> None:
        self._loop.remove_reader(sock.fileno())
        self._timers[sock] = self._loop.call_later(delay, self._resume, sock)

    def _resume(self, sock: socket.socket) -> None:
        del self._timers[sock]
        self._loop.add_reader(sock.fileno(), self._accept, sock)


def _close(sock: socket.socket, _: object) -> None:
    sock.close()


def watches_sockets(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `loop` has readers."""
    try:
        loop.add_reader(-1, loop.stop)
    except NotImplementedError:
        return False
    except (ValueError, OSError):  # there is no such descriptor
        pass
    return True


def scarcity(fd: int) -> OSError | None:
    """The error that is near, or here; None while there are descriptors. `fd` is an open one."""
    import resource

    try:
        lowest = os.dup(fd)
    except OSError as error:
        return error
    os.close(lowest)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or lowest < soft - RESERVE:
        return None
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))
