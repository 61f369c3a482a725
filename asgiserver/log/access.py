"""Where access records go: batches of lines on a stream or a file, or the handlers of `logging`.

This module must not know connections or the event loop: the server's clock calls `flush` once a
second.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Protocol

from asgiserver.config.values import OFF
from asgiserver.log.access_format import (
    compile_format,
    measures,
    wants_details,
    websocket_text,
)
from asgiserver.log.columns import Columns, wants_colors
from asgiserver.log.escape import client_text, escape
from asgiserver.log.flat import record_fields
from asgiserver.log.loggers import access_logger, flush_first, has_foreign_handlers, logger
from asgiserver.log.outlet import Outlet, is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.config.fields import Config
    from asgiserver.log.record import AccessRecord, Render

__all__ = [
    "AccessLog",
    "BatchedAccessLog",
    "LoggerAccessLog",
    "access_format",
    "make_access_log",
    "standard_output",
    "taker_of",
]


class AccessLog(Protocol):
    """Where access records go. No method raises when the output fails."""

    wants_details: bool
    """Whether the records should have `RequestDetails`."""

    def log(self, record: AccessRecord) -> None:
        """Take the record of a request that has ended."""

    def flush(self) -> bool:
        """Write the gathered lines; the server's clock calls this once a second.

        True when a reader has taken some of them and another try is worth it soon.
        """

    def close(self) -> None:
        """Flush, and log how many lines were lost, if any."""


def make_access_log(config: Config) -> AccessLog | None:
    """The access log for `config` and the handlers attached so far; None when nobody wants records.

    Call this after the start of the application, which may have configured logging. Raises
    `ConfigError` for a bad format.
    """
    if not config.access_log:
        return None
    target, name = access_logger, access_format(config)
    path = config.access_log_file
    if path is None and has_foreign_handlers(target):
        return LoggerAccessLog(target, None if name == "text" else compile_format(name))
    if not target.isEnabledFor(logging.INFO):
        return None
    if path is None:
        terminal = is_terminal(sys.stdout)
        columns = Columns(wants_colors(config.use_colors, sys.stdout), terminal)
        make_outlet = standard_output
    else:
        from asgiserver.log.files import open_outlet

        terminal, columns = False, Columns(bool(config.use_colors))

        def make_outlet(resumed: Callable[[int], None]) -> Outlet:
            return open_outlet("--access-log-file", path, "stdout", resumed)

    log = BatchedAccessLog(
        compile_format(name, columns), make_outlet, at_once=terminal or not config.access_log_buffer
    )
    log.wants_details = wants_details(name)
    return log


def taker_of(log: AccessLog, config: Config) -> Callable[[AccessRecord], None]:
    """What takes all records for `log`, and passes on those that the configuration wants."""
    thinned = config.access_log_skip or config.access_log_sample < 1
    if not thinned and config.access_log_slow == OFF:
        return log.log
    from asgiserver.log.thinning import Thinning

    return Thinning(log.log, config).log


def access_format(config: Config) -> str:
    """The format of access lines: that of the server's own log, unless another one is named."""
    return config.access_log_format or config.log_format


def standard_output(resumed: Callable[[int], None]) -> Outlet:
    """Standard output, looked up at each write; see `Outlet` for `resumed`."""
    return Outlet("stdout", resumed)


class LoggerAccessLog:
    """Records for the handlers that the user attached to `asgiserver.access` or above it.

    The arguments of a record are uvicorn's five (client, method, path with query, HTTP version,
    status), so formatters written for uvicorn fit. After these five the message ends as a ``text``
    line does. All fields of the JSON format are attributes too. With another format the message is
    the line in that format.
    """

    __slots__ = ("_failed", "_logger", "_render")

    wants_details = True

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
            # uvicorn has no arguments for these values, so they are part of the format.
            more = measures(record).replace("%", "%%")
            if record.event != "request":
                extra["websocket"] = websocket_text(record)
            target.info(
                f'%s - "%s %s HTTP/%s" %d {more}',
                client_text(record.client),
                extra["method"],
                escape(record.target),
                extra["version"],
                record.status,
                extra=extra,
            )
        except Exception:  # a filter or handler of the user's failed, not the request
            if not self._failed:
                self._failed = True
                logger.exception("Access log: a handler raised (logged once)")

    def flush(self) -> bool:
        """Do nothing, because nothing is gathered."""
        return False

    def close(self) -> None:
        """Do nothing, because the handlers belong to the user."""


class BatchedAccessLog:
    """Lines for a stream or a file, gathered and written together.

    They are written on `flush`, when 64 KiB are gathered, before a line of the server's own log,
    and at exit; or each line `at_once`. A reader that does not keep up never blocks the caller, see
    `Outlet`.
    """

    __slots__ = (
        "_limit",
        "_lines",
        "_outlet",
        "_render",
        "_size",
        "_thread",
        "_warned",
        "wants_details",
    )

    GATHER = 65536  # characters after which the lines are written

    def __init__(
        self,
        render: Render,
        make_outlet: Callable[[Callable[[int], None]], Outlet] = standard_output,
        *,
        at_once: bool = False,
    ) -> None:
        self.wants_details = False
        self._render = render
        self._lines: list[str] = []
        self._size = 0  # characters in _lines
        self._limit = 1 if at_once else self.GATHER
        self._outlet = make_outlet(self._resumed)
        self._thread = threading.get_ident()
        self._warned = False
        _open_logs.add(self)
        flush_first.add(self.flush_here)

    def __repr__(self) -> str:
        waiting = self._size + self._outlet.waiting
        return f"<BatchedAccessLog waiting={waiting} lost={self.lost}>"

    @property
    def lost(self) -> int:
        """Lines that were lost so far."""
        return self._outlet.lost

    def log(self, record: AccessRecord) -> None:
        """Add one line."""
        line = self._render(record)
        self._lines.append(line)
        self._size += len(line) + 1
        if self._size >= self._limit:
            self.flush()

    def flush(self) -> bool:
        """Write as many of the gathered lines as the reader takes now."""
        outlet = self._outlet
        if self._lines:
            text = "\n".join([*self._lines, ""])
            self._lines.clear()
            self._size = 0
            outlet.write(text)
        more = outlet.flush()
        if outlet.unreported and not self._warned:
            self._warned = True
            problem = outlet.problem
            logger.warning("Access log: %s loses lines: %s (logged once)", outlet.title, problem)
        return more

    def flush_here(self) -> None:
        """Flush, if this is the thread that gathers the lines."""
        if self._lines and threading.get_ident() == self._thread:
            self.flush()

    def close(self) -> None:
        """Flush, and log how many lines were lost. A second call does nothing."""
        if self not in _open_logs:
            return
        _open_logs.discard(self)
        flush_first.discard(self.flush_here)
        self.flush()
        self._outlet.close()
        if self._outlet.unreported:
            logger.warning("Access log: %d lines were lost", self._outlet.unreported)

    def forget(self) -> None:
        """Drop the gathered lines in a forked child, because its parent writes them."""
        self._lines.clear()
        self._size = 0
        self._outlet.forget()

    def _resumed(self, count: int) -> None:
        title = self._outlet.title
        logger.warning("Access log: %s works again, %d lines were lost", title, count)


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
