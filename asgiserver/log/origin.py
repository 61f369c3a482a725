"""Where a log line comes from: the worker of this process, and the request of this task."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgiserver.log.record import RequestDetails

__all__ = ["current_request", "request_id", "set_worker", "worker", "worker_label"]

request_id: ContextVar[str] = ContextVar("asgiserver.request_id", default="")
"""The id of the request for which the current task runs; empty without ``--request-id``."""

current_request: ContextVar[RequestDetails | None] = ContextVar("asgiserver.request", default=None)
"""What is known of that request, where somebody asked for it."""

_worker: int | None = None
_label = ""


def set_worker(index: int, numbered: bool) -> None:
    """This process is the worker `index`; text lines name it when `numbered`."""
    global _worker, _label
    _worker = index
    _label = f"[{index}] " if numbered else ""


def worker() -> int | None:
    """The index of the worker that this process is; None for any other process."""
    return _worker


def worker_label() -> str:
    """What text lines of this process begin with: ``[1] `` in one of several workers."""
    return _label
