"""Files of options: the table in a TOML file, and the variables in an ``--env-file``.

This module knows no option; it knows the one environment variable that names a file.
"""

from __future__ import annotations

import os
from typing import Any

from asgiserver.config.values import shown
from asgiserver.errors import ConfigError

__all__ = ["CONFIG_VARIABLE", "FILES", "current_directory", "read_env_file", "read_table"]

CONFIG_VARIABLE = "ASGISERVER_CONFIG"
FILES = ("asgiserver.toml", "pyproject.toml")


def current_directory(config_file: str | None = None) -> str | None:
    """The directory whose files are read; None when an absolute `config_file` replaces them.

    Raises `ConfigError` when the directory was deleted: without its files, options would fall
    back to their defaults unnoticed.
    """
    if os.path.isabs(config_file or os.environ.get(CONFIG_VARIABLE, "")):
        return None
    try:
        return os.getcwd()
    except OSError as error:
        hint = "change to another one, or give --config /path/to/file.toml"
        raise ConfigError(f"the current directory is gone ({error.strerror}); {hint}") from None


def read_table(path: str) -> dict[str, Any] | None:
    """The options in a TOML file; a ``pyproject.toml`` has them in ``[tool.asgiserver]``.

    None when that table is missing. Raises `ConfigError` when the file cannot be read, is not
    TOML, or has something other than a table there.
    """
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
        repr(table)  # raises for values that no error could show: nested too deep, or too long
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file_name}: {error}") from None
    if not inside and "tool" not in table:
        return table  # type: ignore[no-any-return]
    for key in ("tool", "asgiserver"):
        table = table.get(key)
        if table is None:
            return None
        if not isinstance(table, dict):
            name = "tool" if key == "tool" else "tool.asgiserver"
            raise ConfigError(f"{file_name}: {name} must be a table, not {shown(table)}")
    return table  # type: ignore[no-any-return]


def read_env_file(path: str) -> dict[str, str]:
    """The variables in a file of ``NAME=value`` lines.

    Raises `ConfigError` when the file or python-dotenv is missing, when the file is not UTF-8, and
    when it holds a variable that the environment cannot hold.
    """
    try:
        from dotenv import main as dotenv
    except ImportError:
        hint = 'pip install "asgiserver-py[dotenv]"'
        raise ConfigError(f"env_file: it needs python-dotenv; {hint}") from None
    try:
        if not os.path.isfile(path):
            raise ConfigError(f"env_file: no file {path!r} in {os.getcwd()}")
        found = dotenv.DotEnv(path, encoding="utf-8", override=False).dict()
    except OSError as error:
        raise ConfigError(f"env_file: {path!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"env_file: {path!r} is not UTF-8: {error}") from None
    variables = {name: value for name, value in found.items() if value is not None}
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise ConfigError(
                f"env_file: {path!r} sets what no environment can hold, the variable {name!r}"
            )
    return variables
