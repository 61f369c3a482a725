"""In what circumstances an application is imported: outside any running loop, starting no server.

This module knows nothing of the server. It marks a thread for as long as the thread imports an
application.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asgiserver.errors import NestedServerError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["importing", "outside_the_loop", "refuse_nested_server"]

GUARD = 'if __name__ == "__main__":'
UNWIND_TIME = 1.0  # seconds to end the tasks that the import has begun and that must not go on


class _Thread(threading.local):
    imports = ""  # the name of the module or factory that this thread is running


_thread = _Thread()


@contextmanager
def importing(name: str) -> Iterator[None]:
    """Run the application's module or factory in this context: it cannot start a server there."""
    before, _thread.imports = _thread.imports, name
    try:
        yield
    finally:
        _thread.imports = before


def refuse_nested_server() -> None:
    """Raise `NestedServerError` when this thread imports an application.

    Otherwise the new server would import the application in turn, start one more, and so on.
    """
    if _thread.imports:
        raise NestedServerError(
            f"{_thread.imports} starts a server while a server imports it: move that call under"
            f" {GUARD}"
        )
    # A process that multiprocessing has spawned also executes the program's main module.
    process = sys.modules.get("multiprocessing.process")
    if process is not None and getattr(process.current_process(), "_inheriting", False):
        raise NestedServerError(
            "the main module starts a server while a child process of multiprocessing imports it:"
            f" move that call under {GUARD}"
        )


@contextmanager
def outside_the_loop(say: Callable[[str], None]) -> Iterator[None]:
    """Import the application in this context: `asyncio.run` works, and no loop is running.

    `asyncio.get_event_loop` returns a loop that ends with the import. Tasks that are left on that
    loop will never run: `say` gets one line that names them.
    """
    import asyncio  # imported late, because a supervisor needs none

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
        left = asyncio.all_tasks(loop)
        if left:
            names = ", ".join(sorted(_place(task) for task in left))
            say(
                f"Begun while the application was imported, never run: {names};"
                " begin it in the lifespan's start-up, when the event loop runs"
            )
    finally:
        if not loop.is_closed():
            _close(loop)
        asyncio.set_event_loop(None)


def _place(task: asyncio.Task[Any]) -> str:
    """The name of a task's coroutine, with the file and the line at which it stands."""
    coroutine: Any = task.get_coro()
    frame = getattr(coroutine, "cr_frame", None)
    where = f" ({frame.f_code.co_filename}:{frame.f_lineno})" if frame is not None else ""
    return f"{getattr(coroutine, '__qualname__', coroutine)}{where}"


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """End the tasks that are left on the loop, as `asyncio.run` does, and close the loop."""
    import asyncio

    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=UNWIND_TIME))
    loop.close()
