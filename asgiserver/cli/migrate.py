"""``asgiserver migrate "uvicorn app:app ..."``: another server's command line as one of ours.

It reads and writes command lines by the tables of `asgiserver.cli.migrate_tables`; it starts
nothing, runs no shell and imports no application.
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

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Migration", "main", "migrate"]

USAGE = 'write asgiserver migrate "uvicorn main:app --workers 4"'
SHELL = re.compile(r"[|&;<>()]+|\d?>.*")  # a token that is the shell's
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
THREADED = "runs requests in threads; is the application thread-safe? --wsgi-threads 1 if not"
WSGI_EXTRA = 'WSGI applications need the extra: pip install "asgiserver[wsgi]"'


class Unusable(Exception):
    """The text is no command line of a server that is known here."""


@dataclasses.dataclass
class Migration:
    """A command line of ours and what to know about it, one line each."""

    server: str
    peer: Peer
    before: list[str]  # what stood before the server: assignments, "python -m"
    app: str = ""
    arguments: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    given: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # by the first name

    def command(self) -> str:
        """The command line."""
        return " ".join(map(quote, [*self.before, "asgiserver", self.app, *self.arguments]))

    def add(self, text: str) -> None:
        """Add arguments, separated by spaces."""
        self.arguments += text.split()

    def text(self) -> str:
        """The command, then what differs as comments of a shell."""
        notes = list(dict.fromkeys(self.notes))
        notes += differing_defaults(self.peer, self.arguments, self.server)
        notes += self.peer.differs
        return "\n".join([self.command(), *(f"# {note}" for note in notes)])


def main(args: Sequence[str]) -> int:
    """Print what stands for the command line in `args` (one text, or its words); the exit code.

    2 means that it is no command line of a known server.
    """
    if not args or args[0] in ("-h", "--help"):
        known = ", ".join(SERVERS)
        click.echo(f"Usage: {USAGE}\n\nPrints the same for asgiserver. Known: {known}.")
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
        raise Unusable(f"this is no command line ({error}); {USAGE}") from None
    for word in words:
        if SHELL.fullmatch(word):
            raise Unusable(f"{word!r} is the shell's; give one command, without it")
    found = find_server(words)
    words = words[len(found.before) + 1 :]
    read_words(found, words)
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
    raise Unusable(f"no server that is known here ({known}); {USAGE}")


def quote(word: str) -> str:
    """`word` for a shell that still has to fill in its variables, such as $PORT."""
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
                raise Unusable(f"{found.app!r} and {word!r}: which of them is the application?")
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
    """The option called `name`, or by its beginning where that is enough for the server."""
    matches = [flag for flag in peer.flags if name in flag.names]
    if not matches and peer.abbreviates and name.startswith("--"):
        matches = [f for f in peer.flags if any(n.startswith(name) for n in f.names)]
    return matches[0] if len(matches) == 1 else None


def take_value(flag: Flag, left: list[str]) -> str | None:
    """The next word as the value of `flag`."""
    if flag.optional is not None and (not left or left[-1].startswith("-") or ":" in left[-1]):
        return flag.optional
    return left.pop() if left else None


def skip_unknown(found: Migration, name: str, value: str | None, left: list[str]) -> None:
    names = [known for flag in found.peer.flags for known in flag.names]
    close = closest(name, names)
    hint = f"; did you mean {close}?" if close else ""
    # Its value, if it has one, does not look like an application.
    if value is None and left and not left[-1].startswith("-") and ":" not in left[-1]:
        left.pop()
    found.notes.append(f"{name}: {found.server} has no such option; left out{hint}")


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


# What is known about one server ---------------------------------------------------------------


def finish_gunicorn(found: Migration) -> None:
    """The worker class says what kind of application it is."""
    if found.server != "gunicorn":
        return
    worker = found.given.get("-k", ["sync"])[-1]
    threads = found.given.get("--threads", ["1"])[-1]
    if worker in ASGI_WORKERS:
        found.add(ASGI_WORKERS[worker])
        return
    name = worker.rpartition(".")[2].lower()
    if worker not in ("sync", "gthread") and not name.startswith(("gevent", "eventlet")):
        found.notes.append(f"-k {worker} is not known here: --interface says what the app is")
        return
    found.add("--interface wsgi")
    if name.startswith(("gevent", "eventlet")):
        found.notes.append(f"-k {worker}: there are no green threads; it {THREADED}")
    else:
        found.add(f"--wsgi-threads {threads}")
        if threads == "1":
            found.notes.append("--wsgi-threads 1 is one request at a time per worker, as before")
    found.notes.append(WSGI_EXTRA)


def finish_granian(found: Migration) -> None:
    """Interfaces have other names; routes and directories of files are one option here."""
    if found.server != "granian":
        return
    interface = found.given.get("--interface", ["rsgi"])[-1]
    if interface == "wsgi":
        found.add("--interface wsgi")
        found.notes.append(WSGI_EXTRA)
    elif interface == "rsgi":
        found.notes.append("RSGI is granian's own (and its default): the app must be ASGI or WSGI")
    else:
        found.add("--interface asgi3")
        if interface == "asginl":
            found.add("--lifespan off")
    routes = found.given.get("--static-path-route", [])
    for number, directory in enumerate(found.given.get("--static-path-mount", [])):
        route = routes[number] if number < len(routes) else "/static"
        found.arguments += ["--static", f"{route}={directory}"]


def finish_app(found: Migration) -> None:
    """The application, as an import string. Raises `Unusable` when there is none."""
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
            found.notes.append(f"{name} is not read here: write its options as flags")


def differing_defaults(peer: Peer, arguments: Sequence[str], server: str) -> list[str]:
    """A line for each option that was left to its default, and has another one here."""
    lines = []
    for name, theirs in peer.defaults:
        flag = flag_names(name)[0]
        if flag in arguments or f"--no-{flag[2:]}" in arguments:
            continue
        if name.startswith("ssl_") and "--ssl-certfile" not in arguments:
            continue
        ours = {"true": "on", "false": "off"}.get(format_default(name), format_default(name))
        lines.append(f"{flag} is {ours} by default; with {server} {theirs}")
    return lines
