"""A dump (see `watch.dump`) as text for people. It knows no server, only the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["text_of"]

SHOWN_FRAMES = 12


def text_of(dump: dict[str, Any]) -> str:
    """The text of one process's dump, or of a supervisor's with those of its workers."""
    return "\n".join(_supervisor(dump) if "workers" in dump else _process(dump))


def _supervisor(dump: dict[str, Any]) -> Iterator[str]:
    yield f"Supervisor (pid {dump['pid']}), {len(dump['workers'])} workers"
    for worker in dump["workers"]:
        yield ""
        state = f"{worker['phase']}, {worker['age']:.0f} s old"
        yield f"Worker {worker['index']} (pid {worker['pid']}), {state}"
        if worker["note"]:
            yield f"  {worker['note']}"
        if worker["dump"] is not None:
            yield from list(_process(worker["dump"]))[1:]
        if worker["stacks"]:
            yield from ("  " + line for line in worker["stacks"].splitlines())


def _process(dump: dict[str, Any]) -> Iterator[str]:
    yield f"Process {dump['pid']}"
    for server in dump["servers"]:
        yield from _server(server)
    yield f"  {len(dump['threads'])} threads"
    for thread in dump["threads"]:
        yield f"    {thread['name']}"
        yield from _stack(thread["stack"], "      ")


def _server(server: dict[str, Any]) -> Iterator[str]:
    if server["blocked"]:
        yield f"  The event loop has been blocked for {server['blocked']:.1f} s"
    if server["draining"]:
        yield "  The server is stopping"
    states = ", ".join(f"{count} {name}" for name, count in sorted(server["connections"].items()))
    yield f"  Connections: {states or 'none'}"
    requests = server["requests"]
    yield f"  {len(requests) + server['requests_left_out']} requests"
    for request in requests:
        yield from _request(request)
    yield f"  {len(server['tasks']) + server['tasks_left_out']} tasks of no request"
    yield from _tasks(server["tasks"], "    ")


def _request(request: dict[str, Any]) -> Iterator[str]:
    waits = (
        "has the event loop" if request.get("on_stack") else f"waits for the {request['waits_for']}"
    )
    place = f" in {request['where']}" if request["where"] else ""
    yield f"    {request['method']} {request['path']} {request['age']:.1f} s, {waits}{place}"
    yield from _tasks(request["tasks"], "      ")


def _tasks(tasks: list[dict[str, Any]], indent: str) -> Iterator[str]:
    """Tasks that wait at the same place are shown as one."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for task in tasks:
        alike.setdefault((task["waits_for"], *task["stack"]), []).append(task)
    for group in alike.values():
        first = group[0]
        more = f" and {len(group) - 1} more like it" if len(group) > 1 else ""
        waits = f", waits for {first['waits_for']}" if first["waits_for"] else ""
        yield f"{indent}{first['name']}{more}{waits}"
        yield from _stack(first["stack"], indent + "  ")


def _stack(stack: list[str], indent: str) -> Iterator[str]:
    for place in stack[:SHOWN_FRAMES]:
        yield f"{indent}{place}"
    if len(stack) > SHOWN_FRAMES:
        yield f"{indent}and {len(stack) - SHOWN_FRAMES} more"
