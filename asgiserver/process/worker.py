"""The main program of a worker: it runs one Server, and gets orders over one socket.

A worker reports `Ready` and beats from its event loop, so a blocked loop falls silent. Why a worker
is started or stopped, only the supervisor knows.
"""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from asgiserver.errors import (
    BROKEN_OFF,
    ApplicationLoadError,
    ConfigError,
    LifespanFailed,
    StartupError,
    one_line,
)
from asgiserver.log.loggers import LOGGER
from asgiserver.log.origin import set_worker
from asgiserver.log.outlet import end_streams
from asgiserver.log.setup import setup_logging
from asgiserver.process.balance import FairShare, LoadBoard
from asgiserver.process.control import (
    Beat,
    ControlSocket,
    Failed,
    LogLevel,
    Message,
    Ready,
    Setup,
    Stop,
    Stopping,
    encode,
    receive_setup,
)
from asgiserver.process.role import be_worker
from asgiserver.process.signals import die_with_parent, ignore, named, set_process_title, unblock
from asgiserver.process.stacks import write_on_signal, write_when_silent
from asgiserver.server.application import load_outside_the_loop
from asgiserver.server.children import close_in_children
from asgiserver.server.importing import outside_the_loop
from asgiserver.server.listener import Listener, adopt
from asgiserver.server.loading import load_env_files, load_object
from asgiserver.server.loops import loop_factory
from asgiserver.server.main_task import run_main
from asgiserver.server.memory import resident_bytes
from asgiserver.server.server import Server
from asgiserver.watch.watchdog import watchdog

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from asgiserver.server.view import ServerView

__all__ = ["INDEX_VARIABLE", "Served", "main", "work"]

logger = logging.getLogger(LOGGER)

INDEX_VARIABLE = "ASGISERVER_WORKER_INDEX"
ANSWER_TIME = 2.0  # seconds in which the supervisor has to read what it has asked for
LOOK = 0.02  # seconds between two looks whether connections are left that have to end
# The longest time, in seconds, after which `faulthandler` can end a process without a supervisor.
LONGEST_LINGER = 24 * 3600.0


class Served(Protocol):
    """The part of `asgiserver.server.server.Server` that a worker drives."""

    extra_state: dict[str, Any]
    accept_gate: Callable[[], float] | None
    view: ServerView

    @property
    def has_clients(self) -> bool:
        """Whether there are connections, or accepted sockets that become some."""

    async def start(self) -> None:
        """Run the lifespan's start-up, accept connections."""

    async def wait_stopped(self) -> None:
        """Return after the staged stop."""

    def announce_stop(self) -> None:
        """Tell applications and, with each response, clients that the server is about to stop."""

    def stop_accepting(self, *, take_waiting: bool = False) -> None:
        """Accept no new connections; `take_waiting` accepts those that already wait first."""

    def request_stop(self, *, timeout: float | None = None, reason: str = "stop") -> None:
        """Begin the staged stop."""


class Worker:
    """Starts its server, reports `Ready`, and beats until the server has stopped."""

    def __init__(
        self,
        setup: Setup,
        control: socket.socket,
        stacks_fd: int,
        make_server: Callable[[Setup], Served],
    ) -> None:
        self._setup = setup
        self._control = ControlSocket(control)
        self._stacks_fd = stacks_fd
        self._make_server = make_server
        self._parent = os.getppid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Served | None = None
        self._starting: asyncio.Task[None] | None = None
        self._share: FairShare | None = None
        self._stopping = False
        self._reason = ""
        self._timeout: float | None = None
        self._supervisor_knows = False  # that this worker stops: it gave the order, or is gone
        self._end_is_certain = False  # a thread in C will end this process

    def __repr__(self) -> str:
        state = "stopping" if self._stopping else "starting" if self._starting else "serving"
        return f"<Worker {self._setup.index} {state}>"

    def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        config = self._setup.config
        for number in named("SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2", "SIGBREAK"):
            # A terminal sends these to the whole group; the supervisor decides what they mean.
            signal.signal(number, ignore)
        # Until the application is imported, SIGTERM ends this process, as nothing has to be undone.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            with asyncio.Runner(loop_factory=shareable_loop(config.loop)) as runner:
                self._loop = runner.get_loop()
                write_on_signal(self._stacks_fd)
                unblock()
                die_with_parent(signal.SIGTERM, self._parent)
                server = self._make_server(self._setup)
                self._answer_questions()
                signal.signal(signal.SIGTERM, self._on_sigterm)
                return run_main(runner, self._serve(self._loop, server))
        except Exception as exc:
            return self._fail(exc)

    def _answer_questions(self) -> None:
        """From now on a thread tells the supervisor what this worker is doing, when it asks."""
        channel = socket.socket(fileno=os.dup(self._stacks_fd))
        channel.settimeout(ANSWER_TIME)
        close_in_children(channel)
        watchdog.attach(channel)

    async def _serve(self, loop: asyncio.AbstractEventLoop, server: Served) -> int:
        self._control.socket.setblocking(False)
        loop.add_reader(self._control.fileno(), self._on_control)
        server.extra_state["worker_index"] = self._setup.index
        self._server = server
        self._take_turns(server)
        self._starting = asyncio.ensure_future(server.start())
        if self._stopping:  # a signal came while the application was imported
            self._starting.cancel()
        try:
            await self._starting
        except asyncio.CancelledError:
            return BROKEN_OFF + signal.SIGTERM  # also when an order, and no signal, broke it off
        finally:
            self._starting = None
        if self._stopping:  # the order came in the last turn of the start
            server.request_stop(timeout=self._timeout, reason=self._reason)
        else:
            self._report(Ready())
            self._beat()
        await server.wait_stopped()
        loop.remove_reader(self._control.fileno())
        return 0

    def _take_turns(self, server: Served) -> None:
        """Take turns with the other workers at a queue of connections that all share."""
        if self._setup.board < 0:
            return
        share = self._share = FairShare(LoadBoard(self._setup.board), self._setup.cell)

        def gate() -> float:
            view = server.view
            return share.wait(view.open, view.accepted, time.monotonic())

        server.accept_gate = gate

    # Told by the supervisor, by a signal, or by the supervisor's death -------------------------

    def _on_control(self) -> None:
        try:
            messages = self._control.read()
        except EOFError:
            self._on_orphaned()
            return
        for message in messages:
            if isinstance(message, Stop):
                self._on_order(message)
            elif isinstance(message, LogLevel):
                logger.setLevel(message.level)

    def _on_order(self, order: Stop) -> None:
        self._supervisor_knows = True
        if self._server is None or self._starting is not None or order.timeout == 0:
            self._stop(order.reason, order.timeout)
            return
        if not order.delay + order.accept:
            if not order.last:
                self._server.stop_accepting()
            self._stop(order.reason, order.timeout)
            return
        assert self._loop is not None
        self._server.announce_stop()
        self._loop.call_later(order.accept, self._leave_connections, order)

    def _leave_connections(self, order: Stop) -> None:
        assert self._loop is not None
        assert self._server is not None
        self._server.stop_accepting(take_waiting=order.last)
        # A socket that the loop has just accepted becomes a connection only in its next turn.
        self._loop.call_later(LOOK, self._stop_after, order, self._loop.time() + order.delay)

    def _stop_after(self, order: Stop, at: float) -> None:
        """Stop at `at`, or earlier if no connection is left whose end has to be announced."""
        assert self._loop is not None
        assert self._server is not None
        if self._loop.time() >= at or not self._server.has_clients:
            self._stop(order.reason, order.timeout)
        else:
            self._loop.call_later(LOOK, self._stop_after, order, at)

    def _on_orphaned(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._control.fileno())
        logger.error("Worker %d: the supervisor is gone, draining", self._setup.index)
        self._supervisor_knows = True
        self._end_in_any_case()
        self._stop("supervisor gone", None)

    def _on_sigterm(self, _signum: int, _frame: FrameType | None) -> None:
        # This runs in the main thread even while the loop is blocked, if Python code runs at all.
        if os.getppid() != self._parent:
            self._end_in_any_case()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop, "SIGTERM", None)

    def _end_in_any_case(self) -> None:
        """Let a thread in C end this process if it hangs, as no supervisor is left to kill it."""
        config = self._setup.config
        self._end_is_certain = True
        limit = config.timeout_graceful_shutdown + config.timeout_lifespan_shutdown + 1
        faulthandler.dump_traceback_later(min(limit, LONGEST_LINGER), exit=True)

    def _stop(self, reason: str, timeout: float | None) -> None:
        again, self._stopping = self._stopping, True
        self._reason, self._timeout = reason, timeout
        if self._starting is not None:
            self._starting.cancel()
        elif self._server is not None:
            if not self._supervisor_knows and not again:
                self._report(Stopping(reason))
            self._server.request_stop(timeout=timeout, reason=reason)

    # Reports ---------------------------------------------------------------------------------

    def _beat(self) -> None:
        assert self._loop is not None
        assert self._server is not None
        view = self._server.view
        if self._share is not None:
            self._share.publish(view.open, view.accepted, time.monotonic())
        if not self._end_is_certain:  # `faulthandler` has only one such timer
            write_when_silent(self._setup.config.timeout_worker_stuck)
        self._report(Beat(resident_bytes(), view.requests))
        self._loop.call_later(self._setup.beat, self._beat)

    def _fail(self, exc: Exception) -> int:
        """Report why the application could not be started."""
        code = exc.exit_code if isinstance(exc, StartupError) else ApplicationLoadError.exit_code
        self._control.socket.setblocking(True)
        self._report(Failed(code, *describe_failure(exc)))
        return code

    def _report(self, message: Message) -> None:
        try:
            self._control.send(message)
        except OSError:
            pass  # the supervisor is paused or gone; the end of the socket tells which


def describe_failure(exc: BaseException) -> tuple[str, str]:
    """Why a start failed: one line, and the traceback from the application's code on, or ""."""
    from asgiserver.log.tracebacks import failure_traceback

    whole = logger.isEnabledFor(logging.DEBUG)
    if not isinstance(exc, StartupError):
        text = f"the application could not be started: {one_line(exc)}"
        return text, failure_traceback(exc, whole=whole).rstrip()
    details = exc.details
    if exc.__cause__ is not None and isinstance(exc, (ApplicationLoadError, LifespanFailed)):
        details = failure_traceback(exc.__cause__, whole=whole)
    return str(exc), details.rstrip()


def shareable_loop(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The factory of the event loop called `name`, for a worker. Raises `ConfigError`.

    On Windows a listening socket belongs to one completion port, however many processes share the
    socket, so only a single process can use the proactor.
    """
    if sys.platform == "win32":
        if name in ("auto", "asyncio"):
            return asyncio.SelectorEventLoop
        raise ConfigError(f"loop: workers on Windows need --loop auto or asyncio, not {name}")
    return loop_factory(name)


def call_once(setup: Setup) -> None:
    """Call the function of ``--run-once``, plain or async."""
    config = setup.config
    load_env_files(config.env_file)
    with outside_the_loop(logger.warning):
        function = load_object(setup.run_once, app_dir=config.app_dir)
    result = function()
    if inspect.iscoroutine(result):
        with asyncio.Runner(loop_factory=loop_factory(config.loop)) as runner:
            runner.run(result)


def make_server(setup: Setup) -> Served:
    """Import the application, and make the server of this process on the inherited sockets."""
    listeners = [Listener(adopt(fd), None, scheme) for fd, scheme in setup.listeners]
    app = load_outside_the_loop(setup.config)
    server = Server(setup.config, listeners=listeners, app=app)
    server.announces = ""  # the supervisor logs the addresses once
    if setup.figures >= 0:
        from asgiserver.server.board import Board
        from asgiserver.server.publisher import Publisher

        server.publisher = Publisher(Board(setup.figures))
    return server


def work(
    setup: Setup,
    control: socket.socket,
    stacks_fd: int,
    make_server: Callable[[Setup], Served] = make_server,
) -> int:
    """Run as a worker, or as the process of ``--run-once``; returns the exit code."""
    be_worker()
    os.environ[INDEX_VARIABLE] = str(setup.index)
    role = "run once" if setup.run_once else f"worker {setup.index}"
    if not setup.run_once:
        set_worker(setup.index, setup.numbered)
    set_process_title(f"asgiserver: {role} [{setup.config.app}]")
    close_in_children(control)
    close_in_children(stacks_fd)
    for fd in (setup.board, setup.figures):
        if fd >= 0:
            os.set_inheritable(fd, False)
    try:
        handle = setup_logging(setup.config)
    except ConfigError as exc:  # a logging file that was fine when the supervisor read it
        control.sendall(encode(Failed(exc.exit_code, str(exc))))
        return exc.exit_code
    try:
        if not setup.run_once:
            return Worker(setup, control, stacks_fd, make_server).run()
        for number in named("SIGINT", "SIGBREAK"):
            signal.signal(number, ignore)  # the supervisor gets the signal too, and sends SIGTERM
        unblock()
        try:
            call_once(setup)
        except Exception as exc:
            text, details = describe_failure(exc)
            text = f"--run-once: {setup.run_once} failed: {text}"
            control.sendall(encode(Failed(ApplicationLoadError.exit_code, text, details)))
            return ApplicationLoadError.exit_code
        return 0
    finally:
        handle.close()


def main(arguments: list[str]) -> int:
    """The main program of a spawned process; `arguments` are the descriptors control and stacks."""
    control = adopt(int(arguments[0]))
    stacks_fd = int(arguments[1])
    os.set_inheritable(stacks_fd, False)
    try:
        setup = receive_setup(control)
    except EOFError:
        return 0  # the supervisor was gone before it sent the setup
    try:
        return work(setup, control, stacks_fd)
    finally:
        end_streams()
        control.detach()  # open until the very end: that is how the supervisor sees it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
