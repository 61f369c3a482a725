"""A dictionary for values that repeat, bounded so that no client can make it grow."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["BoundedDict"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedDict(dict[Key, Value]):
    """A dictionary of at most `most` entries, which is emptied before it would grow further.

    To drop the oldest entry alone would make every look-up dearer than it is to fill the
    dictionary again now and then.
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
