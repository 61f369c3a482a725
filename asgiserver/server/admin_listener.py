"""The admin listener: our own server in a thread of its own, with an event loop of its own.

So it answers while the loop of the application is blocked. It serves the application of
`asgiserver.admin`, and knows nothing of what that shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from asgiserver.admin import THREAD
from asgiserver.admin.access import Access
from asgiserver.admin.app import AdminApp
from asgiserver.config.fields import Config, admin_place
from asgiserver.context import ServerContext
from asgiserver.server.acceptor import Acceptor
from asgiserver.server.children import close_in_children
from asgiserver.server.limits import apply_limits
from asgiserver.server.listener import bind_admin
from asgiserver.server.wires import make_wires
from asgiserver.wire.clock import CoarseClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asgiserver.admin.source import Source
    from asgiserver.server.listener import Listener

__all__ = ["AdminListener", "dump_text"]

logger = logging.getLogger("asgiserver")

CONNECTIONS = 64
"""Connections that the listener serves at a time; operators and their programs need few."""


def dump_text(dump: dict[str, Any], as_json: bool) -> str:
    """The answer to who asks for a dump."""
    from asgiserver.watch.report import text_of

    return (json.dumps(dump) if as_json else text_of(dump)) + "\n"


class AdminListener:
    """Serves what `source` shows, from `start` to `stop`, at the address of --admin."""

    def __init__(self, config: Config, source: Source) -> None:
        assert config.admin is not None
        self._address = config.admin
        app = AdminApp(source, Access(admin_place(config.admin), config.admin_token))
        self._config = Config(
            app,
            lifespan="off",
            access_log=False,
            ws="none",
            http2=False,
            proxy_headers=False,
            limit_connections=CONNECTIONS,
            limit_request_body=0,
        )
        self._listeners: list[Listener] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: ServerContext | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self.addresses: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<AdminListener {' '.join(self.addresses) or self._address}>"

    @property
    def listeners(self) -> Sequence[Listener]:
        """The bound sockets."""
        return self._listeners

    def bind(self, inherited: Sequence[Listener] = ()) -> None:
        """Reserve the address, or take the sockets of a predecessor. Raises `StartupError`."""
        if not self._listeners:
            self._listeners = list(inherited) or bind_admin(self._address)
            self.addresses = tuple(listener.address for listener in self._listeners)
            for listener in self._listeners:
                close_in_children(listener.socket)

    def start(self) -> None:
        """Answer from now on. Raises `BindError` when somebody else listens by now."""
        if self._thread is not None:
            return
        self.bind()
        for listener in self._listeners:
            listener.listen(CONNECTIONS)
        begun = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(begun,), name=THREAD, daemon=True)
        self._thread.start()
        begun.wait()
        logger.info("Admin listener on %s", ", ".join(self.addresses))

    def stop(self, *, unlink: bool = True) -> None:
        """Answer no more, and give the address back. May be called twice."""
        thread, self._thread = self._thread, None
        for listener in self._listeners if unlink else ():
            listener.unlink()
        if thread is not None and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join()
        for listener in self._listeners:
            listener.close(unlink=False)
        self._listeners.clear()

    # The thread -------------------------------------------------------------------------------

    def _run(self, begun: threading.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve(begun))
        finally:
            begun.set()  # also if it could not begin; the thread's traceback says why

    async def _serve(self, begun: threading.Event) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        clock = CoarseClock(loop, lambda: context.connections)
        context = ServerContext(self._config, self._config.app, loop, clock)
        self._context = context
        apply_limits(context, clock)
        wires = make_wires(self._config, clock, loop)
        clock.start()
        clock.call_each_tick(context.on_tick)
        acceptor = Acceptor(loop, functools.partial(wires.default, context), backlog=CONNECTIONS)
        await acceptor.open(self._listeners)
        begun.set()
        await self._stopping.wait()
        acceptor.close()
        await acceptor.finish_handshakes(0)
        clock.stop()
        for connection in list(context.connections):
            connection.abort("the admin listener ends")
        await asyncio.sleep(0)  # the connections are lost in the next turn of the loop

    # Forks ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """During the block the thread runs nothing and holds no lock, so that a fork is safe."""
        if self._thread is None or self._loop is None:
            yield
            return
        stands, goes_on = threading.Event(), threading.Event()

        def stand() -> None:
            stands.set()
            goes_on.wait()

        self._loop.call_soon_threadsafe(stand)
        stands.wait()
        try:
            yield
        finally:
            goes_on.set()

    def abandon(self) -> None:
        """Called in a forked child, which has no such thread: let go of its connections."""
        context = self._context
        for connection in () if context is None else context.connections:
            sock = connection.output.transport.get_extra_info("socket")  # type: ignore[attr-defined]
            if sock is not None and sock.fileno() >= 0:
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, sock.fileno(), inheritable=False)
                os.close(null)
