"""The unix socket on which a process is asked what it is doing.

To connect is to ask: nothing is read, the answer is written, and the connection is closed. This
module works on any selector, and knows neither what the answer says nor who makes it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Door", "abstract_name", "owner_of"]

CLIENTS = 8
"""Clients at a time; a further one takes the place of the client that has waited longest."""


def abstract_name(pid: int) -> str:
    """The name of the socket of process `pid`; it belongs to no file system (Linux only)."""
    return f"\0asgiserver-{pid}"


def owner_of(sock: socket.socket) -> tuple[int, int] | None:
    """Process id and user id of the peer; None where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, option, 12))
    return pid, uid


class Door:
    """Answers whoever connects to `listening`.

    `answer` is called for each client with the function that takes the bytes of the answer, once,
    now or later. The keys of `selector` have a callable as their data.
    """

    def __init__(
        self,
        listening: socket.socket,
        selector: selectors.BaseSelector,
        answer: Callable[[Callable[[bytes], None]], None],
    ) -> None:
        self._listening = listening
        self._selector = selector
        self._answer = answer
        self._clients: list[_Client] = []
        # Anybody can connect to an abstract name; a path has permissions.
        self._checks_user = isinstance(listening.getsockname(), bytes)
        listening.listen(CLIENTS)
        selector.register(listening, selectors.EVENT_READ, self._accept)

    def __repr__(self) -> str:
        return f"<Door {self._listening.getsockname()!r} {len(self._clients)} clients>"

    def _accept(self) -> None:
        try:
            sock, _ = self._listening.accept()
        except OSError:
            return  # the client has gone, or there is no descriptor left
        if self._checks_user and not _is_trusted(sock):
            sock.close()
            return
        sock.setblocking(False)
        self._clients = [client for client in self._clients if client.is_open]
        if len(self._clients) >= CLIENTS:
            self._clients.pop(0).close()
        client = _Client(sock, self._selector)
        self._clients.append(client)
        self._answer(client.write)

    def close(self) -> None:
        """Answer nobody any more; the listening socket belongs to the caller."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self._listening)


class _Client:
    """Gets one answer, as fast as it reads."""

    def __init__(self, sock: socket.socket, selector: selectors.BaseSelector) -> None:
        self._sock = sock
        self._selector = selector
        self._left = memoryview(b"")
        self.is_open = True

    def write(self, data: bytes) -> None:
        if self.is_open and not self._left:
            self._left = memoryview(data)
            self._selector.register(self._sock, selectors.EVENT_WRITE, self._send)
            self._send()

    def _send(self) -> None:
        try:
            self._left = self._left[self._sock.send(self._left) :]
        except BlockingIOError:
            return
        except OSError:
            self._left = self._left[:0]  # the client has gone
        if not self._left:
            self.close()

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(self._sock)
            self._sock.close()


def _is_trusted(sock: socket.socket) -> bool:
    """Whether the peer is root or has the user of this process."""
    owner = owner_of(sock)
    return owner is not None and owner[1] in (0, os.geteuid())
