"""A server beside the running program: in a thread with an event loop of its own.

This module touches neither processes nor signals; the program that calls it stays in charge.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Unpack

from asgiserver.config.fields import Config
from asgiserver.server.application import load
from asgiserver.server.importing import refuse_nested_server
from asgiserver.server.loops import loop_factory
from asgiserver.server.main_task import run_main
from asgiserver.server.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asgiserver.config.keywords import Options

__all__ = ["serve_in_thread"]


@contextlib.contextmanager
def serve_in_thread(app: Any, **options: Unpack[Options]) -> Iterator[Server]:
    """Serve `app` in a thread during the block; the server accepts when the block begins.

    `options` are the fields of `Config`, no other configuration is read, and the port is a free one
    unless `options` has one. `Server.addresses` says where the server listens. Raises
    `StartupError` when the server cannot start.
    """
    refuse_nested_server()
    options.setdefault("port", 0)
    config = Config(app, **options)
    # The application is loaded in this thread, because the other thread would wait for the import
    # lock of a module that this one may be importing.
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
