"""A server in a process of its own, for live tests of Django Channels.

Channels starts its server class with the arguments of daphne's; nothing of Django is known here.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import traceback
from typing import TYPE_CHECKING, Any, ClassVar

from asgiserver.config.fields import Config
from asgiserver.server.loops import loop_factory
from asgiserver.server.main_task import run_main
from asgiserver.server.runner import StopSignals
from asgiserver.server.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LiveServer"]


class LiveServer(multiprocessing.Process):
    """Serves the application that `get_application` returns, in a child process.

    For ``ChannelsLiveServerTestCase.ProtocolServerProcess``. `setup` and `teardown` are called in
    the child, around the time of the server. `ready` is set once requests are served; then `port`
    has the port, a free one unless another is given. What goes wrong is printed, and is in
    `errors` with its traceback. `kwargs` are fields of `Config`, as is `OPTIONS`, for subclasses.
    """

    OPTIONS: ClassVar[Mapping[str, Any]] = {"access_log": False, "timeout_graceful_shutdown": 1.0}

    def __init__(
        self,
        host: str,
        get_application: Callable[[], Any],
        kwargs: Mapping[str, Any] | None = None,
        setup: Callable[[], object] | None = None,
        teardown: Callable[[], object] | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__()
        self.host = host
        self.get_application = get_application
        self.kwargs = dict(kwargs or {})
        self.setup = setup
        self.teardown = teardown
        self.port: Any = multiprocessing.Value("i", port or 0)
        self.ready = multiprocessing.Event()
        self.errors: multiprocessing.Queue[tuple[BaseException, str]] = multiprocessing.Queue()

    def run(self) -> None:
        """Serve until SIGTERM, which `terminate` sends."""
        try:
            app = self.get_application()
            if self.setup is not None:
                self.setup()
            try:
                self._serve(app)
            finally:
                if self.teardown is not None:
                    self.teardown()
        except BaseException as error:
            self.errors.put((error, traceback.format_exc()))
            raise

    def _serve(self, app: Any) -> None:
        options = {"host": self.host, "port": self.port.value, **self.OPTIONS, **self.kwargs}
        server = Server(Config(app, **options))
        with (
            asyncio.Runner(loop_factory=loop_factory(server.config.loop)) as runner,
            StopSignals(runner.get_loop(), server) as signals,
        ):
            run_main(runner, self._wait(server, signals))

    async def _wait(self, server: Server, signals: StopSignals) -> None:
        signals.starting = asyncio.current_task()
        await server.start()
        signals.starting = None
        self.port.value = server.listeners[0].port or 0
        self.ready.set()
        await server.wait_stopped()
