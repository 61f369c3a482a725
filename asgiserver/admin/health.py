"""Whether a server lives, has started and is ready: pure functions of its state.

=========  =======================================================================================
Question   No, when
=========  =======================================================================================
live       no event loop turns, or one is wedged and nobody will replace its worker
started    no worker has been ready yet
ready      the server starts or stops, or no worker is ready whose loop turns
=========  =======================================================================================

A loop that is busy is late; a wedged one has not turned for `wedged_after` seconds. The supervisor
replaces one wedged worker among several, so an orchestrator need not end the others with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asgiserver.admin.source import ServerState, WorkerState

__all__ = ["STALLED", "Verdict", "is_stalled", "live", "ready", "started"]

STALLED = 2.5
"""Seconds of silence after which a worker does not count as ready. A loop shows a sign of life each
second, so one that is only busy is at most a little more than a second silent."""

WEDGED = 10.0
"""Seconds of silence after which a loop counts as wedged, unless --timeout-worker-stuck is less."""

OVERDUE = 10.0
"""Seconds that the replacement of a stuck worker may take."""


class Verdict(NamedTuple):
    """An answer with its reason; `lines` are about each worker, for ``?verbose``."""

    passed: bool
    reason: str
    lines: list[str]

    def text(self, verbose: bool) -> str:
        """The body of the answer."""
        if not verbose:
            return f"{self.reason}\n"
        mark = "+" if self.passed else "-"
        return "".join(f"{line}\n" for line in [f"[{mark}] {self.reason}", *self.lines])


def is_stalled(worker: WorkerState) -> bool:
    """Whether a worker that serves has not turned its loop for a while."""
    return worker.phase == "ready" and worker.silence >= STALLED


def wedged_after(state: ServerState) -> float:
    """Seconds of silence after which a loop counts as wedged."""
    return max(STALLED, min(WEDGED, state.stuck_after))


def live(state: ServerState) -> Verdict:
    """Whether the server lives; if not, only a new start helps."""
    limit = wedged_after(state)
    serving = [worker for worker in state.workers if worker.phase == "ready"]
    wedged = [worker for worker in serving if worker.silence >= limit]
    overdue = wedged
    if state.replaces and state.stuck_after < float("inf"):
        overdue = [worker for worker in wedged if worker.silence >= state.stuck_after + OVERDUE]
    reason = ""
    if wedged and len(wedged) == len(serving):
        reason = "no event loop turns"
    elif overdue:
        reason = f"the event loop of worker {overdue[0].index} does not turn, and stays"
    return Verdict(not reason, reason or "live", _lines(state))


def started(state: ServerState) -> Verdict:
    """Whether the start-up is complete."""
    return Verdict(state.started, "started" if state.started else "starting", _lines(state))


def ready(state: ServerState) -> Verdict:
    """Whether requests are served now."""
    serving = [worker for worker in state.workers if worker.phase == "ready"]
    reason = ""
    if state.stopping:
        reason = "stopping"
    elif not state.started:
        reason = "starting"
    elif not serving:
        reason = "no worker is ready"
    elif all(is_stalled(worker) for worker in serving):
        reason = "no worker's event loop turns"
    return Verdict(not reason, reason or "ready", _lines(state))


def _lines(state: ServerState) -> list[str]:
    return [_line(worker) for worker in state.workers]


def _line(worker: WorkerState) -> str:
    name = f"worker {worker.index} (pid {worker.pid})"
    if is_stalled(worker):
        return f"[-] {name}: its event loop has not turned for {worker.silence:.1f} s"
    if worker.phase == "ready":
        return f"[+] {name}: ready"
    why = f": {worker.reason}" if worker.reason else ""
    return f"[-] {name}: {worker.phase}{why}"
