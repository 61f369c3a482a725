"""What a supervisor is to its admin listener: what it says of itself, and the orders it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.config.fields import Config
    from asgiserver.process.fleet import Fleet

__all__ = ["Overview", "Supervised"]


class Overview(NamedTuple):
    """What a supervisor says of itself."""

    config: Config
    wanted: int  # workers
    started: bool  # some worker has been ready
    stopping: bool


class Supervised(NamedTuple):
    """The part of a `Supervisor` that its admin listener knows: its workers, and its methods.

    Any thread may call `wake`, which ends the wait of the main thread, and `overview`. The others
    are for the main thread.
    """

    fleet: Fleet
    wake: Callable[[], None]
    overview: Callable[[], Overview]
    restart: Callable[[], None]
    drain: Callable[[], None]
    set_log_level: Callable[[str], None]
