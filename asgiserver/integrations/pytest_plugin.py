"""A pytest plugin: applications served on a free port for the time of a test.

pytest loads this plugin in every project that has asgiserver installed, so the plugin imports
nothing of the server before a test asks for one. It needs no plugin for async tests, and works with
any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator

    from asgiserver.server.server import Server

__all__ = ["ServedApp", "asgi_server"]

DEFAULTS = {"port": 0, "access_log": False, "timeout_graceful_shutdown": 1.0}
"""Options that differ from production; requests that a test leaves unfinished end soon."""


class ServedApp:
    """An application that is served in a thread or, once this object is awaited, in the event loop.

    `server` is the `Server`; `url` is its address, such as ``http://127.0.0.1:49152``.
    """

    def __init__(self, app: Any, options: dict[str, Any]) -> None:
        self._app = app
        self._options = {**DEFAULTS, **options}
        self._server: Server | None = None
        self._task: asyncio.Task[None] | None = None  # serves in the loop of the test
        self._thread = contextlib.ExitStack()  # stops the thread

    def __repr__(self) -> str:
        return f"<ServedApp {self._server!r}>"

    def __await__(self) -> Generator[Any, None, Self]:
        return self._start_in_loop().__await__()

    @property
    def server(self) -> Server:
        """The server. Raises `RuntimeError` when the server has not been started."""
        if self._server is None:
            raise RuntimeError("in an async test, write: served = await asgi_server(app)")
        return self._server

    @property
    def url(self) -> str:
        """``http://host:port`` (or https), without a slash at the end."""
        return self.server.addresses[0]

    @property
    def websocket_url(self) -> str:
        """``ws://host:port`` (or wss)."""
        return self.url.replace("http", "ws", 1)

    @property
    def host(self) -> str:
        """The address that the server listens on."""
        return self.server.config.host

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self.url.rpartition(":")[2])

    def start_in_thread(self) -> None:
        """Serve in a thread. Raises `StartupError`."""
        from asgiserver.server.thread import serve_in_thread

        self._server = self._thread.enter_context(serve_in_thread(self._app, **self._options))

    async def _start_in_loop(self) -> Self:
        """Serve in the running event loop. Raises `StartupError`."""
        from asgiserver.config.fields import Config
        from asgiserver.server.server import Server

        if self._server is None:
            server = Server(Config(self._app, **self._options))
            await server.start()
            self._server = server
            self._task = asyncio.create_task(self._stop_when_cancelled(server))
            await asyncio.sleep(0)  # if cancelled before its first step, the task would do nothing
        return self

    async def _stop_when_cancelled(self, server: Server) -> None:
        """Stop the server when `asyncio.run` in a test cancels, at its end, all tasks."""
        try:
            await server.wait_stopped()
        except asyncio.CancelledError:
            await server.stop()
            raise

    async def stop(self) -> None:
        """Stop the server in the event loop, if there is one that still runs."""
        if self._task is not None and not self._task.done():
            await self.server.stop()
            await self._task

    def close(self) -> None:
        """Stop the thread, if there is one."""
        self._thread.close()


@pytest.fixture
def asgi_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., ServedApp]]:
    """``asgi_server(app, **options)`` serves `app` on a free port until the end of the test.

    In an async test ``served = await asgi_server(app)`` serves `app` in the event loop of the test,
    in any other test ``served = asgi_server(app)`` serves it in a thread. ``served.url`` is the
    address. `options` are the fields of `asgiserver.Config`.
    """
    all_served: list[ServedApp] = []

    def serve(app: Any, **options: Any) -> ServedApp:
        served = ServedApp(app, options)
        all_served.append(served)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            served.start_in_thread()
        return served

    item = request.node
    if inspect.iscoroutinefunction(getattr(item, "obj", None)):
        item.obj = _stopping_in_the_end(item.obj, all_served)
    yield serve
    for served in reversed(all_served):
        served.close()


def _stopping_in_the_end(
    test: Callable[..., Coroutine[Any, Any, None]], all_served: list[ServedApp]
) -> Callable[..., Coroutine[Any, Any, None]]:
    """Wrap `test` to stop its servers itself, as its event loop may be closed when fixtures end."""

    @functools.wraps(test)
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            await test(*args, **kwargs)
        finally:
            for served in reversed(all_served):
                await served.stop()

    return wrapper
