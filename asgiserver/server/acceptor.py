"""Accepting connections from listeners, whatever protocol the connections speak."""

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
"""Seconds between two log lines that say that file descriptors have run out."""

TURN = 16
"""Connections accepted in one turn of the loop, unless a gate asks for one at a time."""

FIRST_LOOKS = 3
"""Turns of the loop that a new connection needs to read what its client has already sent."""

PROBE_EVERY, RESERVE = 8, 16
"""After every `PROBE_EVERY` connections that uvloop accepts, `RESERVE` descriptors must be free."""


class Acceptor:
    """Accepts on all listeners of a server until it is closed.

    With a `gate`, connections are taken one at a time; before each one the gate returns how long
    (seconds) to leave the queue to other processes. `connect` makes a connection of an accepted
    socket where a handshake precedes it; at most `limit` handshakes are under way at a time.

    With neither, uvloop's own servers accept: in C, at 12 us less for each connection. When
    descriptors run out, uvloop resets new clients and logs nothing, so its servers are watched,
    and paused before that happens. The servers of asyncio are no faster than this class, and log
    thousands of lines when descriptors run out.
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
        self._accepts_itself = gate is not None or connect is not None or not in_c
        self._turn = TURN if gate is None else 1
        self._limit = limit if connect is not None else math.inf
        self._make_connection = connect or self._connect
        self._watches = watches_sockets(loop)
        self._tasks: dict[socket.socket, asyncio.Task[None]] = {}  # for a loop without readers
        self._listeners: list[Listener] = []  # those that the loop's own servers accept on
        self._servers: list[asyncio.AbstractServer] = []
        self._sockets: list[socket.socket] = []
        self._timers: dict[socket.socket | None, asyncio.TimerHandle] = {}
        self._reopening: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepted = 0  # connections that the loop's own servers have accepted
        self._exhausted = False
        self._logged_at = -math.inf  # when the exhaustion was last logged

    def __repr__(self) -> str:
        return f"<Acceptor servers={len(self._servers)} sockets={len(self._sockets)}>"

    @property
    def is_busy(self) -> bool:
        """Whether an accepted socket is still to become a connection."""
        return bool(self._handshakes)

    async def open(self, listeners: Sequence[Listener]) -> None:
        """Listen and accept. Raises `BindError` when somebody else listens by now."""
        for listener in listeners:
            sock = listener.socket
            close_in_children(sock)
            listener.listen(self._backlog)  # not left to uvloop, which hides an error
            self._sockets.append(sock)
            if not self._watches:
                self._tasks[sock] = self._loop.create_task(self._accept_forever(sock))
            elif self._accepts_itself:
                self._loop.add_reader(sock.fileno(), self._accept, sock)
            else:
                self._listeners.append(listener)
        await self._open_servers()

    async def _open_servers(self) -> None:
        """Let the loop accept on copies of the sockets: a pause closes only the copies."""
        for listener in self._listeners:
            sock = listener.socket.dup()
            close_in_children(sock)
            options: dict[str, Any] = {"sock": sock, "backlog": self._backlog}
            if not listener.is_unix:
                server = await self._loop.create_server(self._make_watched, **options)
            else:
                if sys.version_info >= (3, 13):
                    options["cleanup_socket"] = False  # the listener removes the path if it is ours
                server = await self._loop.create_unix_server(self._make_watched, **options)
            self._servers.append(server)

    def close(self, *, take_waiting: bool = False) -> None:
        """Accept no more. The sockets are closed; connections stay.

        When no other process has the queue of a socket, the kernel resets the connections that
        wait in it: `take_waiting` accepts them first. A connection that arrives between these two
        steps is lost; the system offers no way to avoid that.
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
            else:  # the socket is closed once the loop has let go of it
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
        """Let accepted sockets become connections for `timeout` seconds; drop the rest.

        On return the new connections have read what their clients had sent by then.
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
        """Called when the queue is not empty: take connections, or look again later."""
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
                self._log_exhausted(error)
                self._pause(sock, RETRY_DELAY)
                return
            if self._exhausted:
                self._log_recovered()
            if len(self._handshakes) >= self._limit:
                connection.close()
            else:
                self._begin(sock, connection)

    async def _accept_forever(self, sock: socket.socket) -> None:
        """Accept on a loop that watches no sockets: Windows' proactor."""
        while True:
            try:
                connection, _ = await self._loop.sock_accept(sock)
            except ConnectionError:
                continue
            except OSError as error:
                self._log_exhausted(error)
                await asyncio.sleep(RETRY_DELAY)
                continue
            if len(self._handshakes) >= self._limit:
                connection.close()
            else:
                self._begin(sock, connection)

    def _take_waiting(self, sock: socket.socket) -> None:
        """Accept what is in the queue now, without asking the gate."""
        for _ in range(self._backlog):
            if len(self._handshakes) >= self._limit:
                return
            try:
                connection, _ = sock.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return  # the queue is empty, or there are no descriptors
            self._begin(sock, connection)

    def _begin(self, sock: socket.socket, connection: socket.socket) -> None:
        """Make a connection of what `sock` has accepted."""
        connection.setblocking(False)
        if not self._is_unix(sock):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._make_connection(self._make_protocol, connection))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    def _log_exhausted(self, error: OSError) -> None:
        now = self._loop.time()
        if now - self._logged_at >= QUIET:
            logger.error("Cannot accept connections: %s; trying again every second", error)
            self._exhausted = True
            self._logged_at = now

    def _log_recovered(self) -> None:
        logger.warning("Accepting connections again")
        self._exhausted = False

    # Watching the loop's own servers

    def _scarcity(self) -> OSError | None:
        return scarcity(self._sockets[0].fileno()) if self._sockets else None

    def _make_watched(self) -> asyncio.Protocol:
        self._accepted += 1
        if not self._accepted % PROBE_EVERY and self._scarcity() is not None:
            self._loop.call_soon(self._pause_servers)  # the server must not be closed as it accepts
        return self._make_protocol()

    def _pause_servers(self) -> None:
        error = self._scarcity() if self._servers else None
        if error is not None:
            self._log_exhausted(error)
            for server in self._servers:
                server.close()
            self._servers.clear()
            self._timers[None] = self._loop.call_later(RETRY_DELAY, self._resume_servers)

    def _resume_servers(self) -> None:
        if self._scarcity() is not None:
            self._timers[None] = self._loop.call_later(RETRY_DELAY, self._resume_servers)
            return
        if self._exhausted:
            self._log_recovered()
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
    """Whether `loop` can watch sockets: whether it has `add_reader`."""
    try:
        loop.add_reader(-1, loop.stop)
    except NotImplementedError:
        return False
    except (ValueError, OSError):  # the method exists, and refuses the descriptor -1
        pass
    return True


def scarcity(fd: int) -> OSError | None:
    """The error of a process that has run, or soon runs, out of descriptors; None otherwise.

    `fd` is any open descriptor.
    """
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
