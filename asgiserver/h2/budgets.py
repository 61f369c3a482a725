"""Budgets against floods: how much a peer may send of what costs us more than the peer.

Each budget begins full, fills again by the second and by the useful work that the connection does,
and never has more than at its beginning. A peer that uses one up is told to calm down. It knows no
clock: whoever has one calls `Budgets.tick`.
"""

from __future__ import annotations

from typing import NamedTuple

from asgiserver.h2.faults import ENHANCE_YOUR_CALM, ConnectionFault


class Budget(NamedTuple):
    """`most` at once, `second` more each second, and `work` more for each piece of useful work.

    A piece of work is a stream that both sides have ended, or a DATA frame that was sent, unless
    the client's window has made it a small one.
    """

    name: str
    most: int
    second: int
    work: int


BUDGETS = (
    Budget("resets", 1000, 33, 1),  # CVE-2023-44487: by the client, of streams that were open
    Budget("faults", 100, 10, 0),  # CVE-2025-8671: by us, because the client provoked it
    Budget("refused", 1000, 100, 1),  # streams above SETTINGS_MAX_CONCURRENT_STREAMS
    Budget("continuations", 256, 32, 1),  # CVE-2024-27316
    Budget("pings", 1000, 10, 1),  # CVE-2019-9512; gRPC measures with one for each frame it reads
    Budget("settings", 100, 1, 0),  # CVE-2019-9515
    Budget("window updates", 2000, 100, 16),  # Go sends two for each 4 KiB that it has read
    Budget("priorities", 1000, 100, 2),  # CVE-2019-9513
    Budget("empty frames", 100, 10, 0),  # CVE-2019-9518: DATA with neither bytes nor an end
    Budget("padding", 1000, 100, 0),  # DATA with more padding than bytes
    Budget("tiny windows", 200, 20, 0),  # CVE-2019-9511, CVE-2019-9517: our frames cut to few bytes
    Budget("late frames", 2000, 100, 0),  # small ones, for streams that are gone
    Budget("unknown frames", 1000, 100, 0),
)

(
    RESETS,
    FAULTS,
    REFUSED,
    CONTINUATIONS,
    PINGS,
    SETTINGS,
    WINDOW_UPDATES,
    PRIORITIES,
    EMPTY_FRAMES,
    PADDING,
    TINY_WINDOWS,
    LATE_FRAMES,
    UNKNOWN_FRAMES,
) = range(len(BUDGETS))

UNREAD = "unread answers"
"""The name of the bound on answers to control frames that the peer does not read."""


class Budgets:
    """What one connection has left of each budget."""

    __slots__ = ("_left", "_settled", "work")

    def __init__(self) -> None:
        self._left = [budget.most for budget in BUDGETS]
        self._settled = [0] * len(BUDGETS)  # the work that is in `_left` already
        self.work = 0

    def __repr__(self) -> str:
        spent = {b.name: b.most - left for b, left in zip(BUDGETS, self._left, strict=True)}
        return f"<Budgets { ({name: n for name, n in spent.items() if n}) }>"

    def spend(self, kind: int, amount: int = 1) -> None:
        """Take `amount` of a budget. Raises `ConnectionFault` when it is used up."""
        left = self._left[kind] - amount
        if left < 0:
            budget = BUDGETS[kind]
            earned = (self.work - self._settled[kind]) * budget.work
            self._settled[kind] = self.work
            left = min(budget.most, left + earned)
            if left < 0:
                raise ConnectionFault(ENHANCE_YOUR_CALM, f"too many {budget.name}", budget.name)
        self._left[kind] = left

    def tick(self, seconds: int) -> None:
        """Some seconds have passed."""
        self._left = [
            min(budget.most, left + budget.second * seconds)
            for budget, left in zip(BUDGETS, self._left, strict=True)
        ]
