"""The command line as click reads it: help, versions, and errors about flags.

This module does not know how flags are used. `asgiserver.cli.main` calls it only for command
lines that are not plain, because a start that does not import click is a tenth shorter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from asgiserver import speedups
from asgiserver._version import __version__
from asgiserver.config.options import FIELDS, flag_names, format_default, format_help, groups
from asgiserver.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read", "version_line"]

METAVARS = {
    "int": "N",
    "workers": "N",
    "seconds": "SECONDS",
    "share": "PART",
    "size": "BYTES",
    "headers": "NAME:VALUE",
}
DEPENDENCIES = ("uvloop", "httptools", "h11")
EXAMPLES = (
    ("asgiserver main:app", "serve `app` of main.py on http://127.0.0.1:8000"),
    ("asgiserver main:app --reload", "for development: start again when a file changes"),
    ("asgiserver main:app -b 0.0.0.0:80 -w auto", "for production: a worker for each CPU"),
    ("asgiserver main:app --uds /run/app.sock", "behind nginx on the same machine"),
    ("asgiserver main:create_app --factory", "call a function to get the application"),
)
# The ones that most users need; the others are a page of their own.
FIRST_OPTIONS = (
    "host",
    "port",
    "bind",
    "workers",
    "reload",
    "ssl_certfile",
    "ssl_keyfile",
    "forwarded_allow_ips",
    "log_level",
    "access_log",
)


def read(args: Sequence[str]) -> dict[str, Any] | int:
    """The values in `args`, by parameter; the exit code after ``--help`` or ``--version``.

    Raises `ConfigError` for a wrong flag.
    """
    try:
        given = _command().main(list(args), prog_name="asgiserver", standalone_mode=False)
    except click.NoSuchOption as error:
        flags = [flag for name in FIELDS for flag in flag_names(name) if FIELDS[name].info.cli]
        close = closest(
            error.option_name,
            ["--config", "--print-config", "--version", "--help", "--help-all", *flags],
        )
        hint = f"; did you mean {close}?" if close else "; asgiserver --help-all lists all"
        raise ConfigError(f"there is no option {error.option_name}{hint}") from None
    except click.UsageError as error:
        text = error.format_message()
        if (extra := re.search(r"unexpected extra argument\S* \((.*)\)", text)) is not None:
            text = f"{extra[1]!r} is too much: give one application, and options that begin with -"
        raise ConfigError(text) from None
    except click.ClickException as error:
        raise ConfigError(error.format_message()) from None
    except click.Abort:
        raise KeyboardInterrupt from None
    assert isinstance(given, dict | int)
    return given


def version_line() -> str:
    """The line that `--version` prints."""
    import platform  # slow to import, and so is `metadata`; only --version needs them
    from importlib import metadata

    python = f"{platform.python_implementation()} {platform.python_version()}"
    parts = [f"compiled core {speedups.about}"]
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


def _print_help(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    formatter = context.make_formatter()
    context.command.format_usage(context, formatter)
    context.command.format_help_text(context, formatter)
    with formatter.section("Examples"):
        formatter.write_dl(EXAMPLES, col_max=46)
    records = {
        parameter.name: record
        for parameter in context.command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None
    }
    with formatter.section("The options that most people need"):
        formatter.write_dl([records[name] for name in FIRST_OPTIONS])
    with formatter.section("More"):
        formatter.write_dl([records[name] for name in (*OWN_OPTIONS, "help_all")])
    click.echo(formatter.getvalue().rstrip())
    context.exit()


def _print_all_help(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(context.get_help())
        context.exit()


OWN_OPTIONS = ("config", "print_config", "version")


class _GroupedCommand(click.Command):
    """Help in the groups of `Config`; the options of the command line itself come first."""

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
    """The click option of one field of `Config`; its value stays text, which `Config` converts."""
    info = FIELDS[name].info
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


def _eager(*flags: str, callback: Any, help: str) -> click.Option:
    """A flag that prints something and ends the command line."""
    return click.Option(
        flags, is_flag=True, is_eager=True, expose_value=False, callback=callback, help=help
    )


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
            help="Print each option, its value and where the value comes from; then exit",
        ),
        _eager(
            "--version",
            callback=_print_version,
            help="Print the versions of the server and what it runs on; then exit",
        ),
        _eager("--help", "-h", callback=_print_help, help="Show the options that most people need"),
        _eager("--help-all", callback=_print_all_help, help="Show all options"),
    ]
    options = [_option(name) for name, (_, info) in FIELDS.items() if info.cli]
    return _GroupedCommand(
        "asgiserver",
        params=[*own, *options],
        callback=lambda **given: given,
        add_help_option=False,
        help="Serve the ASGI application APP, written module:attribute.",
        epilog="Each option is also a variable (ASGISERVER_PORT) and a key in the file (port)."
        ' asgiserver migrate "uvicorn ..." translates the command line of another server,'
        " asgiserver dump PID tells what a running server is doing, asgiserver exec -- COMMAND runs"
        " a command that brings uvicorn on this server.",
    )
