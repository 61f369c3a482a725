"""`plan`: by table, and by a simulation that hypothesis drives."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asgiserver.process.plan import (
    STACKS_WAIT,
    AskStacks,
    Goal,
    Kill,
    Leave,
    Phase,
    Spawn,
    Terminate,
    View,
    plan,
)

BOOTING, READY, LEAVING = Phase.BOOTING, Phase.READY, Phase.LEAVING


def worker(pid, slot, phase=READY, generation=0, **rest):
    return View(pid, slot, generation, phase, **rest)


TABLE = {
    "nothing there": (Goal(2), [], [Spawn(0), Spawn(1)]),
    "all well": (Goal(2), [worker(1, 0), worker(2, 1)], []),
    "one died": (Goal(2), [worker(2, 1)], [Spawn(0)]),
    "back-off": (Goal(2, retry_at=101), [worker(2, 1)], []),
    "back-off over": (Goal(2, retry_at=100), [worker(2, 1)], [Spawn(0)]),
    "careful: one at a time": (Goal(3, careful=True), [], [Spawn(0)]),
    "careful: one boots": (Goal(3, careful=True), [worker(1, 0, BOOTING)], []),
    "waiting for a change": (Goal(1, wait=True), [], []),
    # Rolling restart.
    "outdated: one extra": (Goal(2, 1), [worker(1, 0), worker(2, 1)], [Spawn(0, instead=1)]),
    "replacement boots": (Goal(2, 1), [worker(1, 0), worker(2, 1), worker(3, 0, BOOTING, 1)], []),
    "replacement is ready": (
        Goal(2, 1),
        [worker(1, 0), worker(2, 1), worker(3, 0, READY, 1)],
        [Leave(1, "restart")],
    ),
    "the old one still drains": (
        Goal(2, 1),
        [worker(1, 0, LEAVING), worker(2, 1), worker(3, 0, READY, 1)],
        [],
    ),
    "then the next": (Goal(2, 1), [worker(2, 1), worker(3, 0, READY, 1)], [Spawn(1, instead=2)]),
    "outdated and not even ready": (
        Goal(1, 1),
        [worker(1, 0, BOOTING)],
        [Leave(1, "restart"), Spawn(0)],
    ),
    "a dead slot comes first": (Goal(2, 1), [worker(2, 1)], [Spawn(0)]),
    "not while another boots": (Goal(2, 1), [worker(1, 0, BOOTING, 1), worker(2, 1)], []),
    "a replacement backs off, too": (Goal(2, 1, retry_at=101), [worker(1, 0), worker(2, 1)], []),
    "with one worker too": (Goal(1, 1), [worker(1, 0)], [Spawn(0, instead=1)]),
    # Recycling.
    "recycled": (Goal(2), [worker(1, 0), worker(2, 1, retire="old")], [Spawn(1, instead=2)]),
    "recycled by its replacement": (
        Goal(1),
        [worker(1, 0, retire="it is old"), worker(2, 0)],
        [Leave(1, "it is old")],
    ),
    "never two at once": (
        Goal(2),
        [worker(1, 0, retire="old"), worker(2, 1, retire="old")],
        [Spawn(0, instead=1)],
    ),
    # Development reload.
    "in place: the old one goes first": (
        Goal(1, 1, in_place=True),
        [worker(1, 0)],
        [Leave(1, "restart")],
    ),
    "in place: it still drains": (Goal(1, 1, in_place=True), [worker(1, 0, LEAVING)], []),
    "in place: gone": (Goal(1, 1, in_place=True), [], [Spawn(0)]),
    # Scaling.
    "one more": (Goal(3), [worker(1, 0), worker(2, 1)], [Spawn(2)]),
    "one less": (Goal(1), [worker(1, 0), worker(2, 1)], [Leave(2, "scale down")]),
    "one less, but the other cannot serve": (Goal(1), [worker(1, 0, BOOTING), worker(2, 1)], []),
    # Stopping.
    "stop": (
        Goal(2, stopping=True),
        [worker(1, 0), worker(2, 1, BOOTING)],
        [Leave(1, "stop"), Leave(2, "stop")],
    ),
    "stopping": (Goal(2, stopping=True), [worker(1, 0, LEAVING)], []),
    "late": (Goal(1), [worker(1, 0, LEAVING, kill_at=100), worker(2, 0)], [Kill(1)]),
    "killed once": (Goal(1), [worker(1, 0, LEAVING, kill_at=9, killed=True), worker(2, 0)], []),
    # Blocked loops.
    "silent": (Goal(1, stuck_after=60), [worker(1, 0, beat=40)], [AskStacks(1)]),
    "silent, not for long": (Goal(1, stuck_after=60), [worker(1, 0, beat=41)], []),
    "silent, writing": (Goal(1, stuck_after=60), [worker(1, 0, beat=1, stacks_at=99.5)], []),
    "silent, still": (
        Goal(1, stuck_after=60),
        [worker(1, 0, beat=1, stacks_at=99)],
        [Terminate(1), Spawn(0)],
    ),
    "a start is never too long": (Goal(1, stuck_after=60), [worker(1, 0, BOOTING, beat=1)], []),
}


@pytest.mark.parametrize(("goal", "workers", "actions"), TABLE.values(), ids=TABLE)
def test_table(goal, workers, actions):
    assert plan(goal, workers, 100.0).actions == actions


def test_wakes_for_what_is_due_first():
    workers = [worker(1, 0, beat=99), worker(2, 1, beat=98), worker(3, 0, LEAVING, kill_at=130)]
    assert plan(Goal(2, stuck_after=60), workers, 100.0).wake_at == 130
    assert plan(Goal(2, stuck_after=10), workers, 100.0).wake_at == 108
    assert plan(Goal(2), workers[:2], 100.0).wake_at == math.inf
    assert plan(Goal(1, retry_at=105), [], 100.0).wake_at == 105
    assert plan(Goal(1, 1, retry_at=105), [worker(1, 0)], 100.0).wake_at == 105
    silent = [worker(1, 0, beat=1, stacks_at=100.0)]
    assert plan(Goal(1, stuck_after=10), silent, 100.0).wake_at == 100 + STACKS_WAIT


@settings(max_examples=120, stateful_step_count=40, deadline=None)
class Simulation(RuleBasedStateMachine):
    """Workers that boot, fail, die, fall silent and end as they please."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.goal = Goal(2, stuck_after=60.0)
        self.generation = 0
        self.workers: list[View] = []
        self.pids = iter(range(1, 100_000))
        self.settle()

    # The world executes plans as the supervisor does.

    def settle(self):
        for _ in range(50):
            decided = plan(self.goal, self.workers, self.now)
            assert decided.wake_at > self.now
            if not decided.actions:
                return
            for action in decided.actions:
                self.execute(action)
        pytest.fail(f"the plan does not come to rest: {decided}")

    def execute(self, action):
        if isinstance(action, Spawn):
            self.check_spawn(action)
            pid = next(self.pids)
            self.workers.append(View(pid, action.slot, self.generation, BOOTING, beat=self.now))
            return
        index = next(i for i, w in enumerate(self.workers) if w.pid == action.pid)
        old = self.workers[index]
        match action:
            case Leave():
                self.check_leave(old)
                change = {"phase": LEAVING, "kill_at": self.now + 30}
            case AskStacks():
                assert old.stacks_at is None
                change = {"stacks_at": self.now}
            case Terminate():
                assert self.now - old.beat >= 60
                change = {"phase": LEAVING, "kill_at": self.now + 5}
            case Kill():
                assert old.phase is LEAVING
                assert not old.killed
                assert self.now >= old.kill_at
                change = {"killed": True}
        self.workers[index] = dataclasses.replace(old, **change)

    def check_spawn(self, action):
        assert not self.goal.stopping
        assert not self.goal.wait
        assert self.now >= self.goal.retry_at
        assert action.slot < self.goal.size
        if action.instead:
            # One process more than wanted, and no more.
            assert len(self.workers) == self.goal.size
        else:
            assert not [w for w in self.staying() if w.slot == action.slot]

    def check_leave(self, old):
        if self.goal.stopping or old.phase is BOOTING:
            return
        ready = [w for w in self.staying() if w.phase is READY and w.pid != old.pid]
        if old.slot < self.goal.size:
            # Never the last good one for a replacement that may fail.
            assert [w for w in ready if w.slot == old.slot and w.pid > old.pid]
        else:
            assert {w.slot for w in ready} >= set(range(self.goal.size))

    def staying(self):
        return [w for w in self.workers if w.phase is not LEAVING]

    def pick(self, data, phase):
        candidates = [w for w in self.workers if w.phase is phase]
        return data.draw(st.sampled_from(candidates)) if candidates else None

    def replace(self, old, **change):
        index = self.workers.index(old)
        self.workers[index] = dataclasses.replace(old, **change)
        self.settle()

    def remove(self, old):
        if old is not None:
            self.workers.remove(old)
            self.settle()

    # What may happen.

    @rule(data=st.data())
    def gets_ready(self, data):
        if (old := self.pick(data, BOOTING)) is not None:
            self.replace(old, phase=READY, beat=self.now)

    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.5, 4.0]))
    def fails_to_boot(self, data, delay):
        if (old := self.pick(data, BOOTING)) is not None:
            self.goal = dataclasses.replace(self.goal, retry_at=self.now + delay, careful=True)
            self.remove(old)

    @rule(data=st.data())
    def dies(self, data):
        self.remove(self.pick(data, READY))

    @rule(data=st.data())
    def ends(self, data):
        self.remove(self.pick(data, LEAVING))

    @rule(data=st.data())
    def grows_old(self, data):
        if (old := self.pick(data, READY)) is not None:
            self.replace(old, retire="old")

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0, 59.0]), silent=st.booleans())
    def time_passes(self, seconds, silent):
        self.now += seconds
        if not silent:
            self.workers = [
                dataclasses.replace(w, beat=self.now, stacks_at=None) if w.phase is READY else w
                for w in self.workers
            ]
        self.settle()

    @rule(size=st.integers(1, 4))
    def scale(self, size):
        self.goal = dataclasses.replace(self.goal, size=size)
        self.settle()

    @rule()
    def restart(self):
        self.generation += 1
        self.goal = dataclasses.replace(self.goal, generation=self.generation)
        self.settle()

    @precondition(lambda self: self.staying())
    @rule()
    def give_up_restart(self):
        oldest = min(w.generation for w in self.staying())
        self.goal = dataclasses.replace(self.goal, generation=oldest)
        self.settle()

    @invariant()
    def at_most_one_replacement(self):
        slots = [w.slot for w in self.staying()]
        doubled = [slot for slot in set(slots) if slots.count(slot) > 1]
        assert len(doubled) <= 1
        assert all(slots.count(slot) == 2 for slot in doubled)

    def teardown(self):
        """When nothing goes wrong any more it ends as wanted, in a few steps for each worker."""
        for _ in range(100):
            self.now = max(self.now, self.goal.retry_at) + 1
            self.workers = [
                dataclasses.replace(
                    w, phase=READY if w.phase is BOOTING else w.phase, beat=self.now
                )
                for w in self.workers
                if w.phase is not LEAVING
            ]
            self.settle()
        assert sorted(w.slot for w in self.workers) == list(range(self.goal.size))
        assert all(w.phase is READY for w in self.workers)
        assert all(w.generation >= self.goal.generation for w in self.workers)
        assert not [w for w in self.workers if w.retire]


TestSimulation = Simulation.TestCase


def test_in_place_never_runs_two_in_a_slot():
    goal = Goal(1, 1, in_place=True)
    old = worker(1, 0)
    assert plan(goal, [old], 0.0).actions == [Leave(1, "restart")]
    leaving = dataclasses.replace(old, phase=LEAVING)
    assert plan(goal, [leaving], 0.0).actions == []
    assert plan(goal, [], 0.0).actions == [Spawn(0)]
