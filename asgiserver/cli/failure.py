"""Why the server does not start: a traceback if the application raised, and one line.

In a log format for programs both are one line in that format, like all others of the stream.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from asgiserver.config.fields import Config
from asgiserver.config.options import FIELDS
from asgiserver.errors import ApplicationLoadError, LifespanFailed, StartupError
from asgiserver.log.loggers import LOGGER
from asgiserver.log.outlet import write_at_last
from asgiserver.log.tracebacks import failure_traceback

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["tell"]


def tell(error: StartupError, options: Mapping[str, Any]) -> int:
    """Write why the start failed to standard error; returns the exit code.

    `options` are those that are known by then, which may be the flags alone.
    """
    log_format = options.get("log_format") or os.environ.get("ASGISERVER_LOG_FORMAT", "")
    details = _traceback_of(error, str(options.get("log_level")).lower() in ("debug", "trace"))
    text = " ".join(str(error).split())
    if log_format != Config.log_format and log_format in FIELDS["log_format"].info.choices:
        from asgiserver.log.structured import make_formatter

        values = {"name": LOGGER, "levelno": logging.ERROR, "levelname": "ERROR", "msg": text}
        record = logging.makeLogRecord({**values, "exc_text": details.rstrip() or None})
        write_at_last(f"{make_formatter(log_format).format(record)}\n")
    else:
        write_at_last(f"{details}asgiserver: error: {text}\n")
    return error.exit_code


def _traceback_of(error: StartupError, whole: bool) -> str:
    if error.is_logged:
        return ""
    if error.__cause__ is not None and isinstance(error, (ApplicationLoadError, LifespanFailed)):
        return failure_traceback(error.__cause__, whole=whole)
    return error.details
