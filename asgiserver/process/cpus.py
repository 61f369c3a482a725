"""How many workers ``--workers auto`` means: the CPUs that this process may really use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from asgiserver.config.fields import MOST_WORKERS

__all__ = ["usable_cpus", "worker_count"]


def worker_count(workers: int | str) -> int:
    """The number of workers that the option ``workers`` means."""
    return workers if isinstance(workers, int) else min(usable_cpus(), MOST_WORKERS)


def usable_cpus(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs by affinity and by the control group's quota, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _quota(cgroups)
    return max(1, min(count, math.ceil(quota) if quota else count))


def _quota(cgroups: Path) -> float | None:
    """The number of CPUs that the control group grants, by version 2 or 1; None without a limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((cgroups / name).read_text("ascii") for name in names).split()
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):  # the file does not exist or says "max": no limit
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None
