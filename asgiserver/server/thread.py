"""A server beside the running program: in a thread with an event loop of its own.

It knows nothing of processes and signals; the program that starts it stays in charge of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from asgiserver.config.fields import Config
from asgiserver.server.application import load
from asgiserver.server.importing import refuse_nested_server
from asgiserver.server.loops import loop_factory
from asgiserver.server.main_task import run_main
from asgiserver.server.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["serve_in_thread"]


@contextlib.contextmanager
def serve_in_thread(app: Any, **options: Any) -> Iterator[Server]:
    """Serve `app` in a thread, from the time that it accepts connections to the end of the block.

    `options` are the fields of `Config`; nothing else is read, and the port is a free one unless
    it is given. `Server.addresses` says where. Raises `StartupError` when the server cannot start.
    """
    refuse_nested_server()
    config = Config(app, **{"port": 0, **options})
    # In this thread: the other one would wait for what this one may be importing.
    server = Server(config, app=load(config))
    started: Future[None] = Future()
    thread = threading.Thread(target=_run, args=(server, started), name="asgiserver")
    thread.start()
    try:
        started.result()
        yield server
    finally:
        server.stop_threadsafe()
        thread.join()


def _run(server: Server, started: Future[None]) -> None:
    try:
        with asyncio.Runner(loop_factory=loop_factory(server.config.loop)) as runner:
            run_main(runner, _serve(server, started))
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)


async def _serve(server: Server, started: Future[None]) -> None:
    await server.start()
    started.set_result(None)
    await server.wait_stopped()
