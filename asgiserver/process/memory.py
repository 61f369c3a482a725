"""How much memory a process has, as the kernel tells it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

__all__ = ["own_and_shared_bytes", "resident_bytes"]

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_SMAPS = re.compile(r"^(Private|Shared)_(?:Clean|Dirty):\s+(\d+) kB", re.MULTILINE)


def resident_bytes() -> int:
    """Resident memory of this process; its peak where the kernel tells no more, 0 on Windows."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        if sys.platform == "win32":
            return 0
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def own_and_shared_bytes(pid: int) -> tuple[int, int] | None:
    """Resident memory of a process that is its own, and that it shares; None when unknown."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except OSError:
        return None
    sizes = {"Private": 0, "Shared": 0}
    for kind, kilobytes in _SMAPS.findall(text):
        sizes[kind] += int(kilobytes) * 1024
    return sizes["Private"], sizes["Shared"]
