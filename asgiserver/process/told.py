"""What a worker tells on its second channel: stacks that C code writes, and answers to questions.

An answer is one line of JSON after a mark (see `watch.watchdog`); all else is text of stacks. This
module asks and reads, but does not know why.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from asgiserver.watch.watchdog import ANSWER, ASK

if TYPE_CHECKING:
    import socket

__all__ = ["Told"]

MAX_STACKS = 1 << 20  # bytes kept of the stacks that a worker writes
MAX_ANSWER = 32 << 20  # bytes of one answer; a longer one is dropped
MORE = 0.2  # seconds in which further stacks are expected


class Told:
    """The supervisor's end of the channel of one worker."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.flush_at = math.inf  # when to take the stacks, unless more of them arrive first
        self._stacks = bytearray()
        self._answer: bytearray | None = None  # begun, and not complete

    def __repr__(self) -> str:
        return f"<Told {len(self._stacks)} bytes of stacks>"

    def ask(self) -> None:
        """Ask the worker what it is doing."""
        try:
            self.channel.send(ASK)
        except OSError:
            pass  # it has ended, or has left so many questions unread that one more is no use

    def read(self, now: float) -> tuple[list[dict[str, Any]], bool]:
        """The answers that have become complete, and whether the channel is still open."""
        try:
            data = self.channel.recv(1 << 18)
        except BlockingIOError:
            return [], True
        except OSError:
            data = b""
        answers = []
        rest = data
        while rest:
            if self._answer is None:
                text, mark, rest = rest.partition(ANSWER)
                self._keep(text, now)
                if mark:
                    self._answer = bytearray()
                continue
            part, end, rest = rest.partition(b"\n")
            self._answer += part[: MAX_ANSWER + 1 - len(self._answer)]
            if end:
                answers += self._complete()
        return answers, bool(data)

    def _keep(self, text: bytes, now: float) -> None:
        if text and len(self._stacks) < MAX_STACKS:
            self._stacks += text
            self.flush_at = now + MORE

    def _complete(self) -> list[dict[str, Any]]:
        line, self._answer = self._answer or b"", None
        if len(line) > MAX_ANSWER:
            return []
        try:
            answer = json.loads(line)
        except ValueError:
            return []  # a signal's handler has written its text into it
        return [answer] if isinstance(answer, dict) else []

    def take_stacks(self) -> str:
        """The text of stacks gathered so far, which is forgotten."""
        text = self._stacks.decode("utf-8", "replace").strip()
        self._stacks.clear()
        self.flush_at = math.inf
        return text

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()
