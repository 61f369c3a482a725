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

    A task that raises KeyboardInterrupt or SystemExit breaks its loop off, so asyncio; one that an
    application has started has no right to. The loop runs on then, and the log has the traceback.
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
