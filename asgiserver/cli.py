"""The command line: flags derived from `Config`, errors as one line, exit codes.

It knows nothing of sockets and loops: it resolves the options and hands them to the runner.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from asgiserver._version import __version__
from asgiserver.errors import ApplicationLoadError, ConfigError, StartupError
from asgiserver.options import (
    FIELDS,
    describe,
    flag_names,
    format_default,
    format_help,
    groups,
    resolve,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asgiserver.options import Resolved

__all__ = ["main"]

METAVARS = {
    "int": "N",
    "workers": "N",
    "seconds": "SECONDS",
    "size": "BYTES",
    "headers": "NAME:VALUE",
}
DEPENDENCIES = ("uvloop", "httptools", "h11")
PACKAGE = os.path.dirname(__file__)


def run_config(resolved: Resolved, reread: Callable[[], Resolved]) -> int:
    """Serve until stopped; the exit code. Raises `StartupError`."""
    from asgiserver.process.runner import run

    return run(resolved.config, resolved.notes, lambda: reread().config)


def main(
    args: Sequence[str] | None = None,
    *,
    run: Callable[[Resolved, Callable[[], Resolved]], int] = run_config,
) -> int:
    """Run the command line `args` (default: those of the process); the exit code.

    0 is a clean stop, 2 a wrong option, 3 an application that does not load or start, 4 an
    address that cannot be listened on.
    """
    args = list(sys.argv[1:] if args is None else args)
    if args[:1] == ["migrate"]:
        from asgiserver import migrate

        return migrate.main(args[1:])
    if args[:1] == ["run"]:
        args = args[1:]
    try:
        given = _command().main(args, prog_name="asgiserver", standalone_mode=False)
        if isinstance(given, int):  # --help and --version have said what there is to say
            return given
        return _start(given, run)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except StartupError as error:
        if isinstance(error, ApplicationLoadError) and error.__cause__ is not None:
            click.echo(application_traceback(error.__cause__), err=True, nl=False)
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return 130  # 128 + SIGINT, as shells have it


def _start(given: dict[str, Any], run: Callable[[Resolved, Callable[[], Resolved]], int]) -> int:
    config_file, print_config = given.pop("config"), given.pop("print_config")
    flags = {name: value for name, value in given.items() if value is not None and value != ()}

    def read() -> Resolved:
        return resolve(flags=flags, env=os.environ, cwd=os.getcwd(), config_file=config_file)

    resolved = read()
    if print_config:
        click.echo(describe(resolved))
        return 0
    if resolved.config.app is None:
        raise ConfigError("APP is missing: write asgiserver module:attribute, such as main:app")
    return run(resolved, read)


def _fail(text: str, exit_code: int) -> int:
    click.echo(f"asgiserver: error: {' '.join(text.split())}", err=True)
    return exit_code


def application_traceback(error: BaseException) -> str:
    """The traceback of `error`, from the first line of code that is not the server's."""
    trace = error.__traceback__
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _is_machinery(filename: str) -> bool:
    return filename.startswith(
        (PACKAGE + os.sep, "<frozen ", os.path.dirname(os.__file__) + "/importlib")
    )


def version_line() -> str:
    """What `--version` prints."""
    import platform  # these two cost more than all else here, and nothing else needs them
    from importlib import metadata

    python = f"{platform.python_implementation()} {platform.python_version()}"
    parts = []
    for name in DEPENDENCIES:
        try:
            parts.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            parts.append(f"no {name}")
    return f"asgiserver {__version__} ({python}, {platform.system()}; {', '.join(parts)})"


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(version_line())
        context.exit()


class _GroupedCommand(click.Command):
    """Help in the groups of `Config`, with the few options of the command line itself first."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {
            parameter.name: record
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option)
            and (record := parameter.get_help_record(ctx)) is not None
        }
        named = [(group, [name for name in names if name in records]) for group, names in groups()]
        own = [name for name in records if name not in FIELDS]
        for group, names in [("Options", own), *named]:
            if names:
                with formatter.section(group):
                    formatter.write_dl([records[name] for name in names])


def _option(name: str) -> click.Option:
    """The click option of one field of `Config`; values stay text, to be converted in one place."""
    info = FIELDS[name][1]
    flags = list(flag_names(name))
    text = format_help(name)
    default = format_default(name)
    settings: dict[str, Any] = {"default": None}
    if info.kind == "bool" and not info.choices:
        flags = [f"{flags[0]}/--no-{flags[0].removeprefix('--')}"]
        default = {"true": "on", "false": ""}.get(default, default)
    else:
        settings["metavar"] = METAVARS.get(info.kind, "TEXT")
        settings["type"] = str
        if info.choices:
            settings["metavar"] = "NAME" if info.kind != "bool" else "[true|false]"
    if info.repeat:
        settings |= {"multiple": True, "default": ()}
        text += " (repeatable)"
    if default:
        text += f" (default: {default})"
    return click.Option([*flags, name], help=text, **settings)


def _command() -> click.Command:
    own = [
        click.Argument(["app"], required=False, metavar="APP"),
        click.Option(
            ["--config", "-c", "config"],
            metavar="FILE",
            help="TOML file of options (default: asgiserver.toml, or pyproject.toml)",
        ),
        click.Option(
            ["--print-config"],
            is_flag=True,
            help="Print each option, its value and where that comes from; then exit",
        ),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the versions of the server and what it runs on; then exit",
        ),
    ]
    options = [_option(name) for name, (_, info) in FIELDS.items() if info.cli]
    return _GroupedCommand(
        "asgiserver",
        params=[*own, *options],
        callback=lambda **given: given,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Serve the ASGI application APP, written module:attribute.",
        epilog="Each option is a variable (ASGISERVER_PORT) and a key in the file (port), too."
        ' asgiserver migrate "uvicorn ..." translates the command line of another server.',
    )
