"""Whose code a frame runs, and which frame of a stack names a problem best.

This module knows frames and files, but no task, no thread and no request.
"""

from __future__ import annotations

import enum
import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FrameType

__all__ = ["Place", "Whose", "best", "is_debugger", "is_logging", "place_of", "serves", "stack_of"]

MAX_FRAMES = 60
"""Frames that are looked at in one stack, the innermost ones; a recursion has a thousand."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_DEBUGGERS = frozenset(
    ["IPython", "_pydevd_bundle", "bdb", "debugpy", "ipdb", "pdb", "pudb", "pydevd"]
)


class Whose(enum.IntEnum):
    """Whose code it is; the larger the number, the more the place says to a user."""

    SERVER = 0
    STDLIB = 1
    LIBRARY = 2
    APPLICATION = 3


class Place(NamedTuple):
    """A line of code that runs, or waits."""

    file: str
    line: int
    function: str
    whose: Whose

    def __str__(self) -> str:
        return f"{shown(self.file)}:{self.line} {self.function}"


Stack: TypeAlias = "list[tuple[FrameType, Place]]"
"""Frames of one thread with their places, the innermost first."""


@lru_cache(maxsize=1024)
def whose(filename: str, module: str) -> Whose:
    """Whose code the file is.

    An application that is installed like a library counts as the application: `own_packages` says
    which packages these are.
    """
    if filename.startswith(_PACKAGE):
        return Whose.SERVER
    if module.partition(".")[0] in own_packages:
        return Whose.APPLICATION
    if any(part in filename for part in _LIBRARIES):
        return Whose.LIBRARY
    if filename.startswith(("<frozen ", _STDLIB)):
        return Whose.STDLIB
    return Whose.APPLICATION


own_packages: set[str] = set()
"""The top-level packages of the applications that this process serves."""


def serves(app: object) -> None:
    """Note whose code the application is; `app` is its import string, or anything else."""
    if isinstance(app, str):
        package = app.partition(":")[0].partition(".")[0]
        if package not in own_packages:
            own_packages.add(package)
            whose.cache_clear()


def place_of(code: CodeType, line: int | None, module: str = "") -> Place:
    """The place of a line in `code`."""
    name = getattr(code, "co_qualname", code.co_name).replace(".<locals>", "")
    file = code.co_filename
    return Place(file, line or code.co_firstlineno, name, whose(file, module))


def stack_of(frame: FrameType | None) -> Stack:
    """The frame, and those that it was called by."""
    found: Stack = []
    while frame is not None and len(found) < MAX_FRAMES:
        module = str(frame.f_globals.get("__name__", ""))
        found.append((frame, place_of(frame.f_code, frame.f_lineno, module)))
        frame = frame.f_back
    return found


def best(places: Iterable[Place]) -> Place | None:
    """The place that names the problem: the first that is the application's.

    Where there is none, the first of a library, else of Python, else of the server; None without
    places. `places` begin with the innermost.
    """
    found: Place | None = None
    for place in places:
        if found is None or place.whose > found.whose:
            found = place
    return found


def is_debugger(frame: FrameType) -> bool:
    """Whether a debugger waits there for a person."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _DEBUGGERS


def is_logging(frame: FrameType) -> bool:
    """Whether the frame is in `logging`, whose locks its thread may hold."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "logging"


def shown(file: str) -> str:
    """A path for people: relative where it is below the current directory or a search path."""
    try:
        folders = [os.getcwd(), *sys.path]
    except OSError:  # the current directory is gone
        folders = list(sys.path)
    for folder in folders:
        if folder and file.startswith(folder.rstrip(os.sep) + os.sep):
            return file[len(folder.rstrip(os.sep)) + 1 :]
    return file
