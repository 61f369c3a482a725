"""Formatters of the server's own log, and the decision about colours."""

from __future__ import annotations

import logging
import os
import sys
import time

from asgiserver.log.escape import make_visible
from asgiserver.log.loggers import ACCESS_LOGGER
from asgiserver.log.outlet import is_terminal

__all__ = ["LineFormatter", "UvicornFormatter", "wants_colors"]


def wants_colors(use_colors: bool | None, stream: object) -> bool:
    """Whether to colour the lines on `stream`.

    The option decides, else NO_COLOR, else FORCE_COLOR, else whether `stream` is a terminal.
    """
    if use_colors is not None:
        return use_colors
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


_LEVEL_COLORS = ((logging.ERROR, "31"), (logging.WARNING, "33"), (logging.INFO, "32"), (0, "36"))


def _paint_level(text: str, level: int) -> str:
    color = next(code for least, code in _LEVEL_COLORS if level >= least)
    return f"\x1b[{color}m{text}\x1b[0m"


class LineFormatter(logging.Formatter):
    """``2026-11-21 11:01:13.123 INFO     text``, local time; control bytes are made visible."""

    def __init__(self, colors: bool) -> None:
        super().__init__("%(message)s")
        self.colors = colors

    def format(self, record: logging.LogRecord) -> str:
        text = make_visible(super().format(record))
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname:<8}"
        if self.colors:
            level = _paint_level(level, record.levelno)
        return f"{stamp}.{int(record.msecs):03d} {level} {text}"


class UvicornFormatter(logging.Formatter):
    """Replaces uvicorn's formatters in a log configuration that was written for uvicorn.

    Its formats may use uvicorn's extra names: ``levelprefix``, ``client_addr``, ``request_line``
    and ``status_code``.
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: str = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt, datefmt, style)  # type: ignore[arg-type] # logging checks it
        self.colors = wants_colors(use_colors, sys.stderr)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        level = record.levelname
        painted = _paint_level(level, record.levelno) if self.colors else level
        extra: dict[str, object] = {"levelprefix": f"{painted}:{' ' * (8 - len(level))}"}
        if record.name == ACCESS_LOGGER and isinstance(record.args, tuple) and len(record.args) > 4:
            client, method, path, version, status = record.args[:5]
            what = getattr(record, "websocket", "")
            extra |= {
                "client_addr": client,
                "request_line": f"{method} {path} HTTP/{version}",
                "status_code": f"{status} {what}" if what else status,
            }
        record.__dict__.update(extra)
        return super().formatMessage(record)
