"""The stop of a server as a whole: who may request it, when it begins, and how it is hurried.

The stages themselves are the server's. This module knows neither listeners nor connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from asgiserver.config.fields import Config

__all__ = ["StagedStop"]

logger = logging.getLogger("asgiserver")


class StagedStop:
    """Requested at any time and any number of times, and carried out once.

    `drain` lets what is served end within the seconds that it is given, `release` gives everything
    back. What is requested before `allow` begins then.
    """

    def __init__(
        self,
        config: Config,
        *,
        drain: Callable[[float], Coroutine[Any, Any, None]],
        release: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self.hurry = asyncio.Event()  # set when nothing is to be waited for any longer
        self.loop: asyncio.AbstractEventLoop | None = None
        self._timeout = config.timeout_graceful_shutdown
        self._delay = config.drain_delay
        self._drain = drain
        self._release = release
        self._level: int | None = None  # of its lines in the log; None: it may not begin yet
        self._early: tuple[float | None, str] | None = None  # requested before it may begin
        self._task: asyncio.Task[None] | None = None
        self._stopped: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        done = self._stopped is not None and self._stopped.done()
        return f"<StagedStop begun={self.has_begun} done={done}>"

    @property
    def has_begun(self) -> bool:
        """Whether the server stops, or has stopped."""
        return self._task is not None

    @property
    def was_requested(self) -> bool:
        """Whether the server stops, has stopped, or will stop as soon as it has started."""
        return self.has_begun or self._early is not None

    def belong_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """The server starts in `loop`, so from now on its end can be waited for."""
        self.loop = loop
        self._stopped = loop.create_future()

    def allow(self, level: int) -> None:
        """The server has started. `level` is that of the lines in the log about its stop."""
        self._level = level
        if self._early is not None:
            timeout, reason = self._early
            self.request(timeout, reason)

    def request(self, timeout: float | None, reason: str, *, at_once: bool = False) -> None:
        """See `Server.request_stop`."""
        if self._level is None or self.loop is None:
            self._early = (timeout, reason)
            return
        if timeout is None:
            timeout = self._timeout
        if at_once:
            self._delay = 0.0
        if timeout <= 0:
            self.hurry.set()
        if self._task is None:
            logger.log(self._level, "Stopping (%s)", reason)
            self._task = self.loop.create_task(self._carry_out(timeout, self._level))

    def request_threadsafe(self, timeout: float | None) -> None:
        """The same for any thread."""
        if self.loop is None:
            self._early = (timeout, "stop")
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.request, timeout, "stop")

    async def pause(self) -> None:
        """Leave the time of --drain-delay to those who have to notice that the server stops."""
        if self._delay and not self.hurry.is_set():
            level = logging.DEBUG if self._level is None else self._level
            logger.log(level, "Accepting connections for %g s more (--drain-delay)", self._delay)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.hurry.wait(), self._delay)

    async def wait(self) -> None:
        """Return when the server has been stopped."""
        assert self._stopped is not None
        await asyncio.shield(self._stopped)

    async def give_up(self) -> None:
        """Release everything after a start that failed. A cancellation does not break that off."""
        assert self.loop is not None
        self._task = self.loop.create_task(self._only_release())
        await asyncio.shield(self._task)

    async def _only_release(self) -> None:
        try:
            await self._release()
        finally:
            self._tell_stopped()

    async def _carry_out(self, timeout: float, level: int) -> None:
        """Drain, then give everything back, whatever happens."""
        try:
            try:
                await self._drain(timeout)
            finally:
                await self._release()
        except Exception:
            logger.exception("Error while stopping")
        finally:
            logger.log(level, "Stopped")
            self._tell_stopped()

    def _tell_stopped(self) -> None:
        assert self._stopped is not None
        if not self._stopped.done():
            self._stopped.set_result(None)
