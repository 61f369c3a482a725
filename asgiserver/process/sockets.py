"""The listening sockets of a supervisor, and which of them each worker gets.

This module knows how new connections are shared out, but not what the workers do.
"""

from __future__ import annotations

import logging
import socket
import sys
from typing import TYPE_CHECKING

from asgiserver.process.balance import CELLS, LoadBoard, steer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asgiserver.config.fields import Config
    from asgiserver.server.listener import Listener

__all__ = ["Sockets"]

logger = logging.getLogger("asgiserver")


class Sockets:
    """The sockets that a supervisor keeps for as long as new connections are accepted.

    *shared*: all workers have the same sockets and take turns by the `LoadBoard`. *reuseport*: each
    slot has its own queue for as long as the supervisor lives, whichever process serves the slot,
    so a queue is never lost with a worker; `open_to` tells the kernel which queues to fill.
    `queues` are the queues of a predecessor, for the slots from 1.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        config: Config,
        queues: Sequence[list[socket.socket]] = (),
    ) -> None:
        self.listeners = list(listeners)
        self.board = LoadBoard.create()
        self._backlog = config.backlog
        self._cells: set[int] = set()
        # With reuseport: for each slot one socket for each TCP listener.
        self._queues: list[list[socket.socket]] = []
        self._open: tuple[int, ...] = ()
        self._tcp = [listener for listener in listeners if not listener.is_unix]
        self.reuseport = config.balance == "reuseport" and bool(self._tcp)
        if self.reuseport and not sys.platform.startswith("linux"):
            logger.warning("balance=reuseport needs Linux: one shared queue is used")
            self.reuseport = False
        if self.reuseport:
            for listener in self._tcp:
                listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                listener.listen(self._backlog)
            self._queues = [[listener.socket for listener in self._tcp], *queues]
        else:
            for queue in queues:
                _close_all(queue)

    def __repr__(self) -> str:
        how = f"reuseport open={self._open}" if self.reuseport else "shared"
        return f"<Sockets {how} {' '.join(self.addresses)}>"

    @property
    def addresses(self) -> list[str]:
        """The addresses as text."""
        return [listener.address for listener in self.listeners]

    @property
    def further_queues(self) -> list[list[socket.socket]]:
        """The queues of the slots from 1: for each slot one socket for each TCP listener."""
        return self._queues[1:]

    def for_slot(self, slot: int) -> list[tuple[int, str]]:
        """Descriptor and scheme of each socket that the worker of `slot` accepts from."""
        if not self.reuseport:
            return [(listener.fileno(), listener.scheme) for listener in self.listeners]
        while len(self._queues) <= slot:
            self._queues.append([self._another(listener) for listener in self._tcp])
        own = zip(self._queues[slot], self._tcp, strict=True)
        return [(sock.fileno(), listener.scheme) for sock, listener in own] + [
            (listener.fileno(), listener.scheme) for listener in self.listeners if listener.is_unix
        ]

    def _another(self, listener: Listener) -> socket.socket:
        """One more queue at the address of `listener`."""
        first = listener.socket
        sock = socket.socket(first.family, first.type)
        try:
            for level, name in (
                (socket.SOL_SOCKET, socket.SO_REUSEADDR),
                (socket.SOL_SOCKET, socket.SO_REUSEPORT),
            ):
                sock.setsockopt(level, name, 1)
            if first.family == socket.AF_INET6:
                only = first.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            sock.setblocking(False)
            sock.bind(first.getsockname())
            sock.listen(self._backlog)
        except BaseException:
            sock.close()
            raise
        return sock

    def open_to(self, slots: Iterable[int]) -> None:
        """Send new connections only to these slots; without any slot, nothing changes."""
        wanted = tuple(sorted(slots))
        if not self.reuseport or not wanted or wanted == self._open:
            return
        try:
            for member in self._queues[0]:
                steer(member, wanted)
        except OSError as exc:
            logger.warning("New connections may reach a worker that is blocked or gone: %s", exc)
        self._open = wanted

    def forget_choice(self) -> None:
        """Let the next `open_to` tell the kernel in any case: another process may have done so."""
        self._open = ()

    # The load board --------------------------------------------------------------------------

    def take_cell(self) -> int:
        """Take a free cell of the board for one worker. Raises `OSError` when none is free."""
        cell = next((number for number in range(CELLS) if number not in self._cells), None)
        if cell is None:
            raise OSError(f"there are {CELLS} worker processes, most of which still drain")
        self._cells.add(cell)
        self.board.write(cell, 0.0, float("-inf"))
        self.board.used = max(self._cells) + 1
        return cell

    def free_cell(self, cell: int) -> None:
        """Free the cell of a worker that is gone."""
        self._cells.discard(cell)
        self.board.write(cell, 0.0, float("-inf"))
        self.board.used = max(self._cells, default=-1) + 1

    # The end ---------------------------------------------------------------------------------

    def close(self, *, unlink: bool) -> None:
        """Close the sockets of this process; those of the workers stay open."""
        for listener in self.listeners:
            listener.close(unlink)
        for queue in self.further_queues:
            _close_all(queue)
        self._queues.clear()
        self.reuseport = False  # this process no longer decides which queues are filled

    def close_board(self) -> None:
        """Close the board; call this when the last worker is gone."""
        self.board.close()


def _close_all(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
