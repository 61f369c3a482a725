"""Running a server's own task on a loop that it shares with the tasks of an application."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from asgiserver.asgi.failure import is_of_the_process

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

logger = logging.getLogger("asgiserver")

_Result = TypeVar("_Result")


def run_main(runner: asyncio.Runner, main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run `main` to its end, and return its result.

    In asyncio a task that raises KeyboardInterrupt or SystemExit stops its event loop. When a task
    of the application does that, the loop is run again, and the log gets the traceback.
    """
    loop = runner.get_loop()
    task = loop.create_task(main)
    while True:
        try:
            return loop.run_until_complete(task)
        except (KeyboardInterrupt, SystemExit) as error:
            if task.done() or is_of_the_process(error):
                raise
            logger.error("A task of the application would have ended the server", exc_info=error)
