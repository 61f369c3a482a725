"""Accepting connections from listeners; knows nothing of what the connections speak."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
from typing import TYPE_CHECKING, Any

from asgiserver.errors import BindError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from asgiserver.server.listener import Listener

    Connect = Callable[[Callable[..., asyncio.Protocol], socket.socket], Coroutine[Any, Any, None]]

logger = logging.getLogger("asgiserver")

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
RETRY_DELAY = 1.0
"""Seconds without accepting after the process ran out of file descriptors."""


class Acceptor:
    """Accepts on all listeners of a server until it is closed.

    The event loop's own servers do it, unless there is more to do. With a `gate`, connections are
    taken one at a time, each after asking it how long (seconds) to leave the queue to other
    processes. `connect` makes a connection of an accepted socket where something precedes it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        backlog: int = 2048,
        gate: Callable[[], float] | None = None,
        connect: Connect | None = None,
    ) -> None:
        self._loop = loop
        self._make_protocol = make_protocol
        self._backlog = backlog
        self._gate = gate
        self._own = gate is not None or connect is not None
        self._make_connection = connect or self._connect
        self._servers: list[asyncio.AbstractServer] = []
        self._sockets: list[socket.socket] = []
        self._timers: dict[socket.socket, asyncio.TimerHandle] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        self._exhausted = False

    def __repr__(self) -> str:
        return f"<Acceptor servers={len(self._servers)} sockets={len(self._sockets)}>"

    async def open(self, listeners: Sequence[Listener]) -> None:
        """Listen and accept. Raises `BindError` when somebody else listens by now."""
        for listener in listeners:
            sock = listener.socket
            try:
                sock.listen(self._backlog)  # by ourselves: uvloop would not tell us of an error
            except OSError as error:
                text = f"cannot listen on {listener.address}: {error.strerror}"
                raise BindError(text) from error
            if self._own:
                self._sockets.append(sock)
                self._loop.add_reader(sock.fileno(), self._accept, sock)
            else:
                self._servers.append(await self._serve(listener))

    async def _serve(self, listener: Listener) -> asyncio.AbstractServer:
        options: dict[str, Any] = {"sock": listener.socket, "backlog": self._backlog}
        if not listener.is_unix:
            return await self._loop.create_server(self._make_protocol, **options)
        if sys.version_info >= (3, 13):
            options["cleanup_socket"] = False  # the listener does, and only if it is still ours
        return await self._loop.create_unix_server(self._make_protocol, **options)

    def close(self) -> None:
        """Accept no more. The sockets are closed; connections stay."""
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        for timer in self._timers.values():
            timer.cancel()
        self._servers.clear()
        self._sockets.clear()
        self._timers.clear()

    async def finish_handshakes(self, timeout: float) -> None:
        """Let what has been accepted become connections for `timeout` seconds; drop the rest."""
        if self._handshakes:
            _, late = await asyncio.wait(self._handshakes, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _accept(self, sock: socket.socket) -> None:
        """The queue is not empty: take one connection, or look again later."""
        if self._gate is not None and (delay := self._gate()):
            self._pause(sock, delay)
            return
        try:
            connection, _ = sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            if not self._exhausted:
                logger.error("Cannot accept connections: %s; trying again every second", error)
            self._exhausted = True
            self._pause(sock, RETRY_DELAY)
            return
        if self._exhausted:
            logger.warning("Accepting connections again")
            self._exhausted = False
        connection.setblocking(False)
        if not self._is_unix(sock):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._make_connection(self._make_protocol, connection))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

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
