"""A place in shared memory where one process publishes its figures, and others read them.

There is no lock: a worker that is stuck, or was killed as it wrote, keeps nobody from reading what
it has published before. This module does not know what is written.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys

__all__ = ["Board", "memory_file"]

HALF = 1 << 18
"""Bytes of each half. Pages that nothing was written to take no memory."""

_FLIPS = struct.Struct("Q")
_SIZE = struct.Struct("Q")
_HEADER = 64  # bytes: the number of writes, then the sizes of both halves
TRIES = 5


class Board:
    """Two halves: one has what was published last, the next is written into the other.

    Publishing ends with a store of 8 bytes, the number of writes, whose last bit tells which half
    is meant. A reader that finds another number after it has copied a half tries again.
    """

    __slots__ = ("_map", "fd")

    def __init__(self, fd: int) -> None:
        """Map the memory of `fd`, or memory of this process alone when `fd` is -1."""
        self.fd = fd
        self._map = mmap.mmap(fd, _HEADER + 2 * HALF)

    def __repr__(self) -> str:
        return f"<Board fd={self.fd}>"

    @classmethod
    def create(cls) -> Board:
        """An empty board, in memory that child processes can map by its descriptor.

        Raises `OSError`.
        """
        fd = memory_file("asgiserver-figures")
        try:
            os.truncate(fd, _HEADER + 2 * HALF)
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        """Unmap the memory, and close its descriptor."""
        self._map.close()
        if self.fd >= 0:
            os.close(self.fd)

    def write(self, data: bytes) -> bool:
        """Publish `data`; false when it is too large, so that the last data stays."""
        size = len(data)
        if size > HALF:
            return False
        flips = self._flips() + 1
        half = flips & 1
        begin = _HEADER + half * HALF
        self._map[begin : begin + size] = data
        _SIZE.pack_into(self._map, 8 + half * 8, size)
        _FLIPS.pack_into(self._map, 0, flips)
        return True

    def read(self) -> bytes:
        """What was published last; nothing before the first time, or when it changes too fast."""
        for _ in range(TRIES):
            flips = self._flips()
            half = flips & 1
            size = min(_SIZE.unpack_from(self._map, 8 + half * 8)[0], HALF)
            begin = _HEADER + half * HALF
            data = self._map[begin : begin + size]
            if self._flips() == flips:
                return data
        return b""

    def _flips(self) -> int:
        flips: int = _FLIPS.unpack_from(self._map)[0]
        return flips


def memory_file(name: str) -> int:
    """A descriptor of an empty file without a name, in memory where the system supports that.

    Raises `OSError`.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    if sys.platform == "win32":
        raise OSError("Windows has no memory that a descriptor stands for")
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
