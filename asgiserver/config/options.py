"""Where options come from: flags, keyword arguments, the environment and TOML files.

Everything is derived from the fields of `Config`; no option is known here by name but the ones
that uvicorn reads from the environment in a manner of its own.
"""

# ruff: noqa: E501  (Markdown tables)
from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from asgiserver.config.fields import OFF, Config, OptionInfo, convert, option_info
from asgiserver.config.values import split_headers
from asgiserver.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FIELDS", "Resolved", "describe", "flag_names", "markdown", "resolve"]

PREFIX = "ASGISERVER_"
UVICORN_PREFIX = "UVICORN_"
FILES = ("asgiserver.toml", "pyproject.toml")

# Variables that begin with the prefix and are no option.
OTHER_VARIABLES = (f"{PREFIX}APP", f"{PREFIX}CONFIG", f"{PREFIX}WORKER_INDEX")

# How several values are written in one UVICORN_ variable (None: separated by spaces).
UVICORN_SEPARATORS = {
    "reload_dirs": os.pathsep,
    "reload_includes": None,
    "reload_excludes": None,
    "headers": None,
}

FIELDS: dict[str, tuple[dataclasses.Field[Any], OptionInfo]] = {
    config_field.name: (config_field, info)
    for config_field in dataclasses.fields(Config)
    if (info := option_info(config_field)) is not None
}


class Resolved(NamedTuple):
    """A configuration, and where each of its values comes from.

    An origin is one of ``argument APP``, ``flag --port``, ``keyword port``, ``ASGISERVER_PORT``,
    the name of a file, or ``default``.
    """

    config: Config
    origins: dict[str, str]

    @property
    def notes(self) -> list[str]:
        """What the server should say once about these options, one line each."""
        return list(self.config.notes)


class _Given(NamedTuple):
    value: Any
    origin: str
    label: str  # how an error names it


def resolve(
    app: Any = None,
    *,
    flags: Mapping[str, Any] | None = None,
    keywords: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    config_file: str | None = None,
) -> Resolved:
    """Find each option: flag, keyword, ``ASGISERVER_*``, ``UVICORN_*``, file, default.

    `flags` and `keywords` are by field name, `env` is the environment, `cwd` the directory whose
    ``asgiserver.toml`` or ``pyproject.toml`` is read (None: none is), `config_file` replaces
    both. Raises `ConfigError` for a key that does not exist or a value that does not fit.
    """
    notes: list[str] = []
    given = _from_file(env or {}, cwd, config_file)
    given |= _from_environment(env or {}, notes)
    given |= _from_keywords(app, keywords or {})
    given |= _from_flags(flags or {})
    for name, item in given.items():
        if name in FIELDS:
            _check(name, item)
    values = {name: item.value for name, item in given.items()}
    config = Config(**values, notes=tuple(notes))
    origins = dict.fromkeys(("app", *FIELDS), "default")
    origins.update((name, item.origin) for name, item in given.items())
    return Resolved(config, origins)


def resolve_keywords(app: Any, keywords: Mapping[str, Any], *, env: bool) -> Resolved:
    """`resolve` for a program that calls the server; without `env`, from its keywords alone."""
    if not env:
        return resolve(app, keywords=keywords)
    return resolve(app, keywords=keywords, env=os.environ, cwd=os.getcwd())


def _check(name: str, item: _Given) -> None:
    try:
        convert(FIELDS[name][0], item.value)
    except ValueError as error:
        raise ConfigError(f"{item.label}: {error}") from None


def flag_names(name: str) -> tuple[str, ...]:
    """The command-line names of the option `name`."""
    return FIELDS[name][1].flags or (f"--{name.replace('_', '-')}",)


def _aliases() -> dict[str, str]:
    """Field names by every way to write them: theirs, and that of the flag."""
    names = {"app": "app"}
    for name in FIELDS:
        names[name] = name
        names[flag_names(name)[0].removeprefix("--").replace("-", "_")] = name
    return names


NAMES = _aliases()


def _field_name(key: str, label: str) -> str:
    name = NAMES.get(key.replace("-", "_"))
    if name is None:
        close = closest(key.replace("-", "_"), NAMES)
        hint = f"; did you mean {close!r}?" if close else ""
        raise ConfigError(f"{label}unknown option {key!r}{hint}")
    return name


def _from_flags(flags: Mapping[str, Any]) -> dict[str, _Given]:
    given = {}
    for name, value in flags.items():
        flag = flag_names(name)[0] if name in FIELDS else "APP"
        if value is False:
            flag = f"--no-{flag.removeprefix('--')}"
        kind = "flag" if name in FIELDS else "argument"
        given[name] = _Given(value, f"{kind} {flag}", flag)
    return given


def _from_keywords(app: Any, keywords: Mapping[str, Any]) -> dict[str, _Given]:
    given = {}
    if app is not None:
        given["app"] = _Given(app, "argument APP", "app")
    for key, value in keywords.items():
        name = _field_name(key, "")
        # uvicorn's signature has None for "not given" in many places.
        if value is not None or None in FIELDS[name][1].also_off:
            given[name] = _Given(value, f"keyword {key}", key)
    return given


def _from_environment(env: Mapping[str, str], notes: list[str]) -> dict[str, _Given]:
    given = {}
    from_uvicorn = []
    for name in ("app", *FIELDS):
        variable = next((item for item in _variables(name) if _is_set(env, item)), None)
        if variable is None:
            continue
        if variable.startswith(UVICORN_PREFIX):
            from_uvicorn.append(variable)
        given[name] = _Given(_split(name, variable, env[variable]), variable, variable)
    if from_uvicorn:
        notes.append(f"options taken from {', '.join(from_uvicorn)}")
    _refuse_misspelt(env, notes)
    return given


def _is_set(env: Mapping[str, str], variable: str) -> bool:
    # Kubernetes sets ASGISERVER_PORT=tcp://10.0.0.1:80 by itself for a service called asgiserver.
    text = env.get(variable, "")
    return bool(text) and not (variable.endswith("_PORT") and text.startswith("tcp://"))


def _variables(name: str) -> list[str]:
    """The environment variables of one option, the strongest first."""
    if name == "app":
        return [f"{PREFIX}APP", f"{UVICORN_PREFIX}APP"]
    info = FIELDS[name][1]
    if not info.cli:
        return []
    own = [f"{PREFIX}{alias.upper()}" for alias, target in NAMES.items() if target == name]
    return [*own, f"{UVICORN_PREFIX}{name.upper()}", *info.env]


def _split(name: str, variable: str, text: str) -> Any:
    """One variable holds all values of an option that may be repeated."""
    if name == "app" or not FIELDS[name][1].repeat:
        return text
    if variable.startswith(UVICORN_PREFIX) and name in UVICORN_SEPARATORS:
        parts = text.split(UVICORN_SEPARATORS[name])
    elif FIELDS[name][1].kind == "headers":
        parts = split_headers(text)
    else:
        parts = text.split(",")
    return [part.strip() for part in parts if part.strip()]


def _refuse_misspelt(env: Mapping[str, str], notes: list[str]) -> None:
    """An unknown variable is an error when it looks like an option.

    Others are only named: Kubernetes sets ``ASGISERVER_SERVICE_HOST`` and more by itself for a
    service called asgiserver.
    """
    known = {*OTHER_VARIABLES, *(item for name in FIELDS for item in _variables(name))}
    unknown = sorted(name for name in env if name.startswith(PREFIX) and name not in known)
    for name in unknown:
        word = name.removeprefix(PREFIX).lower()
        close = closest(word, NAMES, cutoff=0.7)
        if close:
            raise ConfigError(f"{name}: unknown option; did you mean {PREFIX}{close.upper()}?")
    if unknown:
        notes.append(f"environment variables that are no options: {', '.join(unknown)}")


def _from_file(
    env: Mapping[str, str], cwd: str | os.PathLike[str] | None, config_file: str | None
) -> dict[str, _Given]:
    config_file = config_file or env.get(f"{PREFIX}CONFIG")
    if config_file:
        path = os.path.join(cwd or "", config_file)
        if not os.path.isfile(path):
            raise ConfigError(f"config: no file {config_file!r} in {cwd or os.getcwd()}")
        table = _read_table(path)
        if table is None:
            raise ConfigError(f"{config_file}: there is no [tool.asgiserver] in it")
        return _from_table(table, config_file)
    for name in FILES if cwd is not None else ():
        path = os.path.join(cwd or "", name)
        table = _read_table(path) if os.path.isfile(path) else None
        if table is not None:
            return _from_table(table, name)
    return {}


def _read_table(path: str) -> dict[str, Any] | None:
    """The options in a TOML file; a ``pyproject.toml`` has them in ``[tool.asgiserver]``."""
    file_name = os.path.basename(path)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file_name}: cannot be read: {error}") from None
    inside = file_name == "pyproject.toml"
    if inside and "asgiserver" not in text:
        return None
    import tomllib

    try:
        table: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file_name}: {error}") from None
    if inside or "tool" in table:
        table = table.get("tool", {}).get("asgiserver")
    return table if isinstance(table, dict) else None


def _from_table(table: Mapping[str, Any], file: str) -> dict[str, _Given]:
    given = {}
    for key, value in table.items():
        name = _field_name(key, f"{file}: ")
        if name != "app" and not FIELDS[name][1].cli:
            raise ConfigError(f"{file}: {key} can only be given as a keyword argument")
        given[name] = _Given(value, file, f"{file}: {key}")
    return given


def describe(resolved: Resolved) -> str:
    """Each value with its origin, one line each, as TOML."""
    lines = []
    for name, origin in resolved.origins.items():
        value = getattr(resolved.config, name)
        if name in FIELDS and FIELDS[name][1].secret and value is not None:
            value = "***"
        if name in FIELDS and not FIELDS[name][1].cli:
            continue
        assignment = f"# {name} =" if value is None else f"{name} = {_toml(value)}"
        lines.append(f"{assignment:<44} # {origin}")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if value == OFF:
        return '"off"'
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float | tuple | dict):
        value = repr(value)
    import json

    return json.dumps(value, ensure_ascii=False)


def format_default(name: str) -> str:
    """The default of an option, as a person would write it; empty when there is none."""
    info = FIELDS[name][1]
    value: Any = FIELDS[name][0].default
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    if value == OFF:
        return "off"
    if info.kind == "size" and value % 1024 == 0:
        unit, power = ("MiB", 2**20) if value % 2**20 == 0 else ("KiB", 2**10)
        return f"{value // power}{unit}"
    if info.kind == "seconds":
        return f"{value:g}s"
    return str(value)


def format_help(name: str) -> str:
    """The help text of an option, with its choices and what is special about it."""
    info = FIELDS[name][1]
    text = info.help
    if info.choices and info.kind != "bool":
        text += f" [{'|'.join(info.choices)}]"
    if info.no_effect:
        text += f" (no effect: {info.no_effect})"
    return text


def groups() -> Iterable[tuple[str, list[str]]]:
    """The groups of options, each with its field names, in the order of the fields."""
    found: dict[str, list[str]] = {}
    for name, (_, info) in FIELDS.items():
        found.setdefault(info.group, []).append(name)
    return found.items()


MARKDOWN_HEAD = """\
# Options

<!-- Made from asgiserver/config/fields.py by `python -m asgiserver.options`. Do not edit. -->

Every option can be given in five ways; the first that has it wins:

| Way | `--timeout-keep-alive` as the example |
|---|---|
| flag | `asgiserver main:app --timeout-keep-alive 30s` |
| keyword | `asgiserver.run("main:app", timeout_keep_alive=30)` |
| environment | `ASGISERVER_TIMEOUT_KEEP_ALIVE=30s`, else `UVICORN_TIMEOUT_KEEP_ALIVE=30`, else a variable named below |
| file | `timeout_keep_alive = "30s"` in `asgiserver.toml`, in `[tool.asgiserver]` of `pyproject.toml`, or in `--config FILE` |
| default | `75s` |

Durations are numbers of seconds or `500ms`, `30s`, `1m30s`, `off`. Sizes are numbers of bytes or `64KiB`, `16MiB`, `16M`
(powers of 1024), `off`. To give several values, repeat the flag, write a list in the file, or join them with commas in the
environment. What is on by default is switched off by `--no-…`. `asgiserver --print-config` shows each value and where it comes from.
"""


def markdown() -> str:
    """The reference of all options, for ``docs/options.md``."""
    lines = [MARKDOWN_HEAD]
    for group, names in groups():
        lines += [f"## {group}", "", "| Option | Default | Meaning |", "|---|---|---|"]
        for name in names:
            info = FIELDS[name][1]
            flags = ", ".join(f"`{flag}`" for flag in flag_names(name))
            option = flags if info.cli else f"`{name}=` (keyword only)"
            default = format_default(name)
            text = format_help(name).replace("|", "\\|")
            if info.env:
                text += f"; also `{'`, `'.join(info.env)}` in the environment"
            if info.repeat:
                text += "; may be repeated"
            lines.append(f"| {option} | {f'`{default}`' if default else ''} | {text} |")
        lines.append("")
    return "\n".join(lines)
