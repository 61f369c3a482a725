"""Whether this process is a worker, which never gets a supervisor, whatever code it imports."""

from __future__ import annotations

__all__ = ["be_worker", "is_worker"]

_worker = False


def be_worker() -> None:
    """From now on this process is a worker."""
    global _worker
    _worker = True


def is_worker() -> bool:
    """Whether this process is a worker."""
    return _worker
