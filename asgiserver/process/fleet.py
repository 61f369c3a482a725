"""The running workers: started, listened to, told to end, reaped.

A `Fleet` executes what `plan` has decided and logs what happens; its owner decides what follows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import selectors
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from asgiserver.config.options import FIELDS
from asgiserver.process.child import exit_text
from asgiserver.process.control import Beat, Failed, Message, Ready, Setup, Stop, Stopping
from asgiserver.process.inquiry import Inquiries
from asgiserver.process.plan import Action, AskStacks, Kill, Leave, Phase, Spawn, Terminate
from asgiserver.process.signals import KILL
from asgiserver.process.stacks import STACKS_SIGNAL
from asgiserver.server.memory import own_and_shared_bytes, size_text
from asgiserver.watch.report import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.config.fields import Config
    from asgiserver.process.handle import WorkerHandle
    from asgiserver.process.launch import Launcher
    from asgiserver.process.ledger import Ledger
    from asgiserver.process.sockets import Sockets

__all__ = ["Fleet", "config_of_worker"]

logger = logging.getLogger("asgiserver")

BEAT = 1.0  # seconds between two beats of a worker's loop
SILENT = 2.5  # seconds without a beat after which a worker's own queue gets no more connections
EMPTYING = 1.0  # seconds for the last worker of a queue to accept what is left in it
KILL_MARGIN = 5.0  # seconds that a worker may be late before it is killed
TERMINATE_WAIT = 2.0  # seconds from SIGTERM to SIGKILL for a worker whose loop is blocked
BOOT_PATIENCE = 3.0  # seconds to end for a worker that has not finished its start-up

# What the supervisor does itself, so that workers must not do it once more. They know of `reload`:
# a person waits for their end then. The delay of a drain is part of the order to stop.
_NOT_FOR_WORKERS = {
    name: option.field.default for name, option in FIELDS.items() if not option.info.in_workers
}

# What Windows can select of, less those that linger, those of the application and our own.
SELECTABLE = 400


def config_of_worker(config: Config, app: Any) -> Config:
    """The configuration of a worker that serves `app` for a supervisor with `config`."""
    changes = {**_NOT_FOR_WORKERS, "app": app}
    if config.gc == "auto" and not config.reload:  # a collection would delay each reload
        changes["gc"] = "freeze"
    if sys.platform == "win32":
        changes["limit_connections"] = min(config.limit_connections or SELECTABLE, SELECTABLE)
    return dataclasses.replace(config, **changes)


class Owner(Protocol):
    """What a `Fleet` tells about the fate of its workers."""

    def worker_ready(self, worker: WorkerHandle, now: float) -> None:
        """`worker` serves."""

    def worker_steady(self, worker: WorkerHandle, now: float) -> None:
        """`worker` has just sent another beat."""

    def worker_died(self, worker: WorkerHandle, now: float) -> None:
        """`worker` served, and has ended although nobody had told it to."""

    def worker_failed(self, worker: WorkerHandle | None, now: float) -> None:
        """`worker` could not start the application; None: its process could not be started."""


class Fleet:
    """All present worker processes, in the order in which they were started."""

    def __init__(self, owner: Owner, selector: selectors.BaseSelector, launcher: Launcher) -> None:
        self.workers: list[WorkerHandle] = []
        self.launcher = launcher
        self.inquiries = Inquiries()
        self.sockets: Sockets  # set by the owner when the sockets are bound
        # What is planned for the workers goes into the log at level debug, because the owner says
        # it for all of them: at a stop, and at a start or a restart with --reload.
        self.is_quiet = False
        self.ledger: Ledger | None = None  # None: nobody looks at figures
        self._owner = owner
        self._selector = selector

    def __repr__(self) -> str:
        return f"<Fleet {self.workers}>"

    def in_phase(self, phase: Phase) -> list[WorkerHandle]:
        """The workers that are in this phase."""
        return [worker for worker in self.workers if worker.phase is phase]

    # Doing what was planned --------------------------------------------------------------------

    def do(self, action: Action, config: Config, order: Stop, now: float) -> None:
        """Execute one action other than `Spawn`; `order` is how a worker is to leave."""
        assert not isinstance(action, Spawn)
        worker = next(worker for worker in self.workers if worker.pid == action.pid)
        match action:
            case Leave(reason=reason):
                logger.debug("%s is told to end: %s", worker, reason)
                order = dataclasses.replace(order, reason=reason)
                if self._abandons_queue(worker, now) and not config.reload:
                    order = dataclasses.replace(order, accept=EMPTYING, last=True)
                self.leave(worker, order, config, now)
            case AskStacks():
                silence = now - worker.beat_at
                logger.error("%s: event loop blocked for %.1f s", worker, silence)
                worker.stacks_at = now
                self._ask(worker)
            case Terminate():
                logger.error("%s is still blocked: SIGTERM", worker)
                worker.phase, worker.reason = Phase.LEAVING, "blocked"
                worker.kill_at = now + TERMINATE_WAIT
                worker.process.signal(signal.SIGTERM)
            case Kill():
                logger.error("%s did not end in time (%s): SIGKILL", worker, worker.reason)
                worker.killed = True
                worker.process.signal(KILL)

    def _abandons_queue(self, worker: WorkerHandle, now: float) -> bool:
        """Whether only `worker` takes from its queue; if so, the queue gets nothing new."""
        others = {other.slot for other in self.heard(now) if other is not worker}
        if not self.sockets.reuseport or worker.slot in others:
            return False
        self.sockets.open_to(others)
        return True

    def leave(self, worker: WorkerHandle, order: Stop, config: Config, now: float) -> None:
        """Tell a worker to end, or to hurry; a worker that does not end in time is killed."""
        if worker.ready_at is None:
            worker.leave(order, now + BOOT_PATIENCE)
            return
        drain = config.timeout_graceful_shutdown if order.timeout is None else order.timeout
        shutdown = config.timeout_lifespan_shutdown
        if config.reload:
            shutdown = min(shutdown, KILL_MARGIN)
        worker.leave(order, now + order.accept + order.delay + drain + shutdown + KILL_MARGIN)

    def spawn(
        self, slot: int, config: Config, app: Any, generation: int, shared: bool, now: float
    ) -> None:
        """Start a worker in a slot; `shared` when other workers take from the same queue."""
        sockets = self.sockets
        listeners = sockets.for_slot(slot)
        numbered = shared
        shared = shared and not sockets.reuseport
        with contextlib.ExitStack() as undo:
            try:
                cell = sockets.take_cell()
                undo.callback(sockets.free_cell, cell)
                board = None
                if self.ledger is not None:
                    board = self.ledger.open()
                    undo.callback(board.close)
                setup = Setup(
                    config=config_of_worker(config, app),
                    index=slot,
                    listeners=tuple(listeners),
                    beat=min(BEAT, config.timeout_worker_stuck / 4),
                    board=sockets.board.fd if shared else -1,
                    cell=cell,
                    numbered=numbered,
                    figures=-1 if board is None else board.fd,
                )
                more = [fd for fd in (setup.board, setup.figures) if fd >= 0]
                worker = self.launcher.start(setup, [*(fd for fd, _ in listeners), *more])
            except OSError as exc:
                self._cannot_start(exc, now)
                return
            undo.pop_all()
        worker.slot, worker.generation, worker.cell = slot, generation, cell
        worker.born = worker.beat_at = now
        worker.use(config)
        if self.ledger is not None and board is not None:
            self.ledger.add(worker, board)
        self._adopt(worker)
        logger.debug("%s started", worker)

    def _cannot_start(self, exc: OSError, now: float) -> None:
        logger.error("Cannot start a worker: %s", exc)
        self._owner.worker_failed(None, now)

    def _adopt(self, worker: WorkerHandle) -> None:
        def on_told() -> None:
            if not self._listen(worker):
                self._selector.unregister(worker.told.channel)

        def on_control() -> None:
            if not self._read(worker):
                self._selector.unregister(worker.control)  # the worker ends; SIGCHLD follows

        self.workers.append(worker)
        self._selector.register(worker.control, selectors.EVENT_READ, on_control)
        self._selector.register(worker.told.channel, selectors.EVENT_READ, on_told)

    def _listen(self, worker: WorkerHandle) -> bool:
        """Handle what the worker tells of itself; False when it has closed the channel."""
        answers, is_open = worker.told.read(time.monotonic())
        for dump in answers:
            if not self.inquiries.on_answer(worker, dump):
                logger.error("%s runs this:\n%s", worker, text_of(dump))
        return is_open

    # What happens to workers -------------------------------------------------------------------

    def _read(self, worker: WorkerHandle) -> bool:
        """Handle what the worker has reported; False when it has closed its socket."""
        try:
            messages = worker.control.read()
        except EOFError:
            return False
        for message in messages:
            self._on_report(worker, message, time.monotonic())
        return True

    def _on_report(self, worker: WorkerHandle, message: Message, now: float) -> None:
        match message:
            case Ready() if worker.phase is Phase.BOOTING:
                worker.phase = Phase.READY
                worker.ready_at = worker.beat_at = now
                memory = own_and_shared_bytes(worker.pid) if worker.process.forked else None
                text = f", {size_text(memory[1])} of its memory are shared" if memory else ""
                level = logging.DEBUG if self.is_quiet else logging.INFO
                logger.log(level, "%s is ready after %.2f s%s", worker, now - worker.born, text)
                self._owner.worker_ready(worker, now)
            case Beat():
                worker.on_beat(message, now)
                self._owner.worker_steady(worker, now)
            case Failed():
                worker.failed = message
            case Stopping() if worker.phase is Phase.READY:
                logger.warning("%s was told to end by somebody else (%s)", worker, message.reason)
                worker.phase, worker.reason = Phase.LEAVING, message.reason
                worker.kill_at = now + worker.longest_stop + KILL_MARGIN
            case _:
                pass  # the report came too late to matter

    def bury(self) -> None:
        """Reap the workers that have ended, and tell the owner."""
        for worker in [worker for worker in self.workers if worker.process.has_ended()]:
            self._on_exit(worker, time.monotonic())

    def _on_exit(self, worker: WorkerHandle, now: float) -> None:
        self._forget(worker)
        if self.ledger is not None:
            self.ledger.retire(worker, worker.cause)
        code = worker.process.exit_code
        assert code is not None
        ending = exit_text(code)
        details = f"{ending}, {now - worker.born:.0f} s old"
        if worker.last.rss:
            details += f", last RSS {size_text(worker.last.rss)}"
        if worker.phase is Phase.LEAVING:
            # A worker that was told to end during its start-up may end with any exit code.
            served = worker.ready_at is not None
            level = logging.DEBUG if self.is_quiet else logging.INFO
            if code and served:
                level = logging.WARNING
            logger.log(level, "%s has ended (%s): %s", worker, worker.reason, details)
        elif worker.phase is Phase.READY:
            logger.error("%s died: %s", worker, details)
            self._owner.worker_died(worker, now)
        else:
            self._owner.worker_failed(worker, now)

    def _forget(self, worker: WorkerHandle) -> None:
        """Read the last reports of a worker, and close its sockets."""
        registered = self._selector.get_map()
        if worker.control in registered:
            self._read(worker)
            self._selector.unregister(worker.control)
        if worker.told.channel in registered:
            self._listen(worker)
            self._selector.unregister(worker.told.channel)
        self._log_stacks(worker)
        self.inquiries.on_gone(worker)
        worker.close()
        self.workers.remove(worker)
        self.sockets.free_cell(worker.cell)

    def _log_stacks(self, worker: WorkerHandle) -> None:
        text = worker.told.take_stacks()
        if text and not self.inquiries.on_stacks(worker, text):
            logger.error("%s is doing this:\n%s", worker, text)

    # Time ------------------------------------------------------------------------------------

    def chores(self, now: float) -> float:
        """Do what is due by time alone; return when to come back."""
        again = self.inquiries.chores(now)
        for worker in self.workers:
            if worker.told.flush_at <= now:
                self._log_stacks(worker)
            again = min(again, worker.told.flush_at)
        heard = self.heard(now)
        self.sockets.open_to({worker.slot for worker in heard})
        return min([again, *(worker.beat_at + SILENT for worker in heard)])

    def heard(self, now: float) -> list[WorkerHandle]:
        """The workers that serve and whose loops turn."""
        return [w for w in self.in_phase(Phase.READY) if now < w.beat_at + SILENT]

    def excuse(self, now: float) -> None:
        """Count no worker as silent until now: the supervisor itself was paused."""
        for worker in self.workers:
            worker.beat_at = now

    def tell_all(self, message: Message) -> None:
        """Give all workers that serve an order other than to leave."""
        for worker in self.in_phase(Phase.READY):
            worker.tell(message)

    def tell(self, done: Callable[[dict[str, Any]], None]) -> None:
        """Ask all workers what they are doing; `done` gets their answers, in a few seconds."""
        self.inquiries.ask(list(self.workers), done)

    def log_doings(self) -> None:
        """Log what all workers are doing."""
        self.tell(_log_doings)

    def _ask(self, worker: WorkerHandle) -> None:
        """Ask a worker that is stuck; without the signal it writes its stacks by itself."""
        if STACKS_SIGNAL is not None:
            worker.process.signal(STACKS_SIGNAL)
        worker.told.ask()

    def abandon(self) -> None:
        """Called in a forked child: close what belongs to the other workers."""
        if self.ledger is not None:
            self.ledger.abandon()
        for worker in self.workers:
            worker.close()


def _log_doings(result: dict[str, Any]) -> None:
    for entry in result["workers"]:
        dump, text = entry["dump"], entry["stacks"]
        text = f"{entry['note']}\n{text}" if dump is None else text_of(dump)
        logger.error("Worker %d (pid %d) is doing this:\n%s", entry["index"], entry["pid"], text)
