"""Standard output and standard error as lines leave for them: no reader makes the writer wait.

It must not know what the lines say, nor `logging`, nor the event loop.
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
    """One standard stream, ``stdout`` or ``stderr``, as `sys` has it at each write.

    What its reader does not take at once waits, up to `LIMIT` bytes. Lines beyond that are lost
    and counted in `lost`, and so is what waits when the stream turns out not to work (`problem`
    says why). Once the stream takes lines again, `resumed` is called with the number that was
    lost since; it may write a line that says so.

    Not for several threads at once. A signal handler may write while a write goes on.
    """

    LIMIT = 1024 * 1024  # bytes

    def __init__(self, name: str, resumed: Callable[[int], None]) -> None:
        self._name = name
        self._resumed = resumed
        self._blocks: deque[bytes] = deque()  # whole lines each, but for what is left of the first
        self.waiting = 0  # bytes in _blocks
        self.lost = 0  # lines
        self.untold = 0  # lines of them that `resumed` has not heard of
        self.problem = ""
        self._full = False  # lines were lost for want of room, and others still wait
        self._busy = False

    def __repr__(self) -> str:
        return f"<Outlet {self._name} waiting={self.waiting} lost={self.lost}>"

    def write(self, text: str) -> None:
        """Write whole lines, at the latest when the reader takes them. Never raises."""
        data = text.encode("utf-8", "backslashreplace")
        self.flush()
        if self._full:  # the gap must not be filled with what is newer
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
            self.problem = "it is not read fast enough"
            self._lose(last[len(kept) :])

    def flush(self, patience: float = 0.0) -> bool:
        """Write what waits, as far as it is taken within `patience` seconds. Never raises.

        True when the reader has taken something, and more waits: it is worth another try soon.
        """
        if not self._blocks or self._busy:
            return False
        before = self.waiting
        self._busy = True
        try:
            self._drain(getattr(sys, self._name), patience)
        except Exception as exc:  # whatever the object that stands there raises
            self.problem = str(exc) or type(exc).__name__
            self._lose(*self._blocks)
            self.forget()
            return False
        finally:
            self._busy = False
        if not self._blocks:
            self._full = False
            if self.untold:
                count, self.untold = self.untold, 0
                self._resumed(count)
        return 0 < self.waiting < before

    def close(self) -> None:
        """Flush with patience; what is not taken then is lost."""
        self.flush(PATIENCE)
        self._lose(*self._blocks)
        self.forget()

    def forget(self) -> None:
        """Drop what waits, uncounted: in a forked child it is the parent's to write."""
        self._blocks.clear()
        self.waiting = 0
        self._full = False

    def _lose(self, *blocks: bytes) -> None:
        count = sum(block.count(b"\n") for block in blocks)
        self.lost += count
        self.untold += count

    def _written(self, size: int) -> None:
        """The stream has taken `size` bytes of the first block."""
        self.waiting -= size
        first = self._blocks[0]
        if size == len(first):
            self._blocks.popleft()
        else:
            self._blocks[0] = first[size:]

    def _drain(self, stream: Any, patience: float) -> None:
        """Raises what `stream` raises, and `OSError` of its descriptor."""
        if stream is None:
            raise ValueError("there is none")
        fd = descriptor(stream)
        blocking = fd is not None and _may_block(fd)
        if fd is None or not is_plain(stream):
            while self._blocks and not (blocking and fd is not None and not _is_writable(fd)):
                _write_to_object(stream, self._blocks[0].decode())
                self._written(len(self._blocks[0]))
        elif blocking:
            self._drain_slow(stream, fd, patience)
        else:
            stream.flush()  # the application's prints first: no line lands inside another
            while self._blocks:
                self._written(os.write(fd, self._blocks[0]))

    def _drain_slow(self, stream: Any, fd: int, patience: float) -> None:
        """Write to a pipe, socket or terminal as much as it takes.

        In pieces of PIPE_BUF bytes at most, cut at line ends: a pipe that polls writable takes one
        without blocking, and does not mix it with those of other processes (POSIX write()). A pipe
        that is empty takes more than that whole.
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
                    # The application's prints first, as above, unless that might wait: how many
                    # there are is not known.
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
        return None  # nothing there tells whether a write would wait
    try:
        fd = stream.fileno()
    except Exception as exc:
        if is_plain(stream) and not isinstance(exc, io.UnsupportedOperation):
            raise
        return None
    return fd if isinstance(fd, int) and fd >= 0 else None


def is_plain(stream: Any) -> bool:
    """Whether to write to `stream` is to write to its descriptor: not so for a tee or a capture."""
    if type(stream) is not io.TextIOWrapper:
        return False
    return stream.encoding.lower().replace("_", "-") in ("utf-8", "utf8")


def is_terminal(stream: Any) -> bool:
    """`stream.isatty()`, False for whatever cannot tell."""
    try:
        return bool(stream.isatty())
    except Exception:  # there is none, it is closed, or has no such method
        return False


def flush_streams() -> None:
    """Flush `sys.stdout` and `sys.stderr`, whatever they are, unless that would wait."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            fd = descriptor(stream)
            if fd is None or not _may_block(fd) or _is_writable(fd):
                stream.flush()


def end_streams() -> None:
    """At the end of a process: write what the application has printed, unless nobody reads it.

    Else Python would wait for the reader when it flushes the streams at exit.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            fd = descriptor(stream)
            if fd is None or not is_plain(stream) or not _may_block(fd):
                stream.flush()
            elif not _flushed(stream, fd):
                _to_null(fd)


def end_prints() -> None:
    """At the end of a server in a program that goes on: the same, but the streams stay as they are.

    What the application has printed is given up when nobody reads it; what the program prints
    afterwards is its own business.
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
    """Flush with patience; whether all of it was taken."""
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
    """Write to standard error what the end of this process has to say."""
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
    """Whether a pipe holds nothing that was not read yet; None for anything else."""
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
    """A descriptor of the same pipe or terminal on which no write waits; whether it is one.

    O_NONBLOCK belongs to the open file, which the shell and the application's children share: it
    must not be set on `fd`. Linux opens the file anew by its name in /proc. Where that cannot be
    (sockets, other systems, after a change of the user) it is `fd` itself, and between the poll
    and the write another process may take the room.
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
