"""The lifespan protocol (ASGI lifespan 2.0), which runs once in each server."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
from typing import TYPE_CHECKING, Any

from asgiserver.asgi.failure import is_of_the_process
from asgiserver.asgi.scope import lifespan_scope
from asgiserver.errors import ApplicationError, LifespanFailed, one_line

if TYPE_CHECKING:
    from asgiserver.types import ASGIApplication, Message

logger = logging.getLogger("asgiserver")

CANCEL_TIME = 1.0
"""Seconds that the application has to end after it is cancelled."""


class Lifespan:
    """Runs the application's lifespan in a task of its own.

    In mode ``auto`` an exception before the application's first `receive` means that the
    application does not know the protocol; a warning names the exception. An exception after that
    `receive` means that the start-up has failed.
    """

    def __init__(self, app: ASGIApplication, mode: str, state: dict[str, Any]) -> None:
        self._app = app
        self._mode = mode
        self._state = state
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._received = False  # whether the application has called `receive`
        self._cancelled = False  # whether the server has cancelled the application
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        # The application has cleaned up: it has ended, or it waits for an event that never comes.
        self._idle = asyncio.Event()
        self._startup_failure = ""
        self._startup_error: BaseException | None = None
        self._startup_details = ""  # a traceback that the application has sent as text
        self._shutdown_failure = ""
        self._task: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()
        self.supported = False

    def __repr__(self) -> str:
        return f"<Lifespan {self._mode} supported={self.supported} task={self._task}>"

    async def startup(self, timeout: float) -> contextvars.Context:
        """Run the start-up; return the context in which requests shall run.

        Raises `LifespanFailed` when the start-up fails or takes longer than `timeout` seconds.
        """
        if self._mode == "off":
            return self._context
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._task = loop.create_task(self._run(), context=self._context, name="lifespan")
        # Only an exception of the process, such as KeyboardInterrupt, comes out of the task, and
        # asyncio raises it from the loop as well. Reading it here marks it as retrieved.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._events.put_nowait({"type": "lifespan.startup"})
        try:
            async with asyncio.timeout(None if timeout == float("inf") else timeout):
                await self._started.wait()
        except TimeoutError:
            if not self._started.is_set():  # it may have been set in the same turn of the loop
                where = _place_of(self._task)
                await self._cancel()
                raise LifespanFailed(
                    f"the application's start-up took longer than {timeout:g} s{where}"
                    " (--timeout-startup)"
                ) from None
        except asyncio.CancelledError:
            # If the start-up was completed in the same turn of the loop, `shutdown` follows.
            if not self.supported:
                await self._cancel()
            raise
        if self._startup_failure:
            await self._cancel()
            failed = LifespanFailed(self._startup_failure)
            if self._startup_error is None:
                failed.details = self._startup_details
            raise failed from self._startup_error
        what = "is complete" if self.supported else "is not supported by the application"
        logger.debug("Lifespan: the start-up %s after %.2f s", what, loop.time() - begun)
        return self._context.copy()

    async def shutdown(self, timeout: float) -> None:
        """Run the shutdown; a failure or an overrun of `timeout` seconds is logged."""
        if not self.supported:
            # The application may ignore that its start-up was cancelled, and complete it by now.
            await self._cancel()
        task = self._task
        if task is None or not self.supported:
            return
        if not task.done():
            self._cancelled = False
            self._events.put_nowait({"type": "lifespan.shutdown"})
            try:
                async with asyncio.timeout(None if timeout == float("inf") else timeout):
                    await self._stopped.wait()
                    await self._idle.wait()
            except TimeoutError:
                logger.error(
                    "Lifespan shutdown took longer than %g s (--timeout-lifespan-shutdown)", timeout
                )
            finally:
                await self._cancel()
        if self._shutdown_failure:
            logger.error("Lifespan shutdown failed: %s", self._shutdown_failure)

    async def _run(self) -> None:
        try:
            await self._app(lifespan_scope(self._state), self._receive, self._send)
        except BaseException as error:
            if is_of_the_process(error):
                raise
            if not self._cancelled:
                self._raised(error)
            elif not isinstance(error, asyncio.CancelledError):
                logger.warning(
                    "The application's lifespan raised %s when cancelled", _described(error)
                )
        else:
            if not self._started.is_set():
                self.supported = False
                if self._mode == "on":
                    self._startup_failure = (
                        "the application returned before its start-up was complete"
                    )
        finally:
            self._started.set()
            self._stopped.set()
            self._idle.set()

    def _raised(self, error: BaseException) -> None:
        if self._startup_failure:
            self._startup_error = error  # the one that the application has reported
        elif self._started.is_set():
            logger.error("Exception in the application's lifespan", exc_info=error)
        elif self._received or self._mode == "on":
            self._startup_error = error
            self._startup_failure = f"{FAILED}: {one_line(error)}"
        else:
            logger.warning(
                "The application does not support lifespan: it raised %s (--lifespan off silences"
                " this, --lifespan on makes it an error)",
                _described(error),
            )

    async def _receive(self) -> Message:
        self._received = True
        if self._stopped.is_set():
            self._idle.set()
        return await self._events.get()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind.startswith("lifespan.startup.") and not self._started.is_set():
            if kind == "lifespan.startup.complete":
                self.supported = True
                self._started.set()
                return
            if kind == "lifespan.startup.failed":
                self._startup_failure, self._startup_details = _read(message.get("message"))
                self._started.set()
                return
        if kind.startswith("lifespan.shutdown.") and self._started.is_set():
            if kind == "lifespan.shutdown.failed":
                self._shutdown_failure = message.get("message") or "no message"
            if kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                self._stopped.set()
                return
        raise ApplicationError(f"unexpected lifespan message {kind!r}")

    async def _cancel(self) -> None:
        """Cancel the application, and wait until it ends or completes its start-up after all."""
        task = self._task
        if task is None or task.done():
            return
        if not self._cancelled:
            self._cancelled = True
            task.cancel()
        if not self._started.is_set():
            started = asyncio.ensure_future(self._started.wait())
            await asyncio.wait(
                [task, started], timeout=CANCEL_TIME, return_when=asyncio.FIRST_COMPLETED
            )
            started.cancel()
            if self.supported:
                return  # `shutdown` is still to come
        await asyncio.wait([task], timeout=CANCEL_TIME)
        if not task.done():
            logger.error("The application's lifespan does not end though it was cancelled")


FAILED = "the application's start-up failed"


def _read(text: str | None) -> tuple[str, str]:
    """Why the start-up failed, for one line, and the traceback in `text`, if it is one.

    Frameworks send a whole traceback, which ends with the reason. Most of them raise the exception
    after that.
    """
    if not text:
        return FAILED, ""
    lines = text.strip().splitlines()
    if not lines or not lines[0].lstrip(" +").startswith(_TRACEBACKS):
        return text, ""
    return f"{FAILED}: {lines[-1].strip()}", f"{text.strip()}\n"


_TRACEBACKS = ("Traceback (most recent", "Exception Group Traceback")


def _described(error: BaseException) -> str:
    try:
        return repr(error)
    except Exception:  # the exception's own `__repr__` fails, too
        return f"{type(error).__name__}, whose repr() fails"


def _place_of(task: asyncio.Task[None]) -> str:
    """Where the task waits: the innermost line that is not in asyncio, as `` at FILE:LINE``."""
    place = ""
    waiting: Any = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith(os.path.dirname(asyncio.__file__)):
            place = f" at {filename}:{frame.f_lineno}"
        waiting = waiting.cr_await
    return place
