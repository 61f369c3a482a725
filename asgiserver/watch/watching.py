"""Everything that watches one server, from its start to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.config.values import OFF
from asgiserver.watch.collector import pauses, spare
from asgiserver.watch.watchdog import watchdog

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from asgiserver.context import ServerContext

    class Ticker(Protocol):
        """The part of the clock that is needed here."""

        def call_each_tick(self, callback: Callable[[], None]) -> None: ...


__all__ = ["begin", "end", "started"]


def begin(context: ServerContext) -> None:
    """Called in the loop's thread before the lifespan's start-up: from now on one may ask."""
    watchdog.watch(context)


def started(context: ServerContext, clock: Ticker) -> None:
    """The start-up is complete: from now on a blocked loop and long pauses are faults."""
    config = context.config
    if config.gc in ("freeze", "tuned"):
        spare(config.gc)
    pauses.measure(context)
    clock.call_each_tick(lambda: pauses.tell(context))
    if config.request_warn != OFF:
        from asgiserver.watch.slow import SlowRequests

        clock.call_each_tick(SlowRequests(context).on_tick)
    watchdog.heed(context)


def end(context: ServerContext) -> None:
    """Watch it no more, however far its start came."""
    watchdog.leave(context)
    pauses.leave(context)
