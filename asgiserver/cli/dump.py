"""``asgiserver dump``: ask a running server what it is doing, and print the answer."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from asgiserver.errors import StartupError
from asgiserver.log.outlet import write_at_last
from asgiserver.watch.door import abstract_name, owner_of
from asgiserver.watch.report import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

WAIT = 10.0
"""Seconds to wait for an answer; a supervisor gives its workers 2.5."""


class DumpError(StartupError):
    """There is no answer. The text is one line that names the reason."""


def main(args: Sequence[str]) -> int:
    """Run ``asgiserver dump`` with `args`; 0, or 1 without an answer.

    Raises `ConfigError` for a wrong command line.
    """
    import click

    command = click.Command(
        "dump",
        params=[
            click.Argument(["pid"], type=int, required=False),
            click.Option(["--control"], metavar="PATH", help="The server's --control"),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON"),
        ],
        callback=lambda **given: given,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Print what the server with process id PID is doing: its threads, its requests and"
        " where each waits, all other tasks, and its connections. PID may also be a worker.",
    )
    try:
        given = command.main(list(args), "asgiserver dump", standalone_mode=False)
        if isinstance(given, int):  # --help has printed its text
            return given
        if (given["pid"] is None) == (given["control"] is None):
            raise click.UsageError("give the process id of a server, or --control PATH")
        dump = _dump_of_process(given["pid"]) if given["pid"] else _ask(given["control"])
        _print(json.dumps(dump, indent=2) if given["as_json"] else text_of(dump))
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except DumpError as error:
        return _fail(str(error), 1)
    return 0


def _dump_of_process(pid: int) -> dict[str, Any]:
    """The answer of a server, or that about a worker from its supervisor. Raises `DumpError`."""
    try:
        return _ask(abstract_name(pid), pid)
    except _NobodyThere:
        parent = _parent_of(pid)
        if parent is not None:
            try:
                answer = _ask(abstract_name(parent), parent)
            except _NobodyThere:
                pass
            else:
                workers = [one for one in answer.get("workers", ()) if one["pid"] == pid]
                return answer | {"workers": workers}
        raise


class _NobodyThere(DumpError):
    pass


def _ask(address: str, pid: int = 0) -> dict[str, Any]:
    shown = f"process {pid}" if pid else address
    if not hasattr(socket, "AF_UNIX") or (pid and not sys.platform.startswith("linux")):
        raise DumpError("only Linux finds a server by its process id; give --control PATH")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(WAIT)
        try:
            sock.connect(address)
            owner = owner_of(sock) if pid else None
            if owner is not None and owner[1] not in (0, os.geteuid()) and os.geteuid():
                raise DumpError(f"{shown} belongs to another user")
            data = b"".join(iter(lambda: sock.recv(1 << 20), b""))
        except TimeoutError:
            raise DumpError(f"{shown} does not answer{_state_of(pid)}") from None
        except OSError as error:
            raise _nobody(shown, pid, error) from None
    if not data:
        raise DumpError(f"{shown} gives no answer: it belongs to another user, or has just ended")
    try:
        answer: dict[str, Any] = json.loads(data)
    except ValueError:
        raise DumpError(f"{shown} has ended while it answered") from None
    return answer


def _nobody(shown: str, pid: int, error: OSError) -> DumpError:
    if pid and not _exists(pid):
        return DumpError(f"there is no {shown}")
    hint = "; is it a server, in this container, without --control?" if pid else ""
    return _NobodyThere(f"nobody answers for {shown}: {error.strerror}{hint}")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the third on: the state, the parent."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _parent_of(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if len(fields) > 1 else None


def _state_of(pid: int) -> str:
    if pid and _stat(pid)[:1] in ([b"T"], [b"t"]):
        return ": it was stopped by a signal (kill -CONT lets it go on)"
    return ": does code in C hold the interpreter lock? A debugger, py-spy or gdb, may tell"


def _print(text: str) -> None:
    """Print to the standard output. Raises `DumpError` when that cannot be written to."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader wants no more, such as head
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise DumpError(f"cannot write the answer: {error.strerror}") from None


def _fail(text: str, exit_code: int) -> int:
    write_at_last(f"asgiserver: error: {' '.join(text.split())}\n")
    return exit_code
