"""What this process is doing, as one object that can be written as JSON.

It may be called in any thread, and needs no turn of an event loop. Whatever comes from the wire is
escaped.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from asgiserver.asgi.session import Session
from asgiserver.log.escape import client_text, escape
from asgiserver.watch import tasks
from asgiserver.watch.frames import best, serves, stack_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from asgiserver.context import ServerContext
    from asgiserver.watch.frames import Place, Stack

__all__ = ["path_of", "requests", "session_in", "take", "where"]

MAX_REQUESTS = 500
"""Requests that are listed, the oldest ones; `requests_left_out` counts the others."""

MAX_TASKS = 500
"""Tasks of no request that are listed; `tasks_left_out` counts the others."""

MAX_TASKS_OF_REQUEST = 20
"""Tasks of one request that are listed."""

MAX_THREADS = 200

_RUN = Session.run.__code__


def take(servers: Iterable[tuple[ServerContext, int, float]], leave_out: int = 0) -> dict[str, Any]:
    """All that runs or waits in this process.

    `servers` has for each server its context, the ident of its loop's thread, and for how many
    seconds its loop has been blocked. `leave_out` is the ident of a thread that is not listed.
    """
    frames = sys._current_frames()
    return {
        "pid": os.getpid(),
        "worker": os.environ.get("ASGISERVER_WORKER_INDEX"),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "servers": [
            _server(context, frames.get(thread), blocked) for context, thread, blocked in servers
        ],
        "threads": _threads(frames, leave_out),
    }


def _server(context: ServerContext, frame: FrameType | None, blocked: float) -> dict[str, Any]:
    serves(context.config.app)
    listed, others = _requests(context, frame)
    return {
        "blocked": round(blocked, 3),
        "draining": context.draining,
        "connections": dict(
            Counter(connection.waiting.name for connection in list(context.connections))
        ),
        "requests": listed[:MAX_REQUESTS],
        "requests_left_out": max(0, len(listed) - MAX_REQUESTS),
        "tasks": [_task(task) for task in others[:MAX_TASKS]],
        "tasks_left_out": max(0, len(others) - MAX_TASKS),
    }


def requests(context: ServerContext) -> list[dict[str, Any]]:
    """The requests and WebSockets that run, the oldest first, without their tasks."""
    return [_request(session) for session in _by_age(context.running.copy().values())]


def _requests(
    context: ServerContext, frame: FrameType | None
) -> tuple[list[dict[str, Any]], list[tasks.Task]]:
    """The requests with their tasks, and the tasks of no request."""
    running = context.running.copy()
    groups, others = tasks.by_request(_all_tasks(context.loop), running)
    stack = stack_of(frame)
    current = session_in(stack)
    if current is not None and current not in groups:  # it has not waited for anything yet
        groups[current] = []
    listed = []
    for session in _by_age(groups):
        entry = _request(session)
        views = [tasks.view(task) for task in groups[session][:MAX_TASKS_OF_REQUEST]]
        # The tasks that a request has made come after its own, which waits for them.
        places = [place for view in reversed(views) for place in view.places]
        if session is current:
            entry["on_stack"] = True
            places = [place for _, place in stack]
        place = best(places)
        entry["where"] = None if place is None else str(place)
        entry["tasks"] = [_shown(view) for view in views]
        listed.append(entry)
    return listed, others


def _by_age(sessions: Iterable[Session]) -> list[Session]:
    return sorted(sessions, key=lambda session: session.begun)


def _request(session: Session) -> dict[str, Any]:
    return {
        "method": "WebSocket" if session.is_websocket else session.request.method,
        "path": path_of(session),
        "client": client_text(session.scope["client"]),
        "age": round(session.age, 3),
        "state": session.state_name,
        "waits_for": session.waits_for,
    }


def path_of(session: Session) -> str:
    """The path of a request as it was received, without its query, which may hold secrets."""
    return escape(session.request.target.partition(b"?")[0])


def session_in(stack: Stack) -> Session | None:
    """The session that runs in a thread whose stack this is."""
    for frame, _ in stack:
        if frame.f_code is _RUN:
            found = frame.f_locals.get("self")
            return found if isinstance(found, Session) else None
    return None


def where(context: ServerContext, sessions: Iterable[Session]) -> dict[Session, Place | None]:
    """The place at which each of these requests waits."""
    serves(context.config.app)
    groups, _ = tasks.by_request(_all_tasks(context.loop), context.running.copy())
    found = {}
    for session in sessions:
        views = [tasks.view(task) for task in groups.get(session, ())[:MAX_TASKS_OF_REQUEST]]
        found[session] = best(place for view in reversed(views) for place in view.places)
    return found


def _all_tasks(loop: asyncio.AbstractEventLoop) -> list[tasks.Task]:
    """All unfinished tasks; none if they change too fast to be listed from another thread."""
    try:
        found = asyncio.all_tasks(loop)
    except RuntimeError:
        return []
    return sorted(found, key=lambda task: task.get_name())


def _task(task: tasks.Task) -> dict[str, Any]:
    return _shown(tasks.view(task))


def _shown(view: tasks.TaskView) -> dict[str, Any]:
    stack = [str(place) for place in view.places]
    return {"name": view.name, "waits_for": view.waits_for, "stack": stack}


def _threads(frames: dict[int, FrameType], leave_out: int) -> list[dict[str, Any]]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return [
        {
            "name": names.get(ident, f"thread {ident}"),
            "stack": [str(place) for _, place in stack_of(frame)],
        }
        for ident, frame in list(frames.items())[:MAX_THREADS]
        if ident != leave_out
    ]
