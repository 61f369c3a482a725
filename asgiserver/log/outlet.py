"""Writing lines to standard output and standard error without waiting for their readers.

This module must not know what the lines say, nor `logging`, nor the event loop.
"""

from __future__ import annotations

import array
import contextlib
import io
import os
import select
import stat
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Outlet", "end_prints", "end_streams", "flush_streams", "write_at_last"]

PATIENCE = 1.0
"""Seconds that the end of a process waits for readers."""


class Outlet:
    """One standard stream, ``stdout`` or ``stderr``, looked up in `sys` at each write.

    Lines that the reader does not take at once wait, up to `LIMIT` bytes. Further lines are lost
    and counted in `lost`; when the stream fails, the waiting lines are lost too, and `problem` says
    why. Once the stream takes lines again, `resumed` is called with the number of lines lost since
    its last call; it may write a line about them.

    An outlet is not for several threads at once. A signal handler may write during a write.
    """

    LIMIT = 1024 * 1024  # bytes

    def __init__(self, name: str, resumed: Callable[[int], None]) -> None:
        self._name = name
        self.title = f"standard {'error' if name == 'stderr' else 'output'}"  # for people
        self._resumed = resumed
        self._blocks: deque[bytes] = deque()  # whole lines; the first may be written in part
        self.waiting = 0  # bytes in _blocks
        self.lost = 0  # lines
        self.unreported = 0  # lost lines that `resumed` was not called with yet
        self.problem = ""
        self._full = False  # lines were lost for want of room, and earlier ones still wait
        self._busy = False  # a write goes on, which a signal handler may have interrupted

    def __repr__(self) -> str:
        return f"<Outlet {self._name} waiting={self.waiting} lost={self.lost}>"

    def write(self, text: str) -> None:
        """Write whole lines, now or once the reader takes them. Never raises."""
        data = text.encode("utf-8", "backslashreplace")
        self.flush()
        if self._full:  # lines after a gap are lost until the lines before the gap are written
            self._lose(data)
            return
        self._blocks.append(data)
        self.waiting += len(data)
        self.flush()
        if self.waiting > self.LIMIT:
            last = self._blocks.pop()
            self.waiting -= len(last)
            kept = last[: last.rfind(b"\n", 0, self.LIMIT - self.waiting) + 1]
            if kept:
                self._blocks.append(kept)
                self.waiting += len(kept)
            self._full = bool(self._blocks)
            self.problem = "its reader is too slow"
            self._lose(last[len(kept) :])

    def flush(self, patience: float = 0.0) -> bool:
        """Write the waiting lines that the reader takes within `patience` seconds. Never raises.

        True when the reader has taken some of them and another try is worth it soon.
        """
        if not self._blocks or self._busy:
            return False
        before = self.waiting
        self._busy = True
        try:
            self._drain(patience)
        except Exception as exc:  # the application may have replaced the stream with any object
            self.problem = str(exc) or type(exc).__name__
            self._lose(*self._blocks)
            self.forget()
            return False
        finally:
            self._busy = False
        if not self._blocks:
            self._full = False
            if self.unreported:
                count, self.unreported = self.unreported, 0
                self._resumed(count)
        return 0 < self.waiting < before

    def close(self) -> None:
        """Flush with `PATIENCE`; lines that still wait then are lost."""
        self.flush(PATIENCE)
        self._lose(*self._blocks)
        self.forget()

    def forget(self) -> None:
        """Drop the waiting lines without counting them: after a fork the parent writes them."""
        self._blocks.clear()
        self.waiting = 0
        self._full = False

    def _lose(self, *blocks: bytes) -> None:
        count = sum(block.count(b"\n") for block in blocks)
        self.lost += count
        self.unreported += count

    def _written(self, size: int) -> None:
        """Drop `size` bytes of the first block, which the stream has taken."""
        self.waiting -= size
        first = self._blocks[0]
        if size == len(first):
            self._blocks.popleft()
        else:
            self._blocks[0] = first[size:]

    def _drain(self, patience: float) -> None:
        """Write what the stream takes. Raises what the stream raises, and `OSError`."""
        stream = getattr(sys, self._name)
        if stream is None:
            raise ValueError("the stream is missing")
        fd = descriptor(stream)
        blocking = fd is not None and _may_block(fd)
        if fd is None or not is_plain(stream):
            while self._blocks and not (blocking and fd is not None and not _is_writable(fd)):
                _write_to_object(stream, self._blocks[0].decode())
                self._written(len(self._blocks[0]))
        elif blocking:
            self._drain_slow(stream, fd, patience)
        else:
            stream.flush()  # the application's prints go first, so that no line splits another
            while self._blocks:
                self._written(os.write(fd, self._blocks[0]))

    def _drain_slow(self, stream: Any, fd: int, patience: float) -> None:
        """Write to a pipe, socket or terminal as much as it takes.

        The pieces have PIPE_BUF bytes at most and are cut at line ends: a pipe that polls writable
        takes such a piece without blocking, and does not mix it with the pieces of other processes
        (POSIX write()). An empty pipe takes a larger block whole.
        """
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        deadline = time.monotonic() + patience
        flushed = False
        with _without_waiting(fd) as (own, is_own):
            while self._blocks and poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                first = self._blocks[0]
                empty = _is_empty(fd)
                size = len(first)
                if size > select.PIPE_BUF and not (empty and is_own):
                    end = first.rfind(b"\n", 0, select.PIPE_BUF) + 1
                    size = end or select.PIPE_BUF
                try:
                    # The application's prints go first here too, unless `flush` might wait: their
                    # number is not known.
                    if not flushed and empty is not False:
                        flushed = True
                        stream.flush()
                    self._written(os.write(own, first[:size]))
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        return


# Streams --------------------------------------------------------------------------------------


def descriptor(stream: Any) -> int | None:
    """The descriptor of any object, None without one. Raises `ValueError` for a closed file."""
    if sys.platform == "win32":
        return None  # Windows does not tell whether a write would wait
    try:
        fd = stream.fileno()
    except Exception as exc:
        if is_plain(stream) and not isinstance(exc, io.UnsupportedOperation):
            raise
        return None
    return fd if isinstance(fd, int) and fd >= 0 else None


def is_plain(stream: Any) -> bool:
    """Whether bytes written to the descriptor are what `stream` would write; false for a tee."""
    if type(stream) is not io.TextIOWrapper:
        return False
    return stream.encoding.lower().replace("_", "-") in ("utf-8", "utf8")


def is_terminal(stream: Any) -> bool:
    """`stream.isatty()`, or False when that raises."""
    try:
        return bool(stream.isatty())
    except Exception:  # `stream` is None, is closed, or has no such method
        return False


def flush_streams() -> None:
    """Flush `sys.stdout` and `sys.stderr` unless that would wait. Never raises."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            fd = descriptor(stream)
            if fd is None or not _may_block(fd) or _is_writable(fd):
                stream.flush()


def end_streams() -> None:
    """Flush the application's prints at the end of a process, waiting at most `PATIENCE`.

    What nobody reads until then is dropped, because Python would wait for the reader when it
    flushes the streams at exit.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            fd = descriptor(stream)
            if fd is None or not is_plain(stream) or not _may_block(fd):
                stream.flush()
            elif not _flushed(stream, fd):
                _to_null(fd)


def end_prints() -> None:
    """Flush as `end_streams` does, at the end of a server in a program that goes on.

    Prints of the application that nobody reads are dropped, but the streams stay open for what the
    program prints later.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            fd = descriptor(stream)
            if fd is None or not is_plain(stream) or not _may_block(fd) or _flushed(stream, fd):
                continue
            before = os.dup(fd)
            try:
                _to_null(fd)
                stream.flush()
            finally:
                _put_back(before, fd)


def _to_null(fd: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)


def _flushed(stream: Any, fd: int) -> bool:
    """Flush `stream` with `PATIENCE`; whether its reader has taken all of it."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    deadline = time.monotonic() + PATIENCE
    before = os.dup(fd)
    try:
        with _without_waiting(fd) as (own, _):
            os.dup2(own, fd)
            while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                try:
                    stream.flush()
                except BlockingIOError:
                    continue
                return True
    finally:
        _put_back(before, fd)
    return False


def _put_back(before: int, fd: int) -> None:
    os.dup2(before, fd, inheritable=fd <= 2)  # as the standard streams are
    os.close(before)


def write_at_last(text: str) -> None:
    """Write the last text of this process to standard error."""
    outlet = Outlet("stderr", lambda count: None)
    outlet.write(text)
    outlet.close()


def _write_to_object(stream: Any, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        stream.write(text.encode("ascii", "backslashreplace").decode())
    if (flush := getattr(stream, "flush", None)) is not None:
        flush()


# Descriptors ----------------------------------------------------------------------------------


def _may_block(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def _is_writable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))


def _is_empty(fd: int) -> bool | None:
    """Whether a pipe is empty; None for anything other than a pipe."""
    if sys.platform == "win32":
        return None
    import fcntl
    import termios

    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        return None
    unread = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, unread)
    except OSError:
        return None
    return not unread[0]


@contextlib.contextmanager
def _without_waiting(fd: int) -> Iterator[tuple[int, bool]]:
    """A second descriptor of the same pipe or terminal, on which no write waits, and True.

    O_NONBLOCK belongs to the open file, which the shell and the application's children share, so
    it must not be set on `fd`. Linux opens the file a second time by its name in /proc. Where that
    is impossible (sockets, other systems, after a change of the user) this yields `fd` and False,
    and another process may fill the pipe between the poll and the write.
    """
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        yield fd, False
        return
    try:
        yield own, True
    finally:
        os.close(own)
