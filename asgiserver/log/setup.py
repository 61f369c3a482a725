"""Set-up of the log, escaping, and refused requests.

It must not know connections, the event loop or the access log's formats, and it never touches the
root logger.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asgiserver.errors import ConfigError, PeerError, closest
from asgiserver.log.loggers import (
    ACCESS_LOGGER,
    LOGGER,
    StandInHandler,
    has_foreign_handlers,
    logger,
)
from asgiserver.log.outlet import is_terminal

if TYPE_CHECKING:
    from configparser import ConfigParser

    from asgiserver.config.fields import Config

__all__ = [
    "TRACE",
    "LoggingHandle",
    "PeerErrorLog",
    "UvicornFormatter",
    "client_text",
    "escape",
    "log_level",
    "setup_logging",
    "wants_colors",
]

TRACE = 5
LEVELS = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
DEFAULT_LEVEL = "info"

# Escaping -------------------------------------------------------------------------------------

# Backslash and double quote too: then every line can be split again without ambiguity.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x22, 0x5C, *range(0x7F, 0x100))}
# What a traceback may hold of the wire; its own line ends and tabs stay.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def escape(data: bytes | str) -> str:
    r"""Text from the wire as printable ASCII: all else, ``\`` and ``"`` become ``\xNN``.

    A `str` is taken as UTF-8. Everything that a client can choose passes through here before it
    is logged, so that it can neither forge a line nor drive a terminal.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if data.isascii():
        text = data.decode()
        if text.isprintable() and '"' not in text and "\\" not in text:
            return text
    return data.decode("latin-1").translate(_ESCAPES)


def client_text(client: tuple[str, int] | None) -> str:
    """``host:port``, ``[host]:port`` for IPv6, ``-`` for a unix socket."""
    if client is None:
        return "-"
    host = escape(client[0])
    return f"[{host}]:{client[1]}" if ":" in host else f"{host}:{client[1]}"


# Levels, colours, handlers --------------------------------------------------------------------


def log_level(level: str | int) -> int:
    """The number of a level's name. Raises `ConfigError` for an unknown name."""
    if isinstance(level, int):
        return level
    number = LEVELS.get(level.lower())
    if number is None:
        close = closest(level.lower(), LEVELS)
        hint = f"did you mean {close}?" if close else f"use one of {', '.join(LEVELS)}"
        raise ConfigError(f"--log-level: {level!r} is not a level; {hint}")
    return number


def wants_colors(use_colors: bool | None, stream: object) -> bool:
    """Whether to colour what goes to `stream`: as asked, else NO_COLOR, FORCE_COLOR, a terminal."""
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
        text = _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", super().format(record))
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname:<8}"
        if self.colors:
            level = _paint_level(level, record.levelno)
        return f"{stamp}.{int(record.msecs):03d} {level} {text}"


class UvicornFormatter(logging.Formatter):
    """Takes the place of uvicorn's formatters in a log configuration written for it.

    Knows their extra names: ``levelprefix``, ``client_addr``, ``request_line``, ``status_code``.
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: str = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt, datefmt, style)  # type: ignore[arg-type] # checked in there
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


class LoggingHandle:
    """What `setup_logging` installed, for one server; `close` takes it away again."""

    __slots__ = ("_handler", "_open")

    def __init__(self, handler: StandInHandler) -> None:
        self._handler = handler
        self._open = True

    def __repr__(self) -> str:
        return f"<LoggingHandle {'open' if self._open else 'closed'} {self._handler!r}>"

    def close(self) -> None:
        """Undo `setup_logging`; the handler goes with its last user. May be called twice."""
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

    `config.log_config` is applied first. The level is set when it was asked for, or when nobody
    else handles our records. Raises `ConfigError` for a bad level or log configuration.
    """
    level = log_level(config.log_level)
    before = logger.level
    if config.log_config is not None:
        _apply_log_config(config.log_config)
    if logging.getLevelName(TRACE) == f"Level {TRACE}":
        logging.addLevelName(TRACE, "TRACE")
    asked = config.log_level != DEFAULT_LEVEL
    if asked or (logger.level == logging.NOTSET and not has_foreign_handlers(logger)):
        logger.setLevel(level)
    handler = next((h for h in logger.handlers if isinstance(h, StandInHandler)), None)
    if handler is None:
        formatter = LineFormatter(wants_colors(config.use_colors, sys.stderr))
        handler = StandInHandler(formatter, before)
        logger.addHandler(handler)
    handler.users += 1
    return LoggingHandle(handler)


# --log-config ---------------------------------------------------------------------------------

_ALIASES = {"uvicorn": LOGGER, "uvicorn.error": LOGGER, "uvicorn.access": ACCESS_LOGGER}


def _apply_log_config(source: Any) -> None:
    """Apply a dict, or a .json, .toml, .yaml or ini file. Raises `ConfigError`."""
    from configparser import ConfigParser  # these cost every start 4 ms
    from logging.config import dictConfig, fileConfig

    name = "--log-config" if isinstance(source, Mapping) else f"--log-config {source}"
    try:
        settings = source if isinstance(source, Mapping) else _read_log_config(source)
        if isinstance(settings, ConfigParser):
            aliased = _alias_ini(settings)
            fileConfig(settings, disable_existing_loggers=False)
        else:
            plain, aliased = _alias_dict(settings)
            dictConfig(plain)
    except ConfigError as exc:
        raise ConfigError(f"{name}: {exc}") from exc
    except OSError as exc:
        raise ConfigError(f"{name}: {exc.strerror or exc}") from exc
    except Exception as exc:  # handlers are made by any code at all
        reason = str(exc) if exc.__cause__ is None else f"{exc}: {exc.__cause__}"
        raise ConfigError(f"{name}: {' '.join(reason.split())}") from exc
    if aliased:
        logger.warning("%s: uvicorn's loggers are read as %s and %s", name, LOGGER, ACCESS_LOGGER)


def _read_log_config(path: str) -> Mapping[str, Any] | ConfigParser:
    suffix = os.path.splitext(path)[1].lower()
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if suffix == ".json":
        import json

        settings = json.loads(text)
    elif suffix == ".toml":
        import tomllib

        settings = tomllib.loads(text)
    elif suffix in (".yaml", ".yml"):
        try:
            import yaml  # type: ignore[import-untyped,unused-ignore] # optional
        except ImportError:
            raise ConfigError(
                "YAML needs PyYAML (pip install pyyaml), or use .json or .toml"
            ) from None
        settings = yaml.safe_load(text)
    else:
        from configparser import ConfigParser

        parser = ConfigParser()
        parser.read_string(text, str(path))
        return parser
    if not isinstance(settings, Mapping):
        raise ConfigError("must hold a mapping as logging.config.dictConfig takes it")
    return settings


def _alias_dict(settings: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A copy for dictConfig with uvicorn's loggers and formatters as ours; whether any was."""
    result = {"version": 1, **settings, "disable_existing_loggers": False}
    loggers: dict[str, Any] = {}
    for name, entry in (settings.get("loggers") or {}).items():
        merged = loggers.setdefault(_ALIASES.get(name, name), {})
        handlers = [*merged.get("handlers", ()), *entry.get("handlers", ())]
        merged.update(entry)
        if handlers:  # uvicorn.error is below uvicorn: its handlers are added to those
            merged["handlers"] = list(dict.fromkeys(handlers))
    if loggers:
        result["loggers"] = loggers
    formatters = settings.get("formatters") or {}
    if formatters:
        result["formatters"] = {
            name: {**entry, "()": UvicornFormatter}
            if str(entry.get("()", "")).startswith("uvicorn.logging.")
            else entry
            for name, entry in formatters.items()
        }
    return result, not _ALIASES.keys().isdisjoint(settings.get("loggers") or {})


def _alias_ini(parser: ConfigParser) -> bool:
    """The same for an ini file, in place: the sections' ``qualname``."""
    aliased = False
    taken: set[str] = set()
    keys = []
    for key in parser.get("loggers", "keys").split(","):
        section = f"logger_{key.strip()}"
        qualname = parser.get(section, "qualname", fallback="")
        if qualname in _ALIASES:
            aliased = True
            qualname = _ALIASES[qualname]
            if qualname in taken:
                continue
            parser.set(section, "qualname", qualname)
        taken.add(qualname)
        keys.append(key.strip())
    parser.set("loggers", "keys", ",".join(keys))
    return aliased


# Refused requests -----------------------------------------------------------------------------


class PeerErrorLog:
    """One INFO line per refused request, bounded per peer and minute, and in memory.

    At most `per_peer` lines for one address and `overall` lines for all, each minute; then one
    line says that more are not logged. The caller counts every refusal (`Stats.count_refused`).
    """

    __slots__ = ("_counts", "_overall", "_per_peer")

    WINDOW = 60.0  # seconds
    PEERS = 1024

    def __init__(self, per_peer: int = 10, overall: int = 600) -> None:
        self._per_peer = per_peer
        self._overall = overall
        # Host -> [start of its minute, lines in it], least recently refused first; "": all.
        self._counts: OrderedDict[str, list[float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<PeerErrorLog peers={len(self._counts)}>"

    def report(self, client: tuple[str, int] | None, error: PeerError, now: float) -> None:
        """Log that `client` was refused with `error`. `now` is a clock's seconds."""
        if not logger.isEnabledFor(logging.INFO):
            return
        host = client[0] if client is not None else "-"
        count = self._count(host, now)
        if count > self._per_peer + 1:
            return
        total = self._count("", now)
        if total > self._overall:
            if total == self._overall + 1:
                logger.info("Further refused requests are not logged for a minute")
        elif count > self._per_peer:
            logger.info("Further refused requests of %s are not logged for a minute", escape(host))
        else:
            logger.info(
                "Refused %s: %d %s", client_text(client), error.status, escape(error.reason)
            )

    def _count(self, key: str, now: float) -> int:
        """Add one to this minute's lines of `key`."""
        counts = self._counts
        entry = counts.get(key)
        if entry is None or now - entry[0] >= self.WINDOW:
            entry = counts[key] = [now, 0]
        entry[1] += 1
        counts.move_to_end(key)
        if len(counts) > self.PEERS:
            counts.popitem(last=False)
        return int(entry[1])
