"""``--log-config``: a dictionary or a file for `logging.config`, which may be one for uvicorn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from configparser import ConfigParser
from logging.config import dictConfig, fileConfig
from typing import Any

from asgiserver.errors import ConfigError
from asgiserver.log.formatters import UvicornFormatter
from asgiserver.log.loggers import ACCESS_LOGGER, LOGGER, logger
from asgiserver.log.origin import worker

__all__ = ["apply_log_config", "read_log_config"]

_ALIASES = {"uvicorn": LOGGER, "uvicorn.error": LOGGER, "uvicorn.access": ACCESS_LOGGER}


def apply_log_config(source: Any) -> None:
    """Apply a dict, or a .json, .toml, .yaml or ini file. Raises `ConfigError`."""
    name = "--log-config" if isinstance(source, Mapping) else f"--log-config {source}"
    try:
        settings = source if isinstance(source, Mapping) else read_log_config(source)
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
    except Exception as exc:  # the configuration calls code of the user's, which may raise anything
        reason = str(exc) if exc.__cause__ is None else f"{exc}: {exc.__cause__}"
        raise ConfigError(f"{name}: {' '.join(reason.split())}") from exc
    if aliased and worker() is None:  # the supervisor says it for all workers
        logger.warning("%s: uvicorn's loggers are read as %s and %s", name, LOGGER, ACCESS_LOGGER)


def read_log_config(path: str) -> Mapping[str, Any] | ConfigParser:
    """The content of a .json, .toml, .yaml or ini file.

    Raises `ConfigError`, `OSError`, and what the parser of the file raises.
    """
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
        parser = ConfigParser()
        parser.read_string(text, str(path))
        return parser
    if not isinstance(settings, Mapping):
        raise ConfigError("the file must hold a mapping for logging.config.dictConfig")
    return settings


def _alias_dict(settings: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A copy for dictConfig with our names for uvicorn's loggers, and whether it had any of them.

    uvicorn's formatters are replaced too.
    """
    result = {"version": 1, **settings, "disable_existing_loggers": False}
    loggers: dict[str, Any] = {}
    for name, entry in (settings.get("loggers") or {}).items():
        merged = loggers.setdefault(_ALIASES.get(name, name), {})
        handlers = [*merged.get("handlers", ()), *entry.get("handlers", ())]
        merged.update(entry)
        if handlers:  # uvicorn and uvicorn.error become one logger, with the handlers of both
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
    """Give uvicorn's loggers in an ini file our names, in place; whether it had any of them."""
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
