"""How new connections are spread over workers: a shared queue with fair takers, or one queue each.

This module knows load figures and listening sockets, but not what is served on them.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import sys
from typing import TYPE_CHECKING

from asgiserver.config.fields import MOST_WORKERS
from asgiserver.server.board import memory_file

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

__all__ = ["FairShare", "LoadBoard", "steer"]

_HEADER = struct.Struct("d")
_CELL = struct.Struct("dd")
CELLS = 2 * MOST_WORKERS  # enough for all workers, their replacements, and those that still drain
SILENT = 2.0  # seconds after which the load that a worker has published no longer counts


class LoadBoard:
    """The load of every worker in shared memory: one cell each, written by that worker alone.

    The first number is how many cells are in use; the supervisor writes it. There is no lock, as a
    torn read of a cell spoils only one decision.
    """

    __slots__ = ("_map", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, _HEADER.size + CELLS * _CELL.size)

    def __repr__(self) -> str:
        return f"<LoadBoard cells={self.used}>"

    @classmethod
    def create(cls) -> LoadBoard:
        """An empty board, in memory that child processes can map by its descriptor.

        Windows has no such memory: there the board belongs to this process alone, and `fd` is -1.
        """
        if sys.platform == "win32":
            return cls(-1)
        fd = memory_file("asgiserver-load")
        os.truncate(fd, _HEADER.size + CELLS * _CELL.size)
        return cls(fd)

    def close(self) -> None:
        """Unmap the memory and close its descriptor."""
        self._map.close()
        if self.fd >= 0:
            os.close(self.fd)

    @property
    def used(self) -> int:
        """How many cells are in use, from the first."""
        return int(_HEADER.unpack_from(self._map)[0])

    @used.setter
    def used(self, count: int) -> None:
        _HEADER.pack_into(self._map, 0, float(count))

    def write(self, cell: int, load: float, now: float) -> None:
        """Publish the load of the worker of `cell` at `now`, the system's monotonic clock."""
        _CELL.pack_into(self._map, _HEADER.size + cell * _CELL.size, load, now)

    def mean(self, now: float) -> float:
        """The mean load of the workers that are not silent."""
        numbers = struct.unpack_from(f"{2 * self.used}d", self._map, _HEADER.size)
        fresh = [numbers[at] for at in range(0, len(numbers), 2) if now - numbers[at + 1] < SILENT]
        return sum(fresh) / len(fresh) if fresh else math.inf


class FairShare:
    """Decides whether a worker takes the next connection, or leaves it to the others for a moment.

    The load is the number of open connections and of those taken lately, so that short
    connections are spread as evenly as long ones.
    """

    __slots__ = ("_accepted", "_at", "_board", "_cell", "_recent", "_since")

    DECAY = 10.0  # seconds in which the weight of an accepted connection falls to about a third
    STEP = 0.001  # seconds to wait for each connection above the mean, before looking again
    PATIENCE = 0.02  # seconds after which a worker accepts anyway, as the others may be blocked

    def __init__(self, board: LoadBoard, cell: int) -> None:
        self._board = board
        self._cell = cell
        self._recent = 0.0
        self._accepted = 0
        self._at = 0.0
        self._since = -math.inf  # when this worker began to leave the queue to others

    def __repr__(self) -> str:
        return f"<FairShare cell={self._cell} recent={self._recent:.1f} {self._board!r}>"

    def publish(self, open_now: int, accepted: int, now: float) -> float:
        """Publish this worker's load, and return it.

        `open_now` connections are open, `accepted` were accepted since the start.
        """
        self._recent *= math.exp((self._at - now) / self.DECAY)
        self._recent += accepted - self._accepted
        self._accepted = accepted
        self._at = now
        load = open_now + self._recent
        self._board.write(self._cell, load, now)
        return load

    def wait(self, open_now: int, accepted: int, now: float) -> float:
        """Seconds to leave the queue to the others; 0 to accept one connection now."""
        before = self._at
        excess = self.publish(open_now, accepted, now) - self._board.mean(now)
        if now - before > 2 * self.PATIENCE:
            self._since = now  # the connection that it left to others is long gone
        if excess <= 0.5 or now - self._since >= self.PATIENCE:
            self._since = now
            return 0.0
        return min(self.PATIENCE, self.STEP * excess)


# A socket filter that picks one of the chosen queues of a reuseport group at random. It is classic
# BPF, which needs no privilege (SO_ATTACH_REUSEPORT_CBPF, Linux 4.5).
_SO_ATTACH_REUSEPORT_CBPF = 51
_LOAD_RANDOM = (0x20, 0, 0, 0xFFFFF000 + 56)  # BPF_LD | BPF_W | BPF_ABS, SKF_AD_RANDOM
_MODULO, _JUMP_EQUAL, _RETURN = 0x94, 0x15, 0x06
_INSTRUCTION = struct.Struct("HBBI")


def steer(member: socket.socket, queues: Sequence[int]) -> None:
    """Let the kernel put new connections only into these queues of the group of `member`.

    `queues` are positions in the order in which the group's sockets began to listen; an empty
    sequence changes nothing. Raises `OSError` where the kernel does not support it.
    """
    import ctypes
    import socket

    if not queues:
        return
    code = [_LOAD_RANDOM, (_MODULO, 0, 0, len(queues))]
    for number, queue in enumerate(queues[:-1]):
        code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, queue)]
    code.append((_RETURN, 0, 0, queues[-1]))
    program = b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HP", len(code), ctypes.addressof(buffer))
    member.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, header)
