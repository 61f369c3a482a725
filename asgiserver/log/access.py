"""Where access records go: batches of lines on standard output, or the handlers of `logging`.

It must not know connections or the event loop: the server's clock calls `flush` once a second.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import select
import stat
import sys
import time
from typing import TYPE_CHECKING, Protocol

from asgiserver.log.access_format import Render, compile_format, record_fields
from asgiserver.log.setup import (
    ACCESS_LOGGER,
    LOGGER,
    client_text,
    escape,
    has_foreign_handlers,
    is_terminal,
    wants_colors,
)

if TYPE_CHECKING:
    from typing import TextIO

    from asgiserver.config.fields import Config
    from asgiserver.context import AccessRecord

__all__ = ["AccessLog", "BatchedAccessLog", "LoggerAccessLog", "make_access_log"]

logger = logging.getLogger(LOGGER)


class AccessLog(Protocol):
    """Where access records go. Nothing of it raises for what becomes of the output."""

    def log(self, record: AccessRecord) -> None:
        """Take one record, at the end of its request."""

    def flush(self) -> None:
        """Write what was gathered; the server's clock calls this once a second."""

    def close(self) -> None:
        """Flush, and say how many lines were lost, if any."""


def make_access_log(config: Config) -> AccessLog | None:
    """The access log that `config` and the handlers attached by now ask for; None: no records.

    Call it after the application was started, which may have configured logging. Raises
    `ConfigError` for a bad format.
    """
    if not config.access_log:
        return None
    target = logging.getLogger(ACCESS_LOGGER)
    if has_foreign_handlers(target):
        if config.access_log_format == "text":
            return LoggerAccessLog(target)
        return LoggerAccessLog(target, compile_format(config.access_log_format))
    if not target.isEnabledFor(logging.INFO):
        return None
    colors = config.access_log_format == "text" and wants_colors(config.use_colors, sys.stdout)
    return BatchedAccessLog(compile_format(config.access_log_format, colors))


class LoggerAccessLog:
    """Records for the handlers that the user attached to `asgiserver.access` or above it.

    The arguments of a record are uvicorn's five (client, method, path with query, HTTP version,
    status), so its formatters fit; all fields of the JSON format are attributes too. With
    another format than ``text`` the message is the line in that format instead.
    """

    __slots__ = ("_failed", "_logger", "_render")

    def __init__(self, target: logging.Logger, render: Render | None = None) -> None:
        self._logger = target
        self._render = render
        self._failed = False

    def __repr__(self) -> str:
        return f"<LoggerAccessLog {self._logger.name}>"

    def log(self, record: AccessRecord) -> None:
        """Emit one INFO record."""
        target = self._logger
        if not target.isEnabledFor(logging.INFO):
            return
        extra = record_fields(record)
        try:
            if self._render is not None:
                target.info("%s", self._render(record), extra=extra)
                return
            target.info(
                '%s - "%s %s HTTP/%s" %d',
                client_text(record.client),
                extra["method"],
                escape(record.target),
                extra["version"],
                record.status,
                extra=extra,
            )
        except Exception:  # a filter or handler of the user's: not the request's fault
            if not self._failed:
                self._failed = True
                logger.exception("Access log: a handler raised; said once")

    def flush(self) -> None:
        """Nothing is gathered here."""

    def close(self) -> None:
        """Nothing is owned here."""


class BatchedAccessLog:
    """Lines for standard output: gathered, then written at once.

    Written on `flush`, when 64 KiB are gathered, and at exit; each line at once to a terminal.
    A reader that does not keep up never blocks the caller: up to 1 MiB waits for it, then whole
    lines are dropped, counted in `lost` and reported.
    """

    __slots__ = ("_limit", "_lines", "_pending", "_render", "_size", "lost")

    GATHER = 65536  # bytes
    PENDING = 1024 * 1024  # bytes
    PATIENCE = 1.0  # seconds, at the end

    def __init__(self, render: Render) -> None:
        self._render = render
        self._lines: list[str] = []
        self._size = 0  # characters in _lines
        self._limit = 1 if is_terminal(sys.stdout) else self.GATHER
        self._pending = b""  # what the reader has not taken yet
        self.lost = 0
        _open_logs.add(self)

    def __repr__(self) -> str:
        waiting = self._size + len(self._pending)
        return f"<BatchedAccessLog waiting={waiting} lost={self.lost}>"

    def log(self, record: AccessRecord) -> None:
        """Add one line."""
        line = self._render(record)
        self._lines.append(line)
        self._size += len(line) + 1
        if self._size >= self._limit:
            self.flush()

    def flush(self, patience: float = 0.0) -> None:
        """Write what standard output takes within `patience` seconds."""
        if not self._lines and not self._pending:
            return
        data = self._pending
        if self._lines:
            data += "\n".join([*self._lines, ""]).encode("utf-8", "backslashreplace")
        self._lines.clear()
        self._size = 0
        try:
            self._pending = _write(data, patience)
        except (OSError, ValueError) as exc:  # ValueError: closed, or not encodable
            self._pending = b""
            self._lose(data.count(b"\n"), str(exc))
            return
        if len(self._pending) > self.PENDING:
            kept = self._pending.rfind(b"\n", 0, self.PENDING) + 1
            dropped = self._pending[kept:].count(b"\n")
            self._pending = self._pending[:kept]
            self._lose(dropped, "it does not keep up")

    def close(self) -> None:
        """Flush and say how many lines were lost. May be called twice."""
        if self not in _open_logs:
            return
        _open_logs.discard(self)
        self.flush(self.PATIENCE)
        if self._pending:
            self._lose(self._pending.count(b"\n"), "it does not keep up")
            self._pending = b""
        if self.lost:
            logger.warning("Access log: %d lines were lost", self.lost)

    def forget(self) -> None:
        """In a forked child: what was gathered is the parent's to write."""
        self._lines.clear()
        self._size = 0
        self._pending = b""

    def _lose(self, count: int, reason: str) -> None:
        if not self.lost and count:
            logger.warning("Access log: standard output loses lines: %s; said once", reason)
        self.lost += count


_open_logs: set[BatchedAccessLog] = set()


def _close_open_logs() -> None:
    for log in list(_open_logs):
        log.close()


def _forget_in_child() -> None:
    for log in list(_open_logs):
        log.forget()


atexit.register(_close_open_logs)
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_in_child)


def _write(data: bytes, patience: float) -> bytes:
    """Write to standard output what it takes within `patience` seconds; returns the rest.

    `sys.stdout` is looked up each time: it may have been replaced. Raises `OSError`, `ValueError`.
    """
    stream = sys.stdout
    if stream is None:
        raise ValueError("there is none")
    try:
        fd = stream.fileno()
    except (AttributeError, io.UnsupportedOperation):  # a capture, not a file
        stream.write(data.decode())
        stream.flush()
        return b""
    try:
        if sys.platform == "win32" or not _may_block(fd):
            stream.flush()  # the application's prints first: no line lands inside another
            return data[os.write(fd, data) :]
        return _write_in_pieces(stream, fd, data, patience)
    except BlockingIOError:
        return data


def _may_block(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def _write_in_pieces(stream: TextIO, fd: int, data: bytes, patience: float) -> bytes:
    """Write to a pipe, socket or terminal; returns what it does not take.

    Pieces of PIPE_BUF bytes at most, cut at line ends: a pipe that polls writable takes one
    without blocking, and does not mix it with those of other processes (POSIX write()).
    """
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    deadline = time.monotonic() + patience
    start = 0
    while start < len(data) and poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        end = start + select.PIPE_BUF
        if end < len(data):
            end = data.rfind(b"\n", start, end) + 1 or end
        try:
            if not start:
                stream.flush()  # as above
            start += os.write(fd, data[start:end])
        except BlockingIOError:
            break
    return data[start:]
