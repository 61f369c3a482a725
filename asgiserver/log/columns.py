"""The columns with which each text line begins: the time, the level, the worker."""

from __future__ import annotations

import logging
import os
import time

from asgiserver.log.origin import worker_label
from asgiserver.log.outlet import is_terminal
from asgiserver.log.timestamps import SecondText

__all__ = ["Columns", "paint", "paint_level", "wants_colors"]

_LEVEL_COLORS = ((logging.ERROR, "31"), (logging.WARNING, "33"), (logging.INFO, "32"), (0, "36"))


def wants_colors(use_colors: bool | None, stream: object) -> bool:
    """Whether to colour the lines on `stream`.

    The option decides, else NO_COLOR, else FORCE_COLOR, else whether `stream` is a terminal.
    """
    if use_colors is not None:
        return use_colors
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def paint(text: str, color: str) -> str:
    """`text` in a colour, the number of an ECMA-48 SGR sequence."""
    return f"\x1b[{color}m{text}\x1b[0m"


def paint_level(text: str, level: int) -> str:
    """`text` in the colour of a level."""
    return paint(text, next(code for least, code in _LEVEL_COLORS if level >= least))


class Columns:
    """The beginning of a line: ``2026-11-21 11:01:13.123 INFO     [1] ``, in local time.

    On a terminal a person watches, so the time of day is enough: ``11:01:13 INFO     [1] ``.
    """

    __slots__ = ("colors", "second", "terminal")

    def __init__(self, colors: bool = False, terminal: bool = False) -> None:
        self.colors = colors
        self.terminal = terminal
        self.second = SecondText(
            self._text
        ).at  # the text of the second in which a `time.time` lies

    def __repr__(self) -> str:
        return f"<Columns colors={self.colors} terminal={self.terminal}>"

    def _text(self, second: int) -> str:
        local = time.localtime(second)
        if not self.terminal:
            return time.strftime("%Y-%m-%d %H:%M:%S", local)
        text = time.strftime("%H:%M:%S", local)
        return paint(text, "2") if self.colors else text

    def time(self, now: float) -> str:
        """The first column, of a `time.time`."""
        text = self.second(now)
        return text if self.terminal else f"{text}.{int(now % 1 * 1000):03d}"

    def level(self, name: str, level: int) -> str:
        """The second and the third column, with a blank in front and after them."""
        text = f"{name:<8}"
        return f" {paint_level(text, level) if self.colors else text} {worker_label()}"
