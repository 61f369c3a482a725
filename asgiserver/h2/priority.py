"""Which of the streams that could send goes first (RFC 9218, Extensible Priorities)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from asgiserver.h2.streams import Stream

URGENCY = 3
"""The urgency of a request that names none (section 4.1)."""

_LEVELS = 8

MOST_EARLY = 64
"""Priorities that are kept for streams that are not open yet (section 7.1)."""

LONG = 262_144
"""Bytes after which a response that is not incremental shares its turns like one that is: nothing
shall wait for a whole download."""

# Members of a dictionary (RFC 8941 section 3.2) as clients write them: a key, with "=" a value, and
# parameters, which mean nothing here. A value that is a string or a list is none of ours.
_MEMBER = re.compile(rb"[ \t]*([a-z*][a-z0-9_.*-]*)(?:=([^,;]*))?(?:;[^,]*)?[ \t]*").fullmatch
_DIGIT = re.compile(rb"[0-7]").fullmatch

S = TypeVar("S", bound="Stream")


def read_priority(value: bytes) -> tuple[int, bool] | None:
    """Urgency and incremental of a priority field value; None when it names neither.

    What is malformed or out of range is ignored (section 4), as is what this server does not know.
    """
    urgency, incremental, known = URGENCY, False, False
    for member in value.split(b","):
        match = _MEMBER(member)
        if match is None:
            return None
        key, text = match[1], (match[2] or b"").strip(b" ")
        if key == b"u" and _DIGIT(text):
            urgency, known = int(text), True
        elif key == b"i" and text in (b"", b"?1", b"?0"):
            incremental, known = text != b"?0", True
    return (urgency, incremental) if known else None


class Turns(Generic[S]):
    """The streams that have something to send and a window for it, in the order of their turns.

    Lower urgency goes first. Of one urgency, streams that are not incremental go one after the
    other in the order of their ids; then the incremental ones send a frame each in turn. A stream
    whose client has said nothing is incremental.
    """

    __slots__ = ("_levels", "count", "early")

    def __init__(self) -> None:
        self.early: dict[int, tuple[int, bool]] = {}  # of streams that are not open yet
        # Lists, because empty ones take a twelfth of what deques do, and most connections have
        # nothing that waits.
        self._levels: tuple[list[S], ...] = tuple([] for _ in range(_LEVELS))
        self.count = 0

    def __repr__(self) -> str:
        return f"<Turns {[len(level) for level in self._levels]}>"

    def add(self, stream: S) -> None:
        """`stream` can send; nothing when it has its turn already."""
        if stream.has_turn:
            return
        stream.has_turn = True
        self.count += 1
        level = self._levels[stream.urgency]
        if stream.incremental:
            level.append(stream)
            return
        for at, other in enumerate(level):
            if other.incremental or other.id > stream.id:
                level.insert(at, stream)
                return
        level.append(stream)

    def remove(self, stream: S) -> None:
        """`stream` has nothing to send, or no window."""
        if stream.has_turn:
            stream.has_turn = False
            self.count -= 1
            self._levels[stream.urgency].remove(stream)

    def first(self) -> S:
        """The stream whose turn it is; there has to be one."""
        return next(level[0] for level in self._levels if level)

    def sent(self, stream: S) -> None:
        """The first stream has sent a frame and can send more: see the order above."""
        if stream.incremental:
            level = self._levels[stream.urgency]
            level.append(level.pop(0))

    def change(self, stream: S, urgency: int, incremental: bool) -> None:
        """Give `stream` another priority."""
        had_turn = stream.has_turn
        self.remove(stream)
        stream.urgency = urgency
        stream.incremental = incremental
        if had_turn:
            self.add(stream)

    def keep(self, stream_id: int, priority: tuple[int, bool]) -> None:
        """Keep the priority of a stream that is not open yet, or drop the oldest kept one."""
        self.early.pop(stream_id, None)
        if len(self.early) >= MOST_EARLY:
            del self.early[next(iter(self.early))]
        self.early[stream_id] = priority
