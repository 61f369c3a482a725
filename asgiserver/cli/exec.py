"""``asgiserver exec``: run a command that brings uvicorn on this server instead."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import asgiserver
from asgiserver.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

STAND_IN = os.path.join(os.path.dirname(asgiserver.__file__), "compat", "stand_in")
"""A directory with a package `uvicorn`, which a process finds first if it is on PYTHONPATH."""

HELP = """\
Usage: asgiserver exec [--] COMMAND [ARGS]...

  Run COMMAND, such as fastapi run main.py, with this server in the place of
  uvicorn: in its process, and in all Python processes that it starts.
  COMMAND is looked for beside this interpreter first, then on PATH. What
  uvicorn has no name for is set by ASGISERVER_ variables and the configuration
  file. See docs/compat.md.
"""


def main(args: Sequence[str]) -> int:
    """Become the command in `args`; on Windows, run it and return its exit code.

    Raises `ConfigError` when there is no such command.
    """
    if args[:1] in (["-h"], ["--help"]):
        sys.stdout.write(HELP)
        return 0
    command = list(args[1:] if args[:1] == ["--"] else args)
    if not command:
        raise ConfigError(
            "exec: COMMAND is missing, such as asgiserver exec -- fastapi run main.py"
        )
    if command[0].startswith("-"):
        raise ConfigError(f"exec: {command[0]} is no command; options belong after the command")
    # The full path: Python finds its environment by the name under which it was called.
    command[0] = _find(command[0])
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([STAND_IN, known] if known else [STAND_IN])
    environ = {**os.environ, "PYTHONPATH": path}
    sys.stdout.flush()
    if sys.platform == "win32":
        return subprocess.call(command, env=environ)
    try:
        os.execve(command[0], command, environ)
    except OSError as error:
        raise ConfigError(f"exec: cannot run {command[0]}: {error.strerror}") from None


def _find(name: str) -> str:
    """The file of a command: in this environment, where the stand-in is, or on PATH."""
    beside = None
    if not os.path.dirname(name):
        beside = shutil.which(name, path=sysconfig.get_path("scripts"))
    found = beside or shutil.which(name)
    if found is None:
        raise ConfigError(f"exec: there is no command {name!r}; is it installed, and on PATH?")
    return found
