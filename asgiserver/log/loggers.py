"""The loggers `asgiserver` and `asgiserver.access`, and the handler that writes their records.

This module must not know the configuration, and never changes the root logger.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from asgiserver.log.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ACCESS_LOGGER",
    "LOGGER",
    "StandInHandler",
    "access_logger",
    "flush_first",
    "flush_log",
    "has_foreign_handlers",
    "log_failure",
    "logger",
    "write_text",
]

LOGGER = "asgiserver"
ACCESS_LOGGER = "asgiserver.access"


class ServerLogger(logging.Logger):
    """A logger that no configuration of the application silences by accident.

    `logging.config.dictConfig` disables every logger that it does not name, unless told otherwise,
    and removes all handlers from those that it names. To silence this logger, set its level or its
    handlers.
    """

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass

    def removeHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802
        """Remove a handler, unless it is our own one, which a server still uses."""
        if not (isinstance(hdlr, StandInHandler) and hdlr.users):
            super().removeHandler(hdlr)


def _server_logger(name: str) -> logging.Logger:
    """Make the logger called `name` a `ServerLogger`.

    It may exist already, with a class that the application has set.
    """
    target = logging.getLogger(name)
    kind = type(target)
    if not issubclass(kind, ServerLogger):
        plain = kind is logging.Logger
        target.__class__ = ServerLogger if plain else type(kind.__name__, (ServerLogger, kind), {})
    return target


logger = _server_logger(LOGGER)
access_logger = _server_logger(ACCESS_LOGGER)

flush_first: set[Callable[[], object]] = set()
"""Called before a line of the server's own log is written, so that access lines that were gathered
before it also stand before it. None of them raises or waits."""


def has_foreign_handlers(target: logging.Logger) -> bool:
    """Whether a handler that is not ours receives the records of `target`.

    A handler with an attribute `is_idle` that is true passes nothing on at present.
    """
    current: logging.Logger | None = target
    while current is not None:
        for handler in current.handlers:
            if not (
                isinstance(handler, (StandInHandler, logging.NullHandler))
                or is_stray(handler, current)
                or getattr(handler, "is_idle", False)
            ):
                return True
        current = current.parent if current.propagate else None
    return False


def is_stray(handler: logging.Handler, owner: logging.Logger) -> bool:
    """Whether `handler` is the one that logging installs by itself, with no configuration.

    ``logging.warning("...")`` installs it, and so does `basicConfig()` without arguments.
    """
    if owner.parent is not None or owner.level != logging.WARNING:
        return False
    if type(handler) is not logging.StreamHandler or handler.level != logging.NOTSET:
        return False
    if handler.stream is not sys.stderr and handler.stream is not sys.__stderr__:
        return False
    formatter = handler.formatter
    return (
        type(formatter) is logging.Formatter
        and formatter._fmt == logging.BASIC_FORMAT
        and formatter.datefmt is None
    )


class NotOurs(logging.Filter):
    """Keeps a stray handler from writing the records that `StandInHandler` writes."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name not in (LOGGER, ACCESS_LOGGER):
            return True
        return has_foreign_handlers(logging.getLogger(record.name))


class StandInHandler(logging.Handler):
    """Writes to stderr as long as no other handler takes the records of `asgiserver`.

    An application may configure logging before or after the server does: no record is written
    twice. `users` servers share this handler; the last one restores the logger's `level_before`.
    With ``--log-file`` it writes to that file instead; `make_outlet` opens it, and may raise.
    """

    def __init__(
        self,
        formatter: logging.Formatter,
        level_before: int,
        make_outlet: Callable[[Callable[[int], None]], Outlet] | None = None,
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.level_before = level_before
        self.users = 0
        self.applied: Any = None  # the logging configuration with which the last user came
        self._outlet = (make_outlet or _standard_error)(self._resumed)
        self._muted: list[tuple[logging.Handler, NotOurs]] = []

    def __repr__(self) -> str:
        return f"<StandInHandler users={self.users}>"

    def emit(self, record: logging.LogRecord) -> None:
        if has_foreign_handlers(logging.getLogger(record.name)):
            return
        self._mute_strays()
        try:
            text = self.format(record)
        except Exception:  # logging must not stop the program
            with contextlib.suppress(Exception):  # stderr may be an object without a file's methods
                self.handleError(record)
            return
        self.write(f"{text}\n")

    def write(self, text: str) -> None:
        """Write whole lines, after the access lines that came before them."""
        for flush in tuple(flush_first):
            flush()
        self._outlet.write(text)

    def flush(self) -> None:
        """Write as many of the waiting lines as the reader of stderr takes now."""
        self.flush_some()

    def flush_some(self) -> bool:
        """Write like `flush`, with the result of `Outlet.flush`."""
        self.acquire()
        try:
            return self._outlet.flush()
        finally:
            self.release()

    def end(self) -> None:
        """Write the waiting lines, and take the filters off the stray handlers."""
        self.acquire()
        try:
            self._outlet.close()
        finally:
            self.release()
        for handler, mute in self._muted:
            handler.removeFilter(mute)
        self._muted.clear()
        self.close()

    def forget(self) -> None:
        """Drop the waiting lines in a forked child, because its parent writes them."""
        self._outlet.forget()

    def _mute_strays(self) -> None:
        top = logger
        while top.parent is not None and top.propagate:
            top = top.parent
        for handler in top.handlers:
            if is_stray(handler, top) and not any(handler is known for known, _ in self._muted):
                mute = NotOurs()
                handler.addFilter(mute)
                self._muted.append((handler, mute))

    def _resumed(self, count: int) -> None:
        what = self._outlet.title
        text = f"{count} lines were lost: {what} was not read, or could not be written to"
        values: dict[str, Any] = {"name": LOGGER, "levelno": logging.WARNING}
        values |= {"levelname": "WARNING", "msg": text}
        self._outlet.write(f"{self.format(logging.makeLogRecord(values))}\n")


def _standard_error(resumed: Callable[[int], None]) -> Outlet:
    return Outlet("stderr", resumed)


def log_failure(text: str, details: str) -> None:
    """Log an error with a traceback as text, which another process has made."""
    record = logger.makeRecord(LOGGER, logging.ERROR, __file__, 0, text, (), None)
    record.exc_text = details or None
    logger.handle(record)


def write_text(text: str) -> bool:
    """Write text that is no record to where the server's own log goes; False without a server."""
    for handler in logger.handlers:
        if isinstance(handler, StandInHandler):
            handler.acquire()
            try:
                handler.write(text)
            finally:
                handler.release()
            return True
    return False


def flush_log() -> bool:
    """Write the lines that still wait for the reader of stderr; the clock calls this.

    True when the reader has taken some of them and another try is worth it soon.
    """
    more = False
    for handler in logger.handlers:
        if isinstance(handler, StandInHandler):
            more = handler.flush_some() or more
    return more


def _forget_in_child() -> None:
    for handler in logger.handlers:
        if isinstance(handler, StandInHandler):
            handler.forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_in_child)
