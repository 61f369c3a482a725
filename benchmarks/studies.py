"""Named experiments besides the case table: growth curves, footprint, idle crowds, upload."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.environment import Environment
    from benchmarks.report import Report


@dataclass
class Settings:
    """What every experiment is run with."""

    environment: Environment
    rounds: int
    seconds: float
    show: Callable[[str], None]
    prefix: str = field(default="")

    def progress(self, words: str) -> None:
        self.show(self.prefix + words)


@dataclass(frozen=True)
class Study:
    """A named experiment that is not one case."""

    title: str
    run: Callable[[Settings], Report]


STUDIES: dict[str, Study] = {}
