"""Walks tasks: what each waits for, and to which request it belongs.

The walk has limits on depth and number, because applications make cycles (two tasks that wait for
each other) and diamonds (one future that many gather). It runs in any thread, beside the loop that
changes the tasks meanwhile, so whatever is not as expected ends the walk of that task only.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from asgiserver.watch.frames import Place, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asgiserver.asgi.session import Session

__all__ = ["TaskView", "by_request", "chain", "view"]

MAX_DEPTH = 30
"""Coroutines in an await chain that are shown; recursive coroutines may be thousands deep."""

MAX_STEPS = 200
"""Tasks and futures that are looked at to find the request to which one task belongs."""

Task = asyncio.Task[Any]


class TaskView(NamedTuple):
    """A task at one moment: where it waits, the innermost coroutine first, and for what."""

    name: str
    places: list[Place]
    waits_for: str


def view(task: Task) -> TaskView:
    """What `task` is doing."""
    try:
        waited = getattr(task, "_fut_waiter", None)
        return TaskView(task.get_name(), chain(task), _shown_waiter(waited))
    except Exception as exc:  # the loop goes on meanwhile, and a coroutine may be any object
        return TaskView(task.get_name(), [], f"not known: {type(exc).__name__}")


def chain(task: Task) -> list[Place]:
    """Where the coroutines of a task wait, the innermost first; at most `MAX_DEPTH` of them."""
    places: list[Place] = []
    awaited: Any = task.get_coro()
    for _ in range(MAX_DEPTH * 10):
        code, frame, inner = _parts(awaited)
        if code is None:
            break
        if frame is not None:
            module = str(frame.f_globals.get("__name__", ""))
            places.append(place_of(code, frame.f_lineno, module))
        awaited = inner
    places.reverse()
    return places[:MAX_DEPTH]


def _parts(awaited: Any) -> tuple[Any, Any, Any]:
    """Code, frame and what is awaited by a coroutine, a generator, or an async generator."""
    for prefix, inner in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
        code = getattr(awaited, f"{prefix}_code", None)
        if code is not None:
            return code, getattr(awaited, f"{prefix}_frame", None), getattr(awaited, inner, None)
    # `async for` and `anext` await an object without attributes, which refers to its generator.
    return _generator_of(awaited)


_ASYNC_GENERATOR_STEPS = frozenset({"async_generator_asend", "async_generator_athrow"})


def _generator_of(awaited: Any) -> tuple[Any, Any, Any]:
    if type(awaited).__name__ in _ASYNC_GENERATOR_STEPS:
        import gc

        for referred in gc.get_referents(awaited):
            if hasattr(referred, "ag_code"):
                return referred.ag_code, referred.ag_frame, referred.ag_await
    return None, None, None


def _shown_waiter(waited: Any) -> str:
    if waited is None:
        return ""
    if isinstance(waited, asyncio.Task):
        return f"task {waited.get_name()}"
    return type(waited).__name__.lstrip("_")


# To which request a task belongs --------------------------------------------------------------


def by_request(
    tasks: list[Task], running: Mapping[Task, Session]
) -> tuple[dict[Session, list[Task]], list[Task]]:
    """The tasks of each request, its own first, and the tasks that belong to none.

    A task belongs to the request that waits for it: directly, in `gather`, `wait`, `shield`, or in
    a task group of asyncio or anyio.
    """
    groups: dict[Session, list[Task]] = {session: [task] for task, session in running.items()}
    others: list[Task] = []
    for task in tasks:
        if task in running:
            continue
        root = root_of(task, running)
        if root is None:
            others.append(task)
        else:
            groups[running[root]].append(task)
    return groups, others


def root_of(task: Task, running: Mapping[Task, Session]) -> Task | None:
    """The task of the request for which `task` works; None when no request waits for it."""
    seen: set[int] = set()
    todo: list[Any] = [task]
    while todo and len(seen) < MAX_STEPS:
        future = todo.pop()
        if id(future) in seen:
            continue
        seen.add(id(future))
        if future in running:
            return future  # type: ignore[no-any-return] # it is a key
        try:
            todo += _waiting_for(future)
        except Exception:  # a callback may be any object, whose attributes may raise
            continue
    return None


def _waiting_for(future: Any) -> Iterator[Any]:
    """The tasks and futures that go on when `future` is done, as its callbacks tell."""
    for callback, _ in list(getattr(future, "_callbacks", None) or ()):
        for owner in _owners(callback):
            # `isinstance` would ask a proxy of the application for its `__class__`.
            if issubclass(type(owner), asyncio.Future):
                yield owner
            elif type(owner).__name__ == "TaskGroup":
                yield from _parents(owner)


def _owners(callback: Any) -> Iterator[Any]:
    """The objects that a callback was made with: bound, in its closure, or as arguments."""
    if type(callback) is functools.partial:
        yield from callback.args
        callback = callback.func
    owner = getattr(callback, "__self__", None)
    if owner is not None:
        yield owner
    for cell in getattr(callback, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:
            pass  # it is not bound


def _parents(group: Any) -> Iterator[Any]:
    """The task in which a task group was entered."""
    parent = getattr(group, "_parent_task", None)  # asyncio
    scope = getattr(group, "cancel_scope", None)  # anyio
    for task in (parent, getattr(scope, "_host_task", None)):
        if isinstance(task, asyncio.Task):
            yield task
