"""Opens and checks parts of files for a response in a thread, and reads small ones there.

This module knows no wire: `Channel.send_file` sends a part.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from asgiserver.errors import ApplicationError

if TYPE_CHECKING:
    from collections.abc import Callable

Opened = TypeVar("Opened")

INLINE_SIZE = 65536
"""Bytes up to which a part is read by the thread that opens the file. Head and file leave in one
write then, and no descriptor has to stay open."""

SLICE_SIZE = 4 << 20
"""Bytes of a file that a channel is given at a time. When a response is broken off, the access log
may count up to this many bytes too few."""

# Windows has O_RDONLY and O_BINARY alone, and needs O_BINARY.
_FLAGS = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_reading = threading.Lock()


class FilePart:
    """`count` bytes of a regular file, from `offset`; `data` holds them already when they are few.

    `owned` is true while the part has an open descriptor of its own, which `close` closes.
    """

    __slots__ = ("count", "data", "fd", "offset", "owned")

    def __init__(self, fd: int, offset: int, count: int, data: bytes | None, owned: bool) -> None:
        self.fd = fd
        self.offset = offset
        self.count = count
        self.data = data
        self.owned = owned

    def __repr__(self) -> str:
        return f"<FilePart fd={self.fd} {self.offset}+{self.count} owned={self.owned}>"

    def close(self) -> None:
        """Close the descriptor if it belongs to the part; a second call does nothing."""
        if self.owned:
            self.owned = False
            os.close(self.fd)


async def open_path(path: object, most: int | None) -> FilePart:
    """Open a file that an application names; the part is its first `most` bytes, or all of it.

    `most` is the announced length: a file that has grown since then is sent up to that length.
    Raises `ApplicationError` when the file cannot be opened (its `__cause__` is the `OSError`), is
    no regular file, or is shorter than `most`.
    """
    if not isinstance(path, str) or "\0" in path:
        raise ApplicationError(f"the path of a file must be a str, not {path!r}")
    return await _in_thread(_open, path, most)


async def part_of(file: Any, offset: object, count: object) -> FilePart:
    """A part of a file that an application has opened, and has to close itself.

    `file` is a descriptor, or an object with ``fileno()``. Without `offset` the part begins at the
    current position of `file`, which moves to the end of the part; without `count` the part reaches
    to the end of the file. Raises `ApplicationError` when the file does not have that part.
    """
    fd = _descriptor(file)
    for name, value in (("offset", offset), ("count", count)):
        if value is not None and (not isinstance(value, int) or value < 0):
            raise ApplicationError(f"{name} must be an int of at least 0, not {value!r}")
    assert offset is None or isinstance(offset, int)
    assert count is None or isinstance(count, int)
    part = await _in_thread(_part, fd, _position(file) if offset is None else offset, count)
    if offset is None:
        end = part.offset + part.count
        if isinstance(file, int):
            os.lseek(fd, end, os.SEEK_SET)
        else:
            file.seek(end)
    return part


def _descriptor(file: Any) -> int:
    if isinstance(file, int) and not isinstance(file, bool):
        if 0 <= file < 1 << 31:
            return file
        raise ApplicationError(f"{file} is not a file descriptor")
    try:
        return int(file.fileno())
    except (AttributeError, OSError, ValueError) as error:
        raise ApplicationError(f"{file!r} is not an open file of the system: {error}") from error


def _position(file: Any) -> int:
    try:
        return os.lseek(file, 0, os.SEEK_CUR) if isinstance(file, int) else int(file.tell())
    except (AttributeError, OSError) as error:
        raise ApplicationError(f"{file!r} has no position: give an offset") from error


def open_to_read(path: str, *, link: bool = True) -> int:
    """Open a file and return its descriptor; refuse a symbolic link when `link` is false.

    Raises `OSError`. Without O_NONBLOCK a named pipe would block the thread until somebody writes
    to it.
    """
    return os.open(path, _FLAGS if link else _FLAGS | _NO_LINK)


if hasattr(os, "pread"):
    read_at = os.pread
else:  # Windows

    def read_at(fd: int, count: int, offset: int, /) -> bytes:
        """`os.pread`, for one thread at a time."""
        with _reading:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, count)


def _open(path: str, most: int | None) -> FilePart:
    fd = open_to_read(path)
    try:
        part = _part(fd, 0, None, most)
    except BaseException:
        os.close(fd)
        raise
    part.owned = True
    if part.data is not None:
        part.close()
    return part


def _part(fd: int, offset: int, count: int | None, most: int | None = None) -> FilePart:
    """The part, checked against the current size of the file; runs in a thread."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise ApplicationError("not a regular file")
    left = max(0, status.st_size - offset)
    if most is not None:
        count = most
    if count is None:
        count = left
    elif count > left:
        raise ApplicationError(f"the file has {left} bytes from {offset}, announced are {count}")
    data = None
    if count <= INLINE_SIZE:
        data = read_at(fd, count, offset)
        if len(data) < count:
            raise ApplicationError("the file has become shorter while it was read")
    return FilePart(fd, offset, count, data, False)


async def _in_thread(function: Callable[..., FilePart], *args: Any) -> FilePart:
    try:
        return await open_in_thread(function, *args)
    except OSError as error:
        raise ApplicationError(f"the file cannot be sent: {error}") from error


async def open_in_thread(function: Callable[..., Opened], *args: Any) -> Opened:
    """Call `function` in a thread; return the file that it has opened.

    When the caller is cancelled meanwhile, that file is closed. `function` may also return an int
    in place of a file, which needs no closing.
    """
    future = asyncio.get_running_loop().run_in_executor(None, function, *args)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(_discard)
        raise


def _discard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and future.exception() is None:
        file = future.result()
        if not isinstance(file, int):
            file.close()
