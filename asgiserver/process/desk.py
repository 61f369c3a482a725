"""The admin listener of a supervisor: what it shows, and the orders that it passes on.

It runs in a thread of its own: it reads what the supervisor knows of its workers, and leaves orders
for the supervisor's main thread, which takes them with `Desk.take`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from asgiserver.admin.source import OrderRefused, ServerState, WorkerState
from asgiserver.config.values import LEVELS
from asgiserver.log.loggers import logger
from asgiserver.process.control import LogLevel
from asgiserver.process.ledger import Ledger
from asgiserver.process.plan import Phase
from asgiserver.server.admin_listener import AdminListener, dump_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from asgiserver.config.fields import Config
    from asgiserver.process.ledger import Page
    from asgiserver.process.supervised import Supervised
    from asgiserver.server.listener import Listener

__all__ = ["Desk"]

_PHASES = {Phase.BOOTING: "starting", Phase.READY: "ready", Phase.LEAVING: "draining"}


class Desk:
    """The `Source` of a supervisor, and the listener that shows it."""

    def __init__(self, config: Config, supervisor: Supervised) -> None:
        self._supervisor = supervisor
        self._orders: deque[Callable[[], None]] = deque()
        self._began = time.time()
        self._listener = AdminListener(config, self)
        supervisor.fleet.ledger = self._ledger = Ledger()

    def __repr__(self) -> str:
        return f"<Desk {self._listener!r}>"

    # For the supervisor's main thread -----------------------------------------------------------

    def bind(self, inherited: Sequence[Listener]) -> None:
        """Reserve the address, or take the sockets of a predecessor. Raises `StartupError`."""
        self._listener.bind(inherited)

    def start(self) -> None:
        """Answer from now on. A second call does nothing."""
        self._listener.start()

    @property
    def listeners(self) -> Sequence[Listener]:
        """The bound sockets."""
        return self._listener.listeners

    def stop(self, *, unlink: bool) -> None:
        """Answer no more."""
        self._listener.stop(unlink=unlink)

    def take(self) -> None:
        """Do what operators have ordered."""
        while self._orders:
            self._orders.popleft()()

    def standing_still(self) -> AbstractContextManager[None]:
        """See `AdminListener.standing_still`."""
        return self._listener.standing_still()

    def abandon(self) -> None:
        """See `AdminListener.abandon`."""
        self._listener.abandon()

    # For the listener's thread ------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """See `Source`."""
        return self._supervisor.overview().config

    def state(self) -> ServerState:
        """See `Source`."""
        now = time.monotonic()
        pages, gone, restarts = self._ledger.read()
        overview = self._supervisor.overview()
        return ServerState(
            wanted=overview.wanted,
            started=overview.started,
            stopping=overview.stopping,
            stuck_after=overview.config.timeout_worker_stuck,
            replaces=True,
            workers=[_state_of(page, now) for page in pages],
            gone=gone,
            restarts=restarts,
            began=self._began,
        )

    async def dump(self, as_json: bool) -> str:
        """See `Source`: the supervisor asks the watchdogs of all workers."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[dict[str, Any]] = loop.create_future()

        def answer(dump: dict[str, Any]) -> None:
            if not answered.done():
                answered.set_result(dump)

        def done(dump: dict[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the listener has ended meanwhile
                loop.call_soon_threadsafe(answer, dump)

        self._order(lambda: self._supervisor.fleet.tell(done))
        return dump_text(await answered, as_json)

    def reload(self) -> str:
        """See `Source`."""
        self._order(self._supervisor.restart)
        return "the configuration is read again, and the workers are replaced one at a time"

    def drain(self) -> str:
        """See `Source`."""
        self._order(self._supervisor.drain)
        return "draining"

    def restart_worker(self, index: int) -> str:
        """See `Source`."""
        pages = self._ledger.read()[0]
        workers = [page.worker for page in pages if page.worker.slot == index]
        serving = [worker for worker in workers if worker.phase is Phase.READY]
        if not serving:
            raise OrderRefused(404, f"there is no worker {index} that serves")

        def retire() -> None:
            for worker in serving:
                worker.retire = worker.retire or "an operator asked for it"

        self._order(retire)
        return f"worker {index} is replaced as soon as another one can serve in its place"

    def set_log_level(self, level: str) -> str:
        """See `Source`."""
        number = LEVELS[level]

        def change() -> None:
            logger.setLevel(number)
            self._supervisor.set_log_level(level)
            self._supervisor.fleet.tell_all(LogLevel(number))

        self._order(change)
        return f"the log's level is {level}"

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._supervisor.wake()


def _state_of(page: Page, now: float) -> WorkerState:
    worker, published = page
    silence = 0.0
    if worker.ready_at is not None:
        silence = max(0.0, now - max(worker.beat_at, published.at))
    return WorkerState(
        index=worker.slot,
        pid=worker.pid,
        phase=_PHASES[worker.phase],
        age=now - worker.born,
        silence=silence,
        reason=worker.reason or worker.retire,
        figures=published.figures,
        running=published.running,
    )
