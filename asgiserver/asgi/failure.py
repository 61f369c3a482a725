"""Tells what an exception that came out of an application means, and who has to handle it."""

from __future__ import annotations

import asyncio
import signal
import threading
import traceback
from typing import TYPE_CHECKING

from asgiserver.errors import ClientDisconnected

if TYPE_CHECKING:
    from asyncio import Task

_DISCONNECT_NAMES = frozenset({"ClientDisconnect", "ClientDisconnected", "WebSocketDisconnect"})


def is_disconnect(error: BaseException) -> bool:
    """Whether `error` only says that the client is gone.

    Frameworks wrap our `ClientDisconnected` in their own exception or in a group, or raise one of
    theirs after `http.disconnect` (Starlette: ClientDisconnect). None of these is an error of the
    application.
    """
    groups: set[int] = set()
    to_see = [error]
    while to_see:
        link: BaseException | None = to_see.pop()
        seen: set[int] = set()
        while link is not None and id(link) not in seen:
            seen.add(id(link))
            if isinstance(link, BaseExceptionGroup):
                if id(link) not in groups:
                    groups.add(id(link))
                    to_see += link.exceptions
                break
            if isinstance(link, ClientDisconnected) or type(link).__name__ in _DISCONNECT_NAMES:
                break
            link = link.__cause__ or link.__context__
        else:
            return False
    return True


def is_of_the_process(error: BaseException) -> bool:
    """Whether `error` concerns the whole process and has to be raised again.

    Such an error was raised in the application but not by it: a coroutine that is closed together
    with its loop sees GeneratorExit, and the handler of a signal raises KeyboardInterrupt or
    SystemExit wherever the main thread is. An exception of any kind that the application raises
    itself ends its request and nothing else.
    """
    if isinstance(error, GeneratorExit):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return True
        return False
    return isinstance(error, (KeyboardInterrupt, SystemExit)) and _is_of_a_signal(error)


def is_of_the_loop(task: Task[None] | None) -> bool:
    """Whether the task of a request was cancelled because its event loop ends.

    That is how `asyncio.run` ends, with all tasks at once. An application that cancels its own task
    is alone with it.
    """
    if task is None or not task.cancelling():
        return False
    return all(other.cancelling() for other in asyncio.all_tasks(task.get_loop()))


def _is_of_a_signal(error: BaseException) -> bool:
    """Whether `error` came out of the handler of a signal; those run in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        return False
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    if isinstance(error, KeyboardInterrupt) and signal.default_int_handler in handlers:
        return True  # this handler is written in C, and leaves no frame in the traceback
    codes = [getattr(getattr(handler, "func", handler), "__code__", None) for handler in handlers]
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))
