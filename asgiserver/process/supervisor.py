"""The parent of the workers: it waits for events, asks `plan` what to do, and has that done.

The supervisor serves no request, and does not import the application (except for ``--preload``).
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import selectors
import time
from typing import TYPE_CHECKING, Any

from asgiserver.config.fields import MOST_WORKERS
from asgiserver.config.options import FIELDS
from asgiserver.errors import BROKEN_OFF, ApplicationLoadError, ConfigError, WorkersFailed
from asgiserver.log.loggers import flush_log, log_failure
from asgiserver.process import launch
from asgiserver.process.backoff import Failures
from asgiserver.process.control import Stop
from asgiserver.process.cpus import worker_count
from asgiserver.process.fleet import Fleet
from asgiserver.process.handover import Handover
from asgiserver.process.once import run_once
from asgiserver.process.plan import Goal, Phase, Spawn, plan
from asgiserver.process.reload import Watcher, short_path
from asgiserver.process.service import Service
from asgiserver.process.signals import (
    CHILD_LOOK,
    KILL,
    SignalQueue,
    by_name,
    reap_strangers,
    set_process_title,
)
from asgiserver.process.supervised import Overview, Supervised
from asgiserver.process.worker import work
from asgiserver.server.runner import TERMINAL_WINDOW

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from asgiserver.config.fields import Config
    from asgiserver.process.handle import WorkerHandle
    from asgiserver.process.launch import Launcher

__all__ = ["Supervisor"]

logger = logging.getLogger("asgiserver")

ANNOUNCE = 0.5  # seconds in which a replaced worker announces the end of its busy connections
RELOAD_WINDOW = 1.0  # seconds for running requests after a file has changed
REPLACED = Stop("restart", delay=ANNOUNCE)
LONGEST_WAIT = 24 * 3600.0  # seconds; a selector can wait for at most about 24 days
# If the supervisor itself was paused for this many seconds, silence of workers proves nothing.
PAUSED = 2.0


class Supervisor:
    """Keeps the wanted number of workers running until it is told to stop.

    `reread` reads the configuration again for a rolling restart; without it the first
    configuration is kept. `launcher` starts processes; tests give one of their own.
    """

    def __init__(
        self,
        config: Config,
        notes: Sequence[str] = (),
        *,
        reread: Callable[[], Config] | None = None,
        launcher: Launcher | None = None,
    ) -> None:
        self._config = config
        self._proven = config  # the last configuration with which a worker became ready
        self._notes = notes
        self._reread = reread
        self._app: Any = config.app
        size, stuck = worker_count(config.workers), config.timeout_worker_stuck
        self._goal = Goal(size, in_place=config.reload, stuck_after=stuck)
        self._failures = Failures()
        self._generation = 0  # of the workers started from now on
        self._changed_at = 0.0
        self._started = False  # some worker has been ready
        self._settled = False  # all workers are as wanted, and that was announced
        # How workers are told to leave; until a stop begins, to make room for replacements.
        self._order = Stop("restart", RELOAD_WINDOW) if config.reload else REPLACED
        self._exit_code = 0
        self._refused: ConfigError | None = None  # an error that keeps every worker from starting
        self._selector = selectors.DefaultSelector()
        self._signals: SignalQueue
        self._service = Service(config)
        self._fleet = Fleet(self, self._selector, launcher or launch.Spawn())
        self._fleet.is_quiet = config.reload
        self._watcher: Watcher | None = None
        self._handover = Handover(self._service, self._selector, self._on_handed_over)

    def __repr__(self) -> str:
        return f"<Supervisor {self._goal} {self._fleet}>"

    # Running ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Supervise until told to stop; the exit code. Raises `StartupError`."""
        for note in self._notes:
            logger.warning("%s", note)
        set_process_title(f"asgiserver: supervisor [{self._config.app}]")
        self._signals = SignalQueue(_COMMANDS)
        try:
            self._selector.register(self._signals, selectors.EVENT_READ, self._on_signals)
            orders = (self.restart, self.terminate, self.set_log_level)
            self._service.open(Supervised(self._fleet, self._signals.wake, self.overview, *orders))
            self._fleet.sockets = self._service.sockets
            self._service.answer(self._selector, self._fleet.tell)
            workers = "1 worker" if self._goal.size == 1 else f"{self._goal.size} workers"
            logger.info("Supervisor started (pid %d), %s", os.getpid(), workers)
            launcher = self._fleet.launcher
            self._exit_code = run_once(self._config, launcher, self._selector, self._signals)
            if not self._exit_code:
                self._prepare()
                self._loop()
        finally:
            self._close()
        logger.info("Supervisor stopped, exit code %d", self._exit_code)
        if self._refused is not None:
            raise self._refused
        return self._exit_code

    def _prepare(self) -> None:
        config = self._config
        if config.preload and config.reload:
            logger.warning("preload has no effect: with reload each worker imports anew")
        elif config.preload:
            self._app = launch.preload(config)
            still = self._service.standing_still
            self._fleet.launcher = launch.Fork(self._in_child, work, still)
        if config.reload:
            self._watcher = Watcher(config, self._signals.wake)
            self._watcher.start()

    def _loop(self) -> None:
        woken = math.inf  # when the last wait ended
        while self._fleet.workers or not self._goal.stopping:
            now = time.monotonic()
            self._excuse_silence(woken, now)
            failures = self._failures
            goal = dataclasses.replace(
                self._goal, retry_at=failures.retry_at, careful=failures.in_row > 0
            )
            decided = plan(goal, [worker.view() for worker in self._fleet.workers], now)
            for action in decided.actions:
                if not isinstance(action, Spawn):
                    self._fleet.do(action, self._config, self._order, now)
                elif not self._goal.stopping:  # a failed spawn before this one may begin a stop
                    self._spawn(action, now)
            if not decided.actions:  # actions change what there is, so plan again before waiting
                woken = self._wait(min(decided.wake_at, self._chores(now)), now)

    def _spawn(self, action: Spawn, now: float) -> None:
        for worker in self._fleet.workers:
            if worker.pid == action.instead and worker.retire:
                logger.info("%s is replaced: %s", worker, worker.retire)
        shared = self._goal.size > 1
        self._fleet.spawn(action.slot, self._config, self._app, self._generation, shared, now)

    def _wait(self, until: float, now: float) -> float:
        """Wait for events until `until` at the latest, and handle them; the time of waking up."""
        timeout = CHILD_LOOK
        if until != math.inf:
            timeout = min(max(0.0, until - now), CHILD_LOOK or LONGEST_WAIT)
        events = self._selector.select(timeout)
        woken = time.monotonic()
        self._excuse_silence(until, woken)
        flush_log()
        for key, _ in events:
            key.data()
        self._fleet.bury()
        if os.getpid() == 1:
            reap_strangers({worker.pid for worker in self._fleet.workers})
        self._handover.check()
        self._service.take_orders()
        if self._watcher is not None and self._watcher.changed:
            self._on_change(self._watcher.take_changed())
        self._check_settled(woken)
        return woken

    def _excuse_silence(self, expected: float, now: float) -> None:
        """Blame no worker for its silence when this process, or the machine, was paused."""
        if now > expected + PAUSED:
            self._fleet.excuse(now)

    def _chores(self, now: float) -> float:
        """Do what is due by time alone; return when to come back."""
        if self._goal.stopping:  # a stop is bounded, so the service counts as alive
            return self._service.watchdog(now, alive=True)
        again = self._fleet.chores(now)
        return min(again, self._service.watchdog(now, bool(self._fleet.heard(now))))

    def _close(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
        self._handover.close()
        self._service.close()
        self._selector.close()
        self._signals.close()

    def _in_child(self) -> None:
        """Called in a forked worker: let go of what belongs to the supervisor."""
        self._signals.abandon()
        self._selector.close()
        self._service.abandon()
        self._fleet.abandon()

    # What workers do ---------------------------------------------------------------------------

    def worker_ready(self, worker: WorkerHandle, now: float) -> None:
        """See `fleet.Owner`."""
        self._started = True
        self._proven = self._config

    def worker_steady(self, worker: WorkerHandle, now: float) -> None:
        """See `fleet.Owner`."""
        served = now - worker.ready_at if worker.ready_at is not None else 0.0
        if served >= Failures.STEADY and worker.born > self._failures.last_at:
            self._failures.steady()

    def worker_died(self, worker: WorkerHandle, now: float) -> None:
        """See `fleet.Owner`."""
        young = worker.ready_at is not None and now - worker.ready_at < Failures.STEADY
        # SIGKILL comes from outside, an operator or the kernel: the application did not fail.
        if young and worker.process.exit_code != -KILL and not self._goal.stopping:
            self._failures.add(now, booted=True)
            self._give_up_if_hopeless(now)

    def worker_failed(self, worker: WorkerHandle | None, now: float) -> None:
        """See `fleet.Owner`."""
        if self._goal.stopping:
            return
        code, missed, told = ApplicationLoadError.exit_code, True, False
        if worker is not None:
            missed = all(other.slot != worker.slot for other in self._fleet.in_phase(Phase.READY))
            failure, told = worker.failure, worker.told_to_end
            code = failure.exit_code
            if code == ConfigError.exit_code and not self._started:
                self._refused = ConfigError(failure.text)  # raised by `run`
                self._halt(code)
                return
            log_failure(f"{worker} could not start: {failure.text}", failure.details)
        if self._config.reload and not told:
            self._wait_for_change()
        elif not self._started and not told:
            self._halt(code)
        elif worker is None or told or not self._give_up_restart(worker):
            self._failures.add(now, booted=False, counts=missed)
            self._give_up_if_hopeless(now)

    def _give_up_restart(self, worker: WorkerHandle) -> bool:
        """Keep the workers that serve when `worker`, their replacement, failed.

        False when `worker` was no replacement.
        """
        serving = self._fleet.in_phase(Phase.READY)
        if worker.generation != self._goal.generation or not any(
            other.generation < worker.generation for other in serving
        ):
            return False
        logger.error("Restart given up: the workers that were there go on serving")
        self._config = self._proven
        self._change_goal(generation=min(other.generation for other in serving))
        self._settled = True
        self._service.ready("restart given up")
        return True

    def _give_up_if_hopeless(self, now: float) -> None:
        if not self._failures.too_many(now):
            return
        if self._config.reload:
            self._wait_for_change()
            return
        logger.critical("%d workers failed within %.0f s", Failures.LIMIT, Failures.WINDOW)
        self._halt(WorkersFailed.exit_code)

    def _wait_for_change(self) -> None:
        logger.warning("Waiting for a file to change")
        self._change_goal(wait=True)

    def _check_settled(self, now: float) -> None:
        """Announce once that all workers are as wanted."""
        if self._settled or self._goal.stopping:
            return
        ready = self._fleet.in_phase(Phase.READY)
        current = {worker.slot for worker in ready if worker.generation >= self._goal.generation}
        if len(current) >= self._goal.size:
            self._settled = True
            self._fleet.is_quiet = False
            if self._goal.generation:
                logger.info("Restart complete after %.1f s", now - self._changed_at)
            self._service.ready(f"{self._goal.size} workers", self._goal.size)

    # What the supervisor is told -----------------------------------------------------------------

    def _on_signals(self) -> None:
        for number in self._signals.read():
            command = _COMMANDS[number]
            if command is not None:
                command(self)
            if self._goal.stopping and not (self._started or self._exit_code):
                self._exit_code = BROKEN_OFF + number

    def overview(self) -> Overview:
        """How this supervisor is now; any thread may ask."""
        goal = self._goal
        return Overview(self._config, goal.size, self._started, goal.stopping)

    def set_log_level(self, level: str) -> None:
        """Let the workers that are started from now on log at `level`."""
        self._config = dataclasses.replace(self._config, log_level=level)

    def _change_goal(self, **changes: Any) -> None:
        self._goal = dataclasses.replace(self._goal, **changes)

    def _stop(self, order: Stop) -> None:
        """Begin to stop; hurry when a stop has begun and `order` leaves no time."""
        self._order = order
        if not self._goal.stopping:
            logger.info("Stopping (%s)", order.reason)
            if order.accept:
                logger.info("Accepting connections for %g s more (--drain-delay)", order.accept)
            self._change_goal(stopping=True)
            self._fleet.is_quiet = True
            self._service.stopping()
        elif order.timeout == 0:
            for worker in self._fleet.in_phase(Phase.LEAVING):
                self._fleet.leave(worker, order, self._config, time.monotonic())

    def _halt(self, exit_code: int) -> None:
        """End because no worker can be started; requests that still run are not cut off."""
        self._exit_code = exit_code
        self._stop(Stop("failed", last=True))

    def terminate(self) -> None:
        """SIGTERM: drain and end."""
        window = RELOAD_WINDOW if self._config.reload else None
        accept = self._config.drain_delay
        self._stop(Stop("SIGTERM", window, ANNOUNCE if accept else 0.0, accept, last=True))

    def interrupt(self) -> None:
        """SIGINT: drain with little patience and end; the second SIGINT leaves no time."""
        window = min(TERMINAL_WINDOW, self._config.timeout_graceful_shutdown)
        self._stop(Stop("SIGINT", 0.0 if self._goal.stopping else window, last=True))

    def quit(self) -> None:
        """SIGQUIT: end without waiting for requests."""
        self._stop(Stop("SIGQUIT", 0.0))

    def restart(self) -> None:
        """SIGHUP: read the configuration again and replace all workers, one at a time.

        With --reload, SIGHUP from a terminal that was closed ends the server.
        """
        if self._goal.stopping:
            return
        if self._config.reload and self._signals.terminal.is_gone():
            self._stop(Stop("the terminal is gone", RELOAD_WINDOW, last=True))
            return
        self._service.reloading()
        try:
            if self._reread is not None:
                self._use(self._reread())
        except BaseException as exc:  # a log handler may raise anything; the service must go on
            text = str(exc) if isinstance(exc, ConfigError) else f"{type(exc).__name__}: {exc}"
            line = " ".join(text.split())
            logger.error("The configuration is kept as it was, no restart: %s", line)
            if self._settled:  # otherwise readiness is announced when all workers are ready
                self._service.ready("restart refused")
            return
        logger.info("Restarting %d workers one at a time", self._goal.size)
        self._renew()

    def _use(self, config: Config) -> None:
        names = [name for name, option in FIELDS.items() if option.info.needs_start]
        changed = [name for name in names if getattr(config, name) != getattr(self._config, name)]
        if changed:
            logger.warning("A changed %s needs a new start, or SIGUSR2", ", ".join(changed))
        if config.workers != self._config.workers:
            self._change_goal(size=worker_count(config.workers))
        self._change_goal(stuck_after=config.timeout_worker_stuck)
        self._config = config
        if not config.preload:
            self._app = config.app

    def _renew(self) -> None:
        """Declare all present workers outdated."""
        self._generation += 1
        self._changed_at = time.monotonic()
        self._settled = False
        self._fleet.is_quiet = self._config.reload
        self._failures = Failures()
        self._change_goal(generation=self._generation, wait=False)

    def scale_up(self) -> None:
        """SIGTTIN: one more worker."""
        self._scale(min(self._goal.size + 1, MOST_WORKERS))

    def scale_down(self) -> None:
        """SIGTTOU: one worker less, but never none."""
        self._scale(max(1, self._goal.size - 1))

    def _scale(self, size: int) -> None:
        logger.info("Scaling to %d worker%s", size, "s" if size > 1 else "")
        self._change_goal(size=size)

    def stacks(self) -> None:
        """SIGUSR1: log what all workers are doing."""
        self._fleet.log_doings()

    def _on_change(self, path: str) -> None:
        if self._goal.stopping:
            return
        logger.info("%s changed, reloading", short_path(path))
        self._renew()

    def upgrade(self) -> None:
        """SIGUSR2: start a new supervisor on the same sockets, and drain once it serves."""
        if not self._goal.stopping:
            self._handover.begin()

    def _on_handed_over(self) -> None:
        self._stop(dataclasses.replace(REPLACED, reason="handed over", last=True))


_COMMANDS: dict[signal.Signals, Callable[[Supervisor], None] | None] = by_name(
    {
        "SIGCHLD": None,  # it only ends the wait: every wake-up buries workers that have ended
        "SIGTERM": Supervisor.terminate,
        "SIGINT": Supervisor.interrupt,
        "SIGQUIT": Supervisor.quit,
        "SIGHUP": Supervisor.restart,
        "SIGTTIN": Supervisor.scale_up,
        "SIGTTOU": Supervisor.scale_down,
        "SIGUSR1": Supervisor.stacks,
        "SIGUSR2": Supervisor.upgrade,
        "SIGBREAK": Supervisor.terminate,  # the signal that a Windows program can send to another
    }
)
