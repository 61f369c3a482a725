"""uvicorn's loggers and formatters: what a program does to the loggers holds for our records.

Our records are of `asgiserver` and `asgiserver.access`. As long as uvicorn's loggers are as
`Config` has left them, the server writes its log itself. Once a program has changed them, by a
configuration of its own, a filter, a handler or a level, our records go through them.
"""

from __future__ import annotations

import copy
import http
import logging
import logging.config
import os
import sys
from typing import TYPE_CHECKING, Any

from asgiserver.log.columns import Columns, paint, paint_level, wants_colors
from asgiserver.log.config_file import read_log_config
from asgiserver.log.formatters import LineFormatter
from asgiserver.log.loggers import access_logger, logger, write_text
from asgiserver.log.outlet import is_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LOGGING_CONFIG",
    "LOG_LEVELS",
    "TRACE_LOG_LEVEL",
    "AccessFormatter",
    "ColourizedFormatter",
    "DefaultFormatter",
    "configure",
    "effective_level",
    "for_workers",
]

TRACE_LOG_LEVEL = 5

LOG_LEVELS = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE_LOG_LEVEL,
}

LOGGING_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "uvicorn.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "uvicorn.logging.AccessFormatter",
            "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
        },
    },
    "handlers": {
        "default": {
            "formatter": "default",
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr",
        },
        "access": {
            "formatter": "access",
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
        },
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
"""What a program finds, and may change. Unchanged it means that the server writes its own log."""

_UNCHANGED = copy.deepcopy(LOGGING_CONFIG)
_STATUS_COLORS = {1: "37", 2: "32", 3: "33", 4: "31", 5: "91"}

_top = logging.getLogger("uvicorn")
_error = logging.getLogger("uvicorn.error")
_access = logging.getLogger("uvicorn.access")


class ColourizedFormatter(logging.Formatter):
    """Formats with ``%(levelprefix)s``, the level in its colour, a colon, and blanks to 9 columns.

    A record's ``color_message`` is used in the place of its message where there are colours.
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: str = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt, datefmt, style)  # type: ignore[arg-type] # logging checks it
        self.use_colors = self.should_use_colors() if use_colors is None else use_colors

    def should_use_colors(self) -> bool:
        """Whether to colour the lines when nobody has said so."""
        return wants_colors(None, sys.stdout)

    def color_level_name(self, level_name: str, level_no: int) -> str:
        """The name of a level in its colour."""
        return paint_level(level_name, level_no)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record = copy.copy(record)
        level = record.levelname
        blanks = " " * (8 - len(level))
        if self.use_colors:
            level = self.color_level_name(level, record.levelno)
            if "color_message" in record.__dict__:
                record.msg = record.__dict__["color_message"]
                record.message = record.getMessage()
        record.__dict__["levelprefix"] = f"{level}:{blanks}"
        return super().formatMessage(record)


class DefaultFormatter(ColourizedFormatter):
    """The formatter of a server's own log, which goes to the standard error."""

    def should_use_colors(self) -> bool:
        """Whether to colour the lines when nobody has said so."""
        return wants_colors(None, sys.stderr)


class AccessFormatter(ColourizedFormatter):
    """Formats with ``client_addr``, ``request_line`` and ``status_code``."""

    def get_status_code(self, status_code: int) -> str:
        """The status code and its phrase, in a colour by its first digit."""
        try:
            text = f"{status_code} {http.HTTPStatus(status_code).phrase}"
        except ValueError:
            text = f"{status_code} "
        color = _STATUS_COLORS.get(status_code // 100)
        return paint(text, color) if self.use_colors and color else text

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record = copy.copy(record)
        if isinstance(record.args, tuple) and len(record.args) >= 5:
            client, method, path, version, status = record.args[:5]
            line = f"{method} {path} HTTP/{version}"
            record.__dict__["client_addr"] = client
            record.__dict__["request_line"] = paint(line, "1") if self.use_colors else line
            record.__dict__["status_code"] = self.get_status_code(int(str(status)))
        return super().formatMessage(record)


class OwnHandler(logging.Handler):
    """Writes what a program logs to uvicorn's loggers where the server writes its own lines."""

    def __init__(self, stream: str, use_colors: bool | None) -> None:
        super().__init__()
        self._stream = stream
        target = getattr(sys, stream)
        self.setFormatter(
            LineFormatter(Columns(wants_colors(use_colors, target), is_terminal(target)))
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = f"{self.format(record)}\n"
            if self._stream == "stderr" and write_text(text):
                return
            target = getattr(sys, self._stream)
            target.write(text)
            target.flush()
        except Exception:  # logging must not stop the program
            self.handleError(record)


class Bridge(logging.Handler):
    """Gives records of one of our loggers to uvicorn's logger, unless that is as `Config` left it.

    `owner` is uvicorn's logger that has the handler: `uvicorn` itself for `uvicorn.error`.
    """

    def __init__(self, target: logging.Logger, owner: logging.Logger) -> None:
        super().__init__()
        self._target = target
        self._owner = owner
        self._level = target.level

    @property
    def is_idle(self) -> bool:
        """Whether the server writes the records itself."""
        target, owner = self._target, self._owner
        return (
            [type(handler) for handler in owner.handlers] == [OwnHandler]
            and (target is owner or (not target.handlers and target.propagate))
            and not target.filters
            and target.level == self._level
        )

    def emit(self, record: logging.LogRecord) -> None:
        target = self._target
        if not self.is_idle and target.isEnabledFor(record.levelno):
            record = copy.copy(record)
            record.name = target.name
            target.handle(record)


def effective_level() -> int:
    """The level of the server's own log."""
    return _error.getEffectiveLevel()


def configure(
    log_config: Any, log_level: str | int | None, access_log: bool, use_colors: bool | None
) -> None:
    """Set up uvicorn's loggers, and lead our records through them.

    Raises what `logging.config` and the file of `log_config` raise, and `KeyError` for a level
    that does not exist.
    """
    logging.addLevelName(TRACE_LOG_LEVEL, "TRACE")
    if log_config == _UNCHANGED:
        _use_own(use_colors)
    elif log_config is not None:
        _apply(log_config, use_colors)
    if log_level is not None:
        level = LOG_LEVELS[log_level.lower()] if isinstance(log_level, str) else log_level
        for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
            logging.getLogger(name).setLevel(level)
    if not access_log:
        _access.handlers = []
        _access.propagate = False
    _lead(logger, _error, _top)
    _lead(access_logger, _access, _access)


class Configured(logging.NullHandler):
    """Calls `configure` when it is made: so the log configuration of a worker may do it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        configure(**settings)


def for_workers(**settings: Any) -> dict[str, Any]:
    """The value of our option ``log_config`` with which each process calls `configure`."""
    handler = {"()": f"{__name__}.{Configured.__name__}", **settings}
    return {"version": 1, "handlers": {"uvicorn": handler}}


def _use_own(use_colors: bool | None) -> None:
    for target, stream in ((_top, "stderr"), (_access, "stdout")):
        target.handlers = [OwnHandler(stream, use_colors)]
        target.propagate = False
    _error.handlers = []
    _error.propagate = True
    for target in (_top, _error, _access):
        target.setLevel(logging.INFO)


def _apply(log_config: Any, use_colors: bool | None) -> None:
    if isinstance(log_config, str | os.PathLike):
        log_config = read_log_config(os.fspath(log_config))
    if not isinstance(log_config, dict):  # a ConfigParser or an open file
        logging.config.fileConfig(log_config, disable_existing_loggers=False)
        return
    if use_colors is not None:
        for name in ("default", "access"):
            log_config["formatters"][name]["use_colors"] = use_colors
    logging.config.dictConfig(_with_our_formatters(log_config))


def _with_our_formatters(log_config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which the formatters of `uvicorn.logging` are those of this module.

    Python's logging imports them by name, and uvicorn itself may not be there, or not meant.
    """
    formatters = {
        name: entry | {"()": entry["()"].replace("uvicorn.logging", __name__)}
        if str(entry.get("()", "")).startswith("uvicorn.logging.")
        else entry
        for name, entry in log_config.get("formatters", {}).items()
    }
    return {**log_config, "formatters": formatters}


def _lead(ours: logging.Logger, target: logging.Logger, owner: logging.Logger) -> None:
    for handler in list(ours.handlers):
        if isinstance(handler, Bridge):
            ours.removeHandler(handler)
    ours.addHandler(Bridge(target, owner))
    ours.propagate = False
    ours.setLevel(target.getEffectiveLevel())
