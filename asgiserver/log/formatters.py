"""Formatters of text lines: the server's own, and one in the place of uvicorn's."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from asgiserver.log.columns import Columns, paint_level, wants_colors
from asgiserver.log.escape import make_visible
from asgiserver.log.loggers import ACCESS_LOGGER, logger

if TYPE_CHECKING:
    from types import TracebackType

    ExcInfo = (
        tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    )

__all__ = ["LineFormatter", "UvicornFormatter", "traceback_text"]


class LineFormatter(logging.Formatter):
    """``2026-11-21 11:01:13.123 INFO     text``, see `Columns`; control bytes are made visible."""

    def __init__(self, columns: Columns) -> None:
        super().__init__("%(message)s")
        self._columns = columns

    def format(self, record: logging.LogRecord) -> str:
        text = make_visible(super().format(record))
        columns = self._columns
        level = columns.level(record.levelname, record.levelno)
        return f"{columns.time(record.created)}{level}{text}"

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802
        return traceback_text(ei[1]) if ei[1] is not None else super().formatException(ei)


def traceback_text(error: BaseException) -> str:
    """The traceback of `error` from the application's code on; all of it at level debug."""
    from asgiserver.log.tracebacks import format_traceback

    return format_traceback(error, whole=logger.isEnabledFor(logging.DEBUG)).rstrip("\n")


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
        painted = paint_level(level, record.levelno) if self.colors else level
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
