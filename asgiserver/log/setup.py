"""Set-up of the server's own log.

This module must not know connections, the event loop or the access log's formats, and never
changes the root logger.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from asgiserver.config.values import LEVELS
from asgiserver.errors import ConfigError, closest
from asgiserver.log.access_format import compile_format
from asgiserver.log.columns import Columns, wants_colors
from asgiserver.log.formatters import LineFormatter
from asgiserver.log.loggers import StandInHandler, has_foreign_handlers, logger
from asgiserver.log.outlet import is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.config.fields import Config
    from asgiserver.log.outlet import Outlet

__all__ = ["LoggingHandle", "log_level", "setup_logging"]

TRACE = LEVELS["trace"]
DEFAULT_LEVEL = "info"


def log_level(level: str | int) -> int:
    """The number of a level's name. Raises `ConfigError` for an unknown name."""
    if isinstance(level, int):
        return level
    number = LEVELS.get(level.lower())
    if number is None:
        close = closest(level.lower(), LEVELS)
        hint = f"did you mean {close}?" if close else f"use one of {', '.join(reversed(LEVELS))}"
        raise ConfigError(f"--log-level: {level!r} is not a level; {hint}")
    return number


class LoggingHandle:
    """One server's share of what `setup_logging` installed; `close` gives it back."""

    __slots__ = ("_handler", "_open")

    def __init__(self, handler: StandInHandler) -> None:
        self._handler = handler
        self._open = True

    def __repr__(self) -> str:
        return f"<LoggingHandle {'open' if self._open else 'closed'} {self._handler!r}>"

    def close(self) -> None:
        """Undo `setup_logging`; the last user removes the handler. A second call does nothing."""
        if not self._open:
            return
        self._open = False
        self._handler.users -= 1
        if not self._handler.users:
            logger.removeHandler(self._handler)
            self._handler.end()
            logger.setLevel(self._handler.level_before)


def setup_logging(config: Config) -> LoggingHandle:
    """Make the server's own log readable, or leave it to the program that configured logging.

    `config.log_config` is applied first. The level is set when the option names one, or when no
    other handler takes our records. Raises `ConfigError` for a bad level, log configuration or
    log file.
    """
    level = log_level(config.log_level)
    if config.access_log_format:  # a mistake in it is reported before the application is imported
        compile_format(config.access_log_format)
    before = logger.level
    handler = next((h for h in logger.handlers if isinstance(h, StandInHandler)), None)
    if config.log_config is not None and (
        handler is None or handler.applied is not config.log_config
    ):
        from asgiserver.log.config_file import apply_log_config  # its imports take 4 ms

        apply_log_config(config.log_config)
    if logging.getLevelName(TRACE) == f"Level {TRACE}":
        logging.addLevelName(TRACE, "TRACE")
    asked = config.log_level != DEFAULT_LEVEL
    if asked or (logger.level == logging.NOTSET and not has_foreign_handlers(logger)):
        logger.setLevel(level)
    if handler is None:
        handler = StandInHandler(_formatter(config), before, _outlet_of(config.log_file))
        logger.addHandler(handler)
    handler.applied = config.log_config
    handler.users += 1
    return LoggingHandle(handler)


def _formatter(config: Config) -> logging.Formatter:
    if config.log_format != "text":
        from asgiserver.log.structured import make_formatter  # it imports json

        return make_formatter(config.log_format)
    if config.log_file is not None:
        return LineFormatter(Columns(bool(config.use_colors)))
    colors = wants_colors(config.use_colors, sys.stderr)
    return LineFormatter(Columns(colors, is_terminal(sys.stderr)))


def _outlet_of(log_file: str | None) -> Callable[[Callable[[int], None]], Outlet] | None:
    """What opens the file of ``--log-file``; None for standard error."""
    if log_file is None:
        return None
    from asgiserver.log.files import open_outlet

    return lambda resumed: open_outlet("--log-file", log_file, "stderr", resumed)
