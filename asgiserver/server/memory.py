"""How much memory a process has, according to the kernel."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

__all__ = ["own_and_shared_bytes", "resident_bytes", "size_text"]

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_SMAPS = re.compile(r"^(Private|Shared)_(?:Clean|Dirty):\s+(\d+) kB", re.MULTILINE)


def resident_bytes() -> int:
    """Bytes of resident memory of this process; without /proc their peak, and 0 on Windows."""
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
    """Bytes of resident memory that only process `pid` has, and that it shares; None if unknown."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except OSError:
        return None
    sizes = {"Private": 0, "Shared": 0}
    for kind, kilobytes in _SMAPS.findall(text):
        sizes[kind] += int(kilobytes) * 1024
    return sizes["Private"], sizes["Shared"]


def size_text(size: int) -> str:
    """A number of bytes in a unit for people, such as ``1.5 MiB``."""
    return f"{size / (1 << 20):.1f} MiB"
