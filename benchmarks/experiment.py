"""The parts that all experiments besides the case table share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.environment import Environment
    from benchmarks.report import Report


@dataclass
class Settings:
    """The settings that every experiment is run with."""

    environment: Environment
    rounds: int
    seconds: float
    show: Callable[[str], None]
    quick: bool = False
    prefix: str = field(default="")

    def progress(self, words: str) -> None:
        self.show(self.prefix + words)


@dataclass(frozen=True)
class Study:
    """A named experiment that is not one case."""

    title: str
    run: Callable[[Settings], Report]


def lowest(values: Mapping[str, float], what: str) -> list[dict[str, Any]]:
    """The verdict on the target "lowest of all": the first value against the lowest other one."""
    ours, *others = values
    if not others:
        return []
    best = min(others, key=values.__getitem__)
    ratio = values[ours] / values[best]
    return [
        {
            "target_against": "best peer",
            "against": f"the lowest other {what} ({best})",
            "target": 1.0,
            "ratio": round(ratio, 3),
            "verdict": "met" if ratio <= 1 else "missed",
        }
    ]
