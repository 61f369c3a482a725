"""States of a server, for tests of what is shown of them."""

from asgiserver.admin.source import ServerState, WorkerState
from asgiserver.metrics.figures import Snapshot
from asgiserver.metrics.histogram import BUCKETS


def worker(index=0, phase="ready", silence=0.4, **changes):
    given = {
        "index": index,
        "pid": 100 + index,
        "phase": phase,
        "age": 60.0,
        "silence": silence,
        "reason": "",
        "figures": {},
        "running": [],
    }
    return WorkerState(**{**given, **changes})


def server(*workers, **changes):
    given = {
        "wanted": len(workers),
        "started": True,
        "stopping": False,
        "stuck_after": 60.0,
        "replaces": True,
        "workers": list(workers),
        "gone": {},
        "restarts": {},
        "began": 1000.0,
    }
    return ServerState(**{**given, **changes})


def row(count, seconds, sent=0, received=0, bucket=1):
    numbers = [0.0] * (BUCKETS + 3)
    numbers[bucket] = count
    return [*numbers[:BUCKETS], seconds, sent, received]


def figures(**changes):
    return Snapshot(**changes).values()
