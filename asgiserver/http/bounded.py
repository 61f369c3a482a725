"""A memory of what comes again and again, bounded so that nobody can make it grow."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["BoundedDict"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedDict(dict[Key, Value]):
    """A dictionary of at most `most` entries: it forgets all of them before one too many.

    Forgetting them one by one, the oldest first, would cost more at each look than learning a few
    again costs now and then.
    """

    __slots__ = ("most",)

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def remember(self, key: Key, value: Value) -> None:
        """Keep `value` under `key`."""
        if len(self) >= self.most:
            self.clear()
        self[key] = value
