"""The command line: flags derived from `Config`, errors as one line, exit codes.

This module knows nothing of sockets and loops: it resolves the options and hands them to the
runner. It leaves help, and every command line that is not plain, to click.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

from asgiserver import speedups
from asgiserver.config.files import current_directory
from asgiserver.config.options import FIELDS, describe, flag_names, resolve
from asgiserver.errors import ConfigError, StartupError
from asgiserver.log.outlet import end_streams
from asgiserver.server.importing import refuse_nested_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asgiserver.config.options import Resolved

__all__ = ["main"]


def run_config(resolved: Resolved, reread: Callable[[], Resolved]) -> int:
    """Serve until stopped, and return the exit code. Raises `StartupError`."""
    from asgiserver.process.runner import run

    try:
        return run(resolved.config, resolved.notes, lambda: reread().config)
    finally:
        end_streams()


def main(
    args: Sequence[str] | None = None,
    *,
    run: Callable[[Resolved, Callable[[], Resolved]], int] = run_config,
) -> int:
    """Run the command line `args` (default: those of the process), and return the exit code.

    0 is a clean stop, 2 a wrong option, 3 an application that does not load or start, 4 an
    address that cannot be listened on, 128 + N a start-up that signal N broke off. Raises
    `NestedServerError` when a server imports the caller.
    """
    from asgiserver.server.standard_streams import open_missing

    open_missing()
    refuse_nested_server()
    args = list(sys.argv[1:] if args is None else args)
    if args[:1] == ["migrate"]:
        from asgiserver.cli import migrate

        _escape_output()
        return migrate.main(args[1:])
    if args[:1] == ["dump"]:
        from asgiserver.cli import dump

        _escape_output()
        return dump.main(args[1:])
    if args[:1] == ["run"] or (args[:1] == ["serve"] and args[1:] and args[1][:1] != "-"):
        args = args[1:]
    elif args == ["help"]:
        args = ["--help"]
    given: dict[str, Any] | int | None = None
    try:
        if args[:1] == ["exec"]:
            from asgiserver.cli import exec as exec_command

            return exec_command.main(args[1:])
        if args[:1] == ["top"]:
            from asgiserver.cli import top

            return top.main(args[1:])
        given = read_plain(args)
        if given is None:
            from asgiserver.cli import command

            given = command.read(args)
        if isinstance(given, int):  # --help and --version have printed their text
            return given
        return _start(given, run)
    except StartupError as error:
        from asgiserver.cli import failure

        return failure.tell(error, given if isinstance(given, dict) else {})
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells have it


def read_plain(args: Sequence[str]) -> dict[str, Any] | None:
    """The values on a plain command line, by parameter; None when the command line is not plain.

    A plain one holds an application, known flags, and values that do not look like flags.
    """
    if "_ASGISERVER_COMPLETE" in os.environ:  # a shell asks for completions
        return None
    takes_value, switches = _plain_flags()
    given: dict[str, Any] = {}
    words = iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            if not word or "app" in given:
                return None
            given["app"] = word
        elif word in switches:
            parameter, on = switches[word]
            given[parameter] = on
        elif name in takes_value and (name.startswith("--") or not equals):
            if not equals:
                value = next(words, "-")
                if value.startswith("-"):
                    return None
            parameter = takes_value[name]
            repeated = parameter in FIELDS and FIELDS[parameter].info.repeat
            given[parameter] = (*given.get(parameter, ()), value) if repeated else value
        else:
            return None
    return given


def _plain_flags() -> tuple[dict[str, str], dict[str, tuple[str, bool]]]:
    """Two tables by flag: the parameter of a flag that takes a value, and what a switch sets."""
    takes_value = {"--config": "config", "-c": "config"}
    switches = {"--print-config": ("print_config", True)}
    for name, (_, info) in FIELDS.items():
        if info.cli and info.kind == "bool" and not info.choices:
            flag = flag_names(name)[0]
            switches[flag] = name, True
            switches[f"--no-{flag.removeprefix('--')}"] = name, False
        elif info.cli:
            takes_value |= dict.fromkeys(flag_names(name), name)
    return takes_value, switches


def _start(given: dict[str, Any], run: Callable[[Resolved, Callable[[], Resolved]], int]) -> int:
    config_file, print_config = given.pop("config", None), given.pop("print_config", False)
    flags = {name: value for name, value in given.items() if value is not None and value != ()}

    def read() -> Resolved:
        cwd = current_directory(config_file)
        return resolve(flags=flags, env=os.environ, cwd=cwd, config_file=config_file)

    resolved = read()
    given |= {"log_format": resolved.config.log_format, "log_level": resolved.config.log_level}
    if print_config:
        _escape_output()
        core = f"# compiled core: {speedups.about}"
        sys.stdout.write(f"{core:<44} # --http auto\n{describe(resolved)}\n")
        return 0
    if resolved.config.app is None:
        raise ConfigError("APP is missing: write asgiserver module:attribute, such as main:app")
    return run(resolved, read)


def _escape_output() -> None:
    """Let standard output escape what its encoding lacks, because arguments may be any bytes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
