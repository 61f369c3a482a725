"""Tracebacks that begin with the application's code, not with that of its server or framework."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["failure_traceback", "format_traceback"]

PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_STANDARD = os.path.dirname(os.__file__) + os.sep  # the standard library
_IMPORTS = os.path.join(_STANDARD, "importlib") + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def format_traceback(error: BaseException, *, whole: bool = False) -> str:
    """The traceback of `error`, its causes and the members of its group.

    Unless `whole`, each leaves out the frames before the first of the application: those of the
    server, of installed packages and of the standard library. A line says how many. When the
    application itself is an installed package, only the server's own frames can be told apart.
    """
    described = traceback.TracebackException.from_exception(error)
    if not whole:
        left_out = _trim_all(described)
        if left_out:
            text = "".join(described.format())
            frames = "frame" if left_out == 1 else "frames"
            hint = f"({left_out} {frames} of the server and its libraries left out"
            return f"{text}{hint}; --log-level debug shows them)\n"
    return "".join(described.format())


def failure_traceback(error: BaseException, *, whole: bool = False) -> str:
    """The traceback of an exception that kept the application from being loaded or started.

    It begins with the application as well. Nothing says how many frames were left out, because the
    way from the server to the application is always the same.
    """
    described = traceback.TracebackException.from_exception(error)
    if not whole:
        _trim_all(described, empty=True)
    return "".join(described.format())


def _trim_all(described: traceback.TracebackException, *, empty: bool = False) -> int:
    return sum(_trim(part.stack, empty) for part in _parts(described, set()))


def _parts(
    described: traceback.TracebackException, seen: set[int]
) -> Iterator[traceback.TracebackException]:
    """`described` and all that is shown with it."""
    if id(described) in seen:
        return
    seen.add(id(described))
    yield described
    linked = [described.__cause__, described.__context__, *(described.exceptions or ())]
    for other in linked:
        if other is not None:
            yield from _parts(other, seen)


def _trim(stack: traceback.StackSummary, empty: bool) -> int:
    """Leave out the first frames of `stack` that are not the application's; how many.

    If all are the server's, they are left out with `empty`: the import raises a syntax error, which
    has no frame of its own. Otherwise the fault is the server's, and they all stay.
    """
    first = next((n for n, frame in enumerate(stack) if not _is_library(frame.filename)), None)
    if first is None:
        first = next((n for n, frame in enumerate(stack) if not _is_server(frame.filename)), None)
    if first is None:
        first = len(stack) if empty else 0
    del stack[:first]
    return first


def _is_server(filename: str) -> bool:
    return filename.startswith((PACKAGE, "<frozen ", _IMPORTS))


def _is_library(filename: str) -> bool:
    return (
        _is_server(filename)
        or filename.startswith(_STANDARD)
        or any(folder in filename for folder in _INSTALLED)
    )
