"""What to do next with the workers: a pure function of the workers that are wanted and present.

This module knows no process, no pipe and no clock: it gets `now`, and returns actions.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AskStacks",
    "Goal",
    "Kill",
    "Leave",
    "Phase",
    "Plan",
    "Spawn",
    "Terminate",
    "View",
    "plan",
]

# A stuck worker has this long (seconds) to write its stacks before it is told to end.
STACKS_WAIT = 1.0


class Phase(enum.Enum):
    """Where a worker is in its life."""

    BOOTING = "booting"  # imports the application, runs its lifespan start-up
    READY = "ready"  # accepts connections
    LEAVING = "leaving"  # was told to end: drains, or is about to be killed


@dataclass(frozen=True, slots=True)
class View:
    """What `plan` knows of one worker. Times are seconds of one monotonic clock."""

    pid: int
    slot: int
    generation: int
    phase: Phase
    beat: float = 0.0  # last sign of life of its event loop
    retire: str = ""  # why it is to be recycled
    stacks_at: float | None = None  # when its stacks were asked for, in this silence
    kill_at: float = math.inf  # LEAVING: when patience ends
    killed: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of the workers.

    Workers below `generation` are to be replaced. After a failed start, no worker is started before
    `retry_at`, and while `careful` only one boots at a time. With `wait` none is started: during
    development a broken application waits for the next change of a file. With `in_place` the old
    worker ends before its replacement starts, as with --reload.
    """

    size: int
    generation: int = 0
    stopping: bool = False
    retry_at: float = 0.0
    careful: bool = False
    wait: bool = False
    in_place: bool = False
    stuck_after: float = math.inf


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker in a slot; `instead` is the pid it will replace, 0 for an empty slot."""

    slot: int
    instead: int = 0


@dataclass(frozen=True, slots=True)
class Leave:
    """Tell a worker to drain and end."""

    pid: int
    reason: str


@dataclass(frozen=True, slots=True)
class AskStacks:
    """Ask a silent worker what it is doing."""

    pid: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Give up a worker whose loop is stuck: send SIGTERM now, and SIGKILL soon."""

    pid: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Send SIGKILL to a worker that did not end in time."""

    pid: int


Action = Spawn | Leave | AskStacks | Terminate | Kill


@dataclass(slots=True)
class Plan:
    """Actions in order, and the moment at which to plan again even if nothing happens."""

    actions: list[Action] = field(default_factory=list)
    wake_at: float = math.inf

    def wake(self, at: float) -> None:
        """Plan again at `at`, or earlier."""
        self.wake_at = min(self.wake_at, at)


def plan(goal: Goal, workers: Sequence[View], now: float) -> Plan:
    """Decide what leads from `workers`, in the order in which they were started, to `goal`."""
    result = Plan()
    staying = _judge(goal, workers, now, result)
    if goal.stopping:
        result.actions += [Leave(worker.pid, "stop") for worker in staying]
        return result
    slots: dict[int, list[View]] = {slot: [] for slot in range(goal.size)}
    surplus: list[View] = []
    for worker in staying:
        slots.get(worker.slot, surplus).append(worker)
    for members in slots.values():
        _settle(goal, members, result)
    _scale_down(slots, surplus, result)
    _fill(goal, slots, workers, now, result)
    if len(workers) == goal.size:
        # At most one process more than wanted: the next replacement starts only when the worker
        # that the last one replaced is gone.
        _replace_one(goal, slots, now, result)
    return result


def _judge(goal: Goal, workers: Sequence[View], now: float, result: Plan) -> list[View]:
    """Deal with workers that are late or silent; return the workers that stay."""
    staying = []
    for worker in workers:
        if worker.phase is Phase.LEAVING:
            if worker.killed:
                continue
            if worker.kill_at <= now:
                result.actions.append(Kill(worker.pid))
            else:
                result.wake(worker.kill_at)
        elif worker.phase is Phase.BOOTING or now < worker.beat + goal.stuck_after:
            # Start-up never counts as silence, however long it takes.
            if worker.phase is Phase.READY:
                result.wake(worker.beat + goal.stuck_after)
            staying.append(worker)
        elif worker.stacks_at is None:
            result.actions.append(AskStacks(worker.pid))
            result.wake(now + STACKS_WAIT)
            staying.append(worker)
        elif now < worker.stacks_at + STACKS_WAIT:
            result.wake(worker.stacks_at + STACKS_WAIT)
            staying.append(worker)
        else:
            result.actions.append(Terminate(worker.pid))
    return staying


def _settle(goal: Goal, members: list[View], result: Plan) -> None:
    """Let go of the workers of one slot that are no longer needed."""
    for worker in list(members):
        newer = members[members.index(worker) + 1 :]
        outdated = worker.generation < goal.generation
        if any(other.phase is Phase.READY for other in newer):
            reason = worker.retire or "restart"
        elif outdated and (goal.in_place or worker.phase is Phase.BOOTING):
            # The worker does not serve yet, or must not serve any longer.
            reason = "restart"
        else:
            continue
        members.remove(worker)
        result.actions.append(Leave(worker.pid, reason))


def _scale_down(slots: dict[int, list[View]], surplus: list[View], result: Plan) -> None:
    """Let go of the slots above the wanted number, once those below can serve."""
    can_serve = all(
        any(worker.phase is Phase.READY for worker in members) for members in slots.values()
    )
    for worker in surplus:
        if can_serve or worker.phase is Phase.BOOTING:
            result.actions.append(Leave(worker.pid, "scale down"))


def _fill(
    goal: Goal, slots: dict[int, list[View]], workers: Sequence[View], now: float, result: Plan
) -> None:
    """Start the workers that are missing."""
    empty = [slot for slot, members in slots.items() if not members]
    if goal.in_place:
        occupied = {worker.slot for worker in workers}
        empty = [slot for slot in empty if slot not in occupied]
    if goal.wait or not empty:
        return
    if now < goal.retry_at:
        result.wake(goal.retry_at)
        return
    if goal.careful:
        booting = any(
            worker.phase is Phase.BOOTING for members in slots.values() for worker in members
        )
        empty = [] if booting else empty[:1]
    result.actions += [Spawn(slot) for slot in empty]


def _replace_one(goal: Goal, slots: dict[int, list[View]], now: float, result: Plan) -> None:
    """Start one replacement if every slot has exactly one ready worker, and one is outdated."""
    current = [members[0] for members in slots.values() if len(members) == 1]
    if len(current) < goal.size or any(worker.phase is not Phase.READY for worker in current):
        return
    outdated = [w for w in current if w.generation < goal.generation or w.retire]
    if not outdated or goal.wait:
        return
    if now < goal.retry_at:
        result.wake(goal.retry_at)
        return
    oldest = min(outdated, key=lambda worker: worker.generation)
    result.actions.append(Spawn(oldest.slot, instead=oldest.pid))
