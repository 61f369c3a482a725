"""Where options come from: flags, keyword arguments, the environment and TOML files.

Everything is derived from the fields of `Config`. The only options that this module knows by name
are those that uvicorn reads from the environment in a manner of its own.
"""

# ruff: noqa: E501  (Markdown tables)
from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from asgiserver.config.fields import OFF, Config, convert
from asgiserver.config.files import (
    CONFIG_VARIABLE,
    FILES,
    current_directory,
    read_env_file,
    read_table,
)
from asgiserver.config.registry import FIELDS, flag_names
from asgiserver.config.values import shown, split_headers
from asgiserver.errors import ConfigError, closest, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FIELDS", "Resolved", "describe", "flag_names", "markdown", "resolve"]

PREFIX = "ASGISERVER_"
UVICORN_PREFIX = "UVICORN_"

# Variables that begin with the prefix although they are not options.
OTHER_VARIABLES = (f"{PREFIX}APP", CONFIG_VARIABLE, f"{PREFIX}WORKER_INDEX", f"{PREFIX}SPEEDUPS")

# Kubernetes and container links set such variables by themselves, for a service of any name.
SERVICE_VARIABLE = (
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
SERVICE_ADDRESS = r"(tcp|udp|sctp)://.*"  # the value of such a NAME_PORT

# The separator of several values in one UVICORN_ variable; None stands for spaces.
UVICORN_SEPARATORS = {
    "reload_dirs": os.pathsep,
    "reload_includes": None,
    "reload_excludes": None,
    "headers": None,
}


class Resolved(NamedTuple):
    """A configuration, and where each of its values comes from.

    An origin is one of ``argument APP``, ``flag --port``, ``keyword port``, ``ASGISERVER_PORT``,
    ``ASGISERVER_PORT in .env``, the name of a file, or ``default``.
    """

    config: Config
    origins: dict[str, str]

    @property
    def notes(self) -> list[str]:
        """The lines about these options that the server logs once."""
        return [as_typed(note, self.origins) for note in self.config.notes]


class _Given(NamedTuple):
    value: Any
    origin: str
    label: str  # how an error names the option


class _Environment(NamedTuple):
    """Environment variables, and what there is to say about them."""

    variables: Mapping[str, str]
    files: Mapping[str, str]  # variable -> the ``--env-file`` that sets it
    notes: list[str]
    remarks: list[str]

    def name(self, variable: str) -> str:
        file = self.files.get(variable)
        return f"{variable} in {file}" if file else variable


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

    `flags` and `keywords` are by field name. `env` is the environment, to which the variables of
    each ``--env-file`` are added. `cwd` is the directory whose ``asgiserver.toml`` or
    ``pyproject.toml`` is read (None: neither is read); `config_file` replaces both. Raises
    `ConfigError` for a key that does not exist or a value that does not fit.
    """

    def gather(environment: _Environment) -> dict[str, _Given]:
        return {
            **_from_file(environment.variables, cwd, config_file),
            **_from_environment(environment),
            **_from_keywords(app, keywords or {}),
            **_from_flags(flags or {}),
        }

    environment = _Environment(env or {}, {}, [], [])
    given = gather(environment)
    if env is not None and "env_file" in given:
        environment = _with_env_files(env, given["env_file"])
        given = gather(environment)
    for name, item in given.items():
        if name in FIELDS:
            _check(name, item)
    values = {name: item.value for name, item in given.items()}
    notes, remarks = tuple(environment.notes), tuple(environment.remarks)
    origins = {name: item.origin for name, item in given.items()}
    sources = tuple(dict.fromkeys(map(_source, origins.values())))
    known: Any = {"notes": notes, "remarks": remarks, "sources": sources}
    known["origins"] = tuple(origins.items())
    try:
        config = Config(**values, **known)
    except ConfigError as error:
        raise ConfigError(as_typed(str(error), origins)) from None
    return Resolved(config, dict.fromkeys(("app", *FIELDS), "default") | origins)


def as_typed(text: str, origins: Mapping[str, str]) -> str:
    """`text` with the options that it names as the user has written them."""
    from asgiserver.config import wording  # few starts have anything to say

    return wording.as_typed(text, origins)


def _source(origin: str) -> str:
    """The place of an origin: all flags are of one, and so are all keywords."""
    kind = origin.partition(" ")[0]
    return {"argument": "arguments", "flag": "arguments", "keyword": "arguments"}.get(kind, origin)


def resolve_keywords(app: Any, keywords: Mapping[str, Any], *, env: bool) -> Resolved:
    """Resolve the options for a program that calls the server.

    Without `env` the keywords alone count; else the environment and files are read too.
    """
    if not env:
        return resolve(app, keywords=keywords)
    return resolve(app, keywords=keywords, env=os.environ, cwd=current_directory())


def _with_env_files(env: Mapping[str, str], given: _Given) -> _Environment:
    """The environment with the variables of the ``--env-file``s. Raises `ConfigError`."""
    _check("env_file", given)
    variables, files = dict(env), {}
    for path in convert(FIELDS["env_file"].field, given.value):
        try:
            found = read_env_file(path)
        except ConfigError as error:
            raise ConfigError(as_typed(str(error), {"env_file": given.origin})) from None
        for name, value in found.items():
            if name not in variables and name not in _variables("env_file"):
                variables[name] = value
                files[name] = path
    return _Environment(variables, files, [], [])


def _check(name: str, item: _Given) -> None:
    try:
        convert(FIELDS[name].field, item.value)
    except ValueError as error:
        raise ConfigError(f"{item.label}: {error}") from None


def _aliases() -> dict[str, str]:
    """Map every way to write an option, the field's name or the flag's, to the field's name."""
    names = {"app": "app"}
    for name in FIELDS:
        names[name] = name
        names[flag_names(name)[0].removeprefix("--").replace("-", "_")] = name
    return names


NAMES = _aliases()


def _field_name(key: str, label: str) -> str:
    name = NAMES.get(key.replace("-", "_"))
    if name is None:
        hint = did_you_mean(key.replace("-", "_"), NAMES)
        raise ConfigError(f"{label}unknown option {shown(key)}{hint}")
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
        if value is not None or (name in FIELDS and None in FIELDS[name].info.also_off):
            given[name] = _Given(value, f"keyword {key}", key)
    return given


def _from_environment(environment: _Environment) -> dict[str, _Given]:
    given = {}
    from_uvicorn = []
    variables = environment.variables
    for name in ("app", *FIELDS):
        names = [item for item in _variables(name) if variables.get(item)]
        variable = next((item for item in names if not _is_foreign(item, variables)), None)
        if variable is None:
            continue
        if variable.startswith(UVICORN_PREFIX):
            from_uvicorn.append(environment.name(variable))
        value, origin = _split(name, variable, variables[variable]), environment.name(variable)
        given[name] = _Given(value, origin, origin)
    if from_uvicorn:
        environment.notes.append(f"options taken from {', '.join(from_uvicorn)}")
    _sort_out_unknown(environment)
    return given


def _is_foreign(variable: str, variables: Mapping[str, str]) -> bool:
    """Whether Kubernetes set `variable`, as ASGISERVER_PORT for a service named asgiserver."""
    if re.fullmatch(SERVICE_VARIABLE, variable):
        return True
    # In any other option, such as ASGISERVER_BIND, the address is a mistake of the user's.
    may_be = variable.endswith("PORT") or not variable.startswith((PREFIX, UVICORN_PREFIX))
    return may_be and re.fullmatch(SERVICE_ADDRESS, variables[variable], re.DOTALL) is not None


def _variables(name: str) -> list[str]:
    """The environment variables of one option, the strongest first."""
    if name == "app":
        return [f"{PREFIX}APP", f"{UVICORN_PREFIX}APP"]
    info = FIELDS[name].info
    if not info.cli:
        return []
    own = [f"{PREFIX}{alias.upper()}" for alias, target in NAMES.items() if target == name]
    return [*own, f"{UVICORN_PREFIX}{name.upper()}", *info.env]


def _split(name: str, variable: str, text: str) -> Any:
    """The value in a variable; for an option that may be repeated, all of its values."""
    if name == "app" or not FIELDS[name].info.repeat:
        return text
    if variable.startswith(UVICORN_PREFIX) and name in UVICORN_SEPARATORS:
        parts = text.split(UVICORN_SEPARATORS[name])
    elif FIELDS[name].info.kind == "headers":
        parts = split_headers(text)
    else:
        parts = text.split(",")
    return [part.strip() for part in parts if part.strip()]


def _sort_out_unknown(environment: _Environment) -> None:
    """Refuse each unknown variable that looks like an option, and note the others.

    Raises `ConfigError` with the option that was probably meant.
    """
    options = {item for name in ("app", *FIELDS) for item in _variables(name)}
    foreign, unknown = [], []
    for name in sorted(environment.variables):
        if name in options or name.startswith(PREFIX):
            if environment.variables[name] and _is_foreign(name, environment.variables):
                foreign.append(name)
            elif name not in options and name not in OTHER_VARIABLES:
                unknown.append(name)
    for name in unknown:
        close = closest(name.removeprefix(PREFIX).lower(), NAMES, cutoff=0.7)
        if close:
            hint = f"did you mean {PREFIX}{close.upper()}?"
            raise ConfigError(f"{environment.name(name)}: unknown option; {hint}")
    if unknown:
        names = ", ".join(map(environment.name, unknown))
        environment.notes.append(f"these environment variables are not options: {names}")
    if foreign:
        text = f"environment variables of services, not options: {', '.join(foreign)}"
        environment.remarks.append(text)


def _from_file(
    env: Mapping[str, str], cwd: str | os.PathLike[str] | None, config_file: str | None
) -> dict[str, _Given]:
    label = "--config" if config_file else CONFIG_VARIABLE
    config_file = config_file or env.get(CONFIG_VARIABLE)
    if config_file:
        path = os.path.join(cwd or "", config_file)
        if not os.path.isfile(path):
            where = f" in {os.fspath(cwd)}" if cwd else ""
            raise ConfigError(f"{label}: no file {config_file!r}{where}")
        table = read_table(path)
        if table is None:
            raise ConfigError(f"{config_file}: the file has no [tool.asgiserver] table")
        return _from_table(table, config_file)
    for name in FILES if cwd is not None else ():
        path = os.path.join(cwd or "", name)
        table = read_table(path) if os.path.isfile(path) else None
        if table is not None:
            return _from_table(table, name)
    return {}


def _from_table(table: Mapping[str, Any], file: str) -> dict[str, _Given]:
    given = {}
    for key, value in table.items():
        name = _field_name(key, f"{file}: ")
        if name != "app" and not FIELDS[name].info.cli:
            raise ConfigError(f"{file}: {key} can only be given as a keyword argument")
        if name == "app" and not isinstance(value, str):
            raise ConfigError(f"{file}: app: expected 'module:attribute', not {shown(value)}")
        given[name] = _Given(value, file, f"{file}: {key}")
    return given


def describe(resolved: Resolved) -> str:
    """Each value with its origin, one line each, as TOML."""
    lines = []
    for name, origin in resolved.origins.items():
        value = getattr(resolved.config, name)
        if name in FIELDS and FIELDS[name].info.secret and value is not None:
            value = "***"
        if name in FIELDS and not FIELDS[name].info.cli:
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

    return json.dumps(value, ensure_ascii=False, default=str)  # `str`: a dict may hold TOML's dates


def format_default(name: str) -> str:
    """The default of an option as a person would write it; empty when the option has none."""
    info = FIELDS[name].info
    value: Any = FIELDS[name].field.default
    if value is None or value in ("", ()) or info.no_effect:
        return ""
    if info.kind == "cert_reqs":
        return "none"
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
    """The help text of an option, with its choices and a remark when the option does nothing."""
    info = FIELDS[name].info
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

Every option can be given in five ways. When it is given in several of them, the first of this list
wins:

| Way | `--timeout-keep-alive` as the example |
|---|---|
| flag | `asgiserver main:app --timeout-keep-alive 30s` |
| keyword | `asgiserver.run("main:app", timeout_keep_alive=30)` |
| environment | `ASGISERVER_TIMEOUT_KEEP_ALIVE=30s`, else `UVICORN_TIMEOUT_KEEP_ALIVE=30`, else a variable named below |
| file | `timeout_keep_alive = "30s"` in `asgiserver.toml`, in `[tool.asgiserver]` of `pyproject.toml`, or in `--config FILE` |
| default | `75s` |

Durations are written as a number of seconds or as `500ms`, `30s`, `1m30s`. Sizes are written as a
number of bytes or as `64KiB`, `16MiB`, `16M` (powers of 1024). `off` means without a limit. To give
several values, repeat the flag, write a list in the file, or join them with commas in the
environment. `--no-…` switches an option off that is on by default. `asgiserver --print-config` shows
the value of each option and where it came from.

The variables in an `--env-file` count as environment, those that set options (`PORT`,
`WEB_CONCURRENCY`, `ASGISERVER_PORT`) too. A variable that is set already keeps its value; when several
files set the same variable, the first file wins. A variable `ASGISERVER_…` that looks like an option
but is none is refused. The variables that Kubernetes sets for services, such as
`ASGISERVER_DB_PORT=tcp://10.0.0.1:80`, are not taken for options; they are named once at level debug.
"""


def markdown() -> str:
    """The reference of all options, for ``docs/options.md``."""
    lines = [MARKDOWN_HEAD]
    for group, names in groups():
        lines += [f"## {group}", "", "| Option | Default | Meaning |", "|---|---|---|"]
        for name in names:
            info = FIELDS[name].info
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
