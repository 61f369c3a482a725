"""The loggers `asgiserver` and `asgiserver.access`, and who takes care of their records.

It must not know the configuration, and it never touches the root logger.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any

from asgiserver.log.outlet import Outlet

__all__ = [
    "ACCESS_LOGGER",
    "LOGGER",
    "StandInHandler",
    "access_logger",
    "flush_log",
    "has_foreign_handlers",
    "logger",
]

LOGGER = "asgiserver"
ACCESS_LOGGER = "asgiserver.access"


class ServerLogger(logging.Logger):
    """A logger that no configuration of the application silences by accident.

    `logging.config.dictConfig` disables every logger that it does not name, unless told otherwise,
    and takes all handlers from those that it names. Levels and handlers remain the way to silence.
    """

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass

    def removeHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802
        """All but our own handler, which leaves with the last server."""
        if not (isinstance(hdlr, StandInHandler) and hdlr.users):
            super().removeHandler(hdlr)


def _server_logger(name: str) -> logging.Logger:
    """The logger of that name, which may exist, and be of a class that the application has set."""
    target = logging.getLogger(name)
    kind = type(target)
    if not issubclass(kind, ServerLogger):
        plain = kind is logging.Logger
        target.__class__ = ServerLogger if plain else type(kind.__name__, (ServerLogger, kind), {})
    return target


logger = _server_logger(LOGGER)
access_logger = _server_logger(ACCESS_LOGGER)


def has_foreign_handlers(target: logging.Logger) -> bool:
    """Whether a handler of somebody else receives what is logged to `target`."""
    current: logging.Logger | None = target
    while current is not None:
        for handler in current.handlers:
            if not (
                isinstance(handler, (StandInHandler, logging.NullHandler))
                or is_stray(handler, current)
            ):
                return True
        current = current.parent if current.propagate else None
    return False


def is_stray(handler: logging.Handler, owner: logging.Logger) -> bool:
    """Whether nobody has configured `handler`: ``logging.warning("...")`` alone installs it.

    So does a `basicConfig()` that is told neither a level nor a format nor a stream.
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
    """On a stray handler: the records that `StandInHandler` writes are not written again."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name not in (LOGGER, ACCESS_LOGGER):
            return True
        return has_foreign_handlers(logging.getLogger(record.name))


class StandInHandler(logging.Handler):
    """Writes to stderr as long as nobody else handles the records of `asgiserver`.

    So an application may configure logging before or after the server did: nothing is ever
    written twice. `users` servers share it; the last one restores the logger's `level_before`.
    """

    def __init__(self, formatter: logging.Formatter, level_before: int) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.level_before = level_before
        self.users = 0
        self._outlet = Outlet("stderr", self._resumed)
        self._muted: list[tuple[logging.Handler, NotOurs]] = []

    def __repr__(self) -> str:
        return f"<StandInHandler users={self.users}>"

    def emit(self, record: logging.LogRecord) -> None:
        if has_foreign_handlers(logging.getLogger(record.name)):
            return
        self._mute_strays()
        try:
            text = self.format(record)
        except Exception:  # as every handler: logging never stops the program
            with contextlib.suppress(Exception):  # nor does a stderr that is no file
                self.handleError(record)
            return
        self._outlet.write(f"{text}\n")

    def flush(self) -> None:
        """Write what the reader of stderr has not taken yet, as far as it takes it now."""
        self.flush_some()

    def flush_some(self) -> bool:
        """The same; see `Outlet.flush`."""
        self.acquire()
        try:
            return self._outlet.flush()
        finally:
            self.release()

    def end(self) -> None:
        """Write what waits, and give back what was changed."""
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
        """In a forked child: what waits is the parent's to write."""
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
        text = f"{count} lines were lost: standard error was not read, or could not be written"
        values: dict[str, Any] = {"name": LOGGER, "levelno": logging.WARNING}
        values |= {"levelname": "WARNING", "msg": text}
        self._outlet.write(f"{self.format(logging.makeLogRecord(values))}\n")


def flush_log() -> bool:
    """Write what the reader of stderr did not take when it was logged; call it now and then.

    True when it is worth another try soon: the reader has taken a part of it.
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
