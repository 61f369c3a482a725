"""A pytest plugin: applications served on a free port for the time of a test.

It is loaded by pytest in every project that has asgiserver installed, so it imports nothing of the
server before a test asks for one; it needs no plugin for async tests, and works with any.
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
"""What differs from a server in production: requests that a test leaves behind end soon."""


class ServedApp:
    """An application that is served: in the running event loop once it is awaited, or in a thread.

    `server` is the `Server`; `url` is where it is, such as ``http://127.0.0.1:49152``.
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
        """The server. Raises `RuntimeError` when it has not been started."""
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
        """The address it listens on."""
        return self.server.config.host

    @property
    def port(self) -> int:
        """The port it listens on."""
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
            await asyncio.sleep(0)  # a task cancelled before its first step would do nothing
        return self

    async def _stop_when_cancelled(self, server: Server) -> None:
        """`asyncio.run` inside a test cancels all tasks at its end, and waits for them."""
        try:
            await server.wait_stopped()
        except asyncio.CancelledError:
            await server.stop()
            raise

    async def stop(self) -> None:
        """Stop what runs in the event loop, unless that has been done."""
        if self._task is not None and not self._task.done():
            await self.server.stop()
            await self._task

    def close(self) -> None:
        """Stop the thread, if there is one."""
        self._thread.close()


@pytest.fixture
def asgi_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., ServedApp]]:
    """``asgi_server(app, **options)`` serves `app` on a free port until the end of the test.

    In an async test ``served = await asgi_server(app)`` serves it in the event loop of the test, in
    any other ``served = asgi_server(app)`` in a thread; ``served.url`` is where. `options` are the
    fields of `asgiserver.Config`.
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
    """`test`, which stops its servers: when fixtures end, its event loop may be closed."""

    @functools.wraps(test)
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            await test(*args, **kwargs)
        finally:
            for served in reversed(all_served):
                await served.stop()

    return wrapper
