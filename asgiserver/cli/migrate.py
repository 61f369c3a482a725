"""``asgiserver migrate "uvicorn app:app ..."`` translates another server's command line.

This module reads and writes command lines by the tables of `asgiserver.cli.migrate_tables`; it
starts nothing, runs no shell and imports no application.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from typing import TYPE_CHECKING

import click

from asgiserver.cli.migrate_tables import SERVERS, Flag, Peer
from asgiserver.config.options import flag_names, format_default
from asgiserver.errors import closest
from asgiserver.server.loading import module_of_path

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Migration", "main", "migrate"]

USAGE = 'write asgiserver migrate "uvicorn main:app --workers 4"'
SHELL = re.compile(r"[|&;<>()]+|\d?>.*")  # an operator of the shell
ASSIGNMENT = re.compile(r"\w+=.*", re.DOTALL)
PLAIN = re.compile(r"[\w@%+=:,./${}*-]*", re.ASCII)  # harmless between double quotes

ASGI_WORKERS = {
    "asgi": "",
    "gunicorn.workers.gasgi.ASGIWorker": "",
    "uvicorn.workers.UvicornWorker": "",
    "uvicorn_worker.UvicornWorker": "",
    "uvicorn.workers.UvicornH11Worker": "--loop asyncio --http h11",
    "uvicorn_worker.UvicornH11Worker": "--loop asyncio --http h11",
    "asgiserver.gunicorn.Worker": "",
}
THREADED = "runs requests in threads; give --wsgi-threads 1 unless the application is thread-safe"
WSGI_EXTRA = 'WSGI applications need the extra: pip install "asgiserver-py[wsgi]"'


class Unusable(Exception):
    """The text is not the command line of a known server."""


@dataclasses.dataclass
class Migration:
    """A command line of this server, and notes about it, one line each."""

    server: str
    peer: Peer
    before: list[str]  # the words before the server's name: assignments, "python -m"
    app: str = ""
    arguments: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    given: dict[str, list[str]] = dataclasses.field(
        default_factory=dict
    )  # values by a flag's first name

    def command(self) -> str:
        """The command line."""
        return " ".join(map(quote, [*self.before, "asgiserver", self.app, *self.arguments]))

    def add(self, text: str) -> None:
        """Add arguments, separated by spaces."""
        self.arguments += text.split()

    def text(self) -> str:
        """The command, then the notes and differences as a shell's comments."""
        notes = list(dict.fromkeys(self.notes))
        notes += differing_defaults(self.peer, self.arguments, self.server)
        notes += self.peer.differs
        return "\n".join([self.command(), *(f"# {note}" for note in notes)])


def main(args: Sequence[str]) -> int:
    """Print the translation of the command line in `args` (one text, or its words).

    Returns the exit code; 2 means that `args` is not the command line of a known server.
    """
    if not args or args[0] in ("-h", "--help"):
        known = ", ".join(SERVERS)
        known = f"Known servers: {', '.join(SERVERS)}."
        click.echo(f"Usage: {USAGE}\n\nPrints the same command line for asgiserver. {known}")
        return 0 if args else 2
    try:
        click.echo(migrate(args).text())
    except Unusable as error:
        click.echo(f"asgiserver: error: {error}", err=True)
        return 2
    return 0


def migrate(args: Sequence[str]) -> Migration:
    """Read a command line, as one text or as words. Raises `Unusable`."""
    try:
        words = shlex.split(args[0]) if len(args) == 1 else list(args)
    except ValueError as error:
        raise Unusable(f"the command line cannot be split into words ({error}); {USAGE}") from None
    for word in words:
        if SHELL.fullmatch(word):
            raise Unusable(f"{word!r} is a shell operator; give one command without operators")
    found = find_server(words)
    words = words[len(found.before) + 1 :]
    verb = words.pop(0) if found.server == "fastapi" and words else ""
    read_words(found, words)
    finish_fastapi(found, verb)
    finish_gunicorn(found)
    finish_granian(found)
    finish_app(found)
    note_variables(found)
    return found


def find_server(words: list[str]) -> Migration:
    """The server that is named first. Raises `Unusable`."""
    for position, word in enumerate(words):
        name = word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe")
        if name in SERVERS:
            return Migration(name, SERVERS[name], words[:position])
        if ASSIGNMENT.fullmatch(word) is None and ":" in word:
            break
    known = ", ".join(SERVERS)
    raise Unusable(f"the command line names no known server ({known}); {USAGE}")


def quote(word: str) -> str:
    """`word` quoted for a shell, which still replaces variables in it such as $PORT."""
    if word.startswith("-") and "=" not in word:
        return word
    name, equals, rest = word.partition("=")
    if equals and ASSIGNMENT.fullmatch(word):
        return f"{name}={quote(rest)}" if rest else word
    return f'"{word}"' if "$" in word and PLAIN.fullmatch(word) else shlex.quote(word)


# Reading --------------------------------------------------------------------------------------


def read_words(found: Migration, words: list[str]) -> None:
    """Sort the words into options and the application. Raises `Unusable`."""
    left = list(reversed(words))
    while left:
        word = left.pop()
        if word == "--":
            continue
        if not word.startswith("-") or word == "-":
            if found.app:
                raise Unusable(f"{found.app!r} and {word!r} both look like the application")
            found.app = word
            continue
        name, value = split_option(found.peer, word)
        flag = find_flag(found.peer, name)
        if flag is None:
            skip_unknown(found, name, value, left)
            continue
        if value is None and flag.takes:
            value = take_value(flag, left)
            if value is None:
                raise Unusable(f"{name} needs a value")
        read_flag(found, flag, name, value or "")


def split_option(peer: Peer, word: str) -> tuple[str, str | None]:
    """The name and the value of ``--name=value``, ``--name``, ``-nvalue`` or ``-n``."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    flag = find_flag(peer, word[:2])
    if flag is not None and flag.takes and len(word) > 2:
        return word[:2], word[2:].removeprefix("=")
    return word, None


def find_flag(peer: Peer, name: str) -> Flag | None:
    """The option called `name`, which may be abbreviated where the server allows it."""
    matches = [flag for flag in peer.flags if name in flag.names]
    if not matches and peer.abbreviates and name.startswith("--"):
        matches = [f for f in peer.flags if any(n.startswith(name) for n in f.names)]
    return matches[0] if len(matches) == 1 else None


def take_value(flag: Flag, left: list[str]) -> str | None:
    """The value of `flag`: the next word, or the value that stands for none; None at the end."""
    if flag.optional is not None and (not left or left[-1].startswith("-") or ":" in left[-1]):
        return flag.optional
    return left.pop() if left else None


def skip_unknown(found: Migration, name: str, value: str | None, left: list[str]) -> None:
    names = [known for flag in found.peer.flags for known in flag.names]
    close = closest(name, names)
    hint = f"; did you mean {close}?" if close else ""
    # The next word is taken for the option's value unless it looks like a flag or an application.
    if value is None and left and not left[-1].startswith("-") and ":" not in left[-1]:
        left.pop()
    found.notes.append(f"{name}: {found.server} has no such option; it is left out{hint}")


def read_flag(found: Migration, flag: Flag, name: str, value: str) -> None:
    found.given.setdefault(flag.names[0], []).append(value)
    if flag.names == ("-e", "--env"):
        found.before.insert(0, value)
        return
    converted: str | None = value
    if flag.convert is not None and "$" not in value:
        converted = flag.convert(value)
        if converted is None:
            return
    if flag.note:
        found.notes.append(f"{name} {flag.note}")
    option = flag.to.split()
    found.arguments += [part.replace("{}", converted or "") for part in option]


# Rules for single servers ---------------------------------------------------------------------


def finish_gunicorn(found: Migration) -> None:
    """Translate gunicorn's worker class, which tells the application's interface."""
    if found.server != "gunicorn":
        return
    worker = found.given.get("-k", ["sync"])[-1]
    threads = found.given.get("--threads", ["1"])[-1]
    if worker in ASGI_WORKERS:
        found.add(ASGI_WORKERS[worker])
        return
    name = worker.rpartition(".")[2].lower()
    if worker not in ("sync", "gthread") and not name.startswith(("gevent", "eventlet")):
        found.notes.append(
            f"-k {worker} is unknown: give the application's interface with --interface"
        )
        return
    found.add("--interface wsgi")
    if name.startswith(("gevent", "eventlet")):
        found.notes.append(f"-k {worker}: there are no green threads; the server {THREADED}")
    else:
        found.add(f"--wsgi-threads {threads}")
        if threads == "1":
            found.notes.append("--wsgi-threads 1 runs one request at a time per worker, as before")
    found.notes.append(WSGI_EXTRA)


def finish_fastapi(found: Migration, verb: str) -> None:
    """Translate ``fastapi run`` and ``fastapi dev``, which name a file and have other defaults."""
    if found.server != "fastapi":
        return
    if verb not in ("run", "dev"):
        raise Unusable("of fastapi's commands only run and dev serve")
    if verb == "run" and "--host" not in found.given:
        found.add("--host 0.0.0.0")
    if verb == "dev" and not found.given.keys() & {"--reload", "--no-reload"}:
        found.add("--reload")
    entry = found.given.get("-e", [""])[-1]
    if not found.app:
        found.app = entry or "main"
        if not entry:
            found.notes.append("fastapi looks for main.py, app.py or api.py; name the module here")
    elif found.app.endswith(".py"):
        folder, _, stem = found.app.removesuffix(".py").rpartition("/")
        *option, found.app = module_of_path(folder, stem).split(" ")
        found.arguments += option
    if ":" not in found.app:
        found.app += f":{found.given.get('--app', ['app'])[-1]}"


def finish_granian(found: Migration) -> None:
    """Translate granian's interfaces, and join its static routes with their directories."""
    if found.server != "granian":
        return
    interface = found.given.get("--interface", ["rsgi"])[-1]
    if interface == "wsgi":
        found.add("--interface wsgi")
        found.notes.append(WSGI_EXTRA)
    elif interface == "rsgi":
        found.notes.append(
            "RSGI is granian's own interface (and its default): the app must be ASGI or WSGI"
        )
    else:
        found.add("--interface asgi3")
        if interface == "asginl":
            found.add("--lifespan off")
    routes = found.given.get("--static-path-route", [])
    for number, directory in enumerate(found.given.get("--static-path-mount", [])):
        route = routes[number] if number < len(routes) else "/static"
        found.arguments += ["--static", f"{route}={directory}"]


def finish_app(found: Migration) -> None:
    """Complete the application's import string. Raises `Unusable` without an application."""
    if found.server == "hypercorn":
        if found.app.startswith(("asgi:", "wsgi:")):
            kind, _, found.app = found.app.partition(":")
            if kind == "wsgi":
                found.add("--interface wsgi")
                found.notes.append(WSGI_EXTRA)
        if "trio" in found.given.get("-k", []):
            found.notes.append("-k trio: the application must run on asyncio")
    if not found.app and "-c" in found.given:
        found.app = "APP"
        found.notes.append("APP is named in the configuration file, or missing")
    if not found.app:
        raise Unusable(f"the application is missing; {USAGE}")
    if ":" not in found.app and found.app != "APP" and "$" not in found.app:
        found.app += f":{found.peer.attribute}"
    if re.search(r"\(.+\)$", found.app):
        found.notes.append(f"{found.app}: a factory is called without arguments here")


def note_variables(found: Migration) -> None:
    for word in found.before:
        name = word.partition("=")[0]
        if found.peer.variables and name.startswith(found.peer.variables):
            found.notes.append(f"{name} is not read: write the options in it as flags")


def differing_defaults(peer: Peer, arguments: Sequence[str], server: str) -> list[str]:
    """A line for each option that was not given and has another default on this server."""
    lines = []
    for name, theirs in peer.defaults:
        flag = flag_names(name)[0]
        if flag in arguments or f"--no-{flag[2:]}" in arguments:
            continue
        if name.startswith("ssl_") and "--ssl-certfile" not in arguments:
            continue
        ours = {"true": "on", "false": "off"}.get(format_default(name), format_default(name))
        lines.append(f"{flag} is {ours} by default; {server}'s default is {theirs}")
    return lines
