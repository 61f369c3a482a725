"""Start worker processes: fresh interpreters, or forks of one that has imported the application.

This module knows how processes begin and what they inherit, but not when to start which.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from typing import TYPE_CHECKING, Protocol

from asgiserver import admin
from asgiserver.errors import ConfigError
from asgiserver.log.outlet import end_streams, flush_streams
from asgiserver.process.child import ChildProcess
from asgiserver.process.control import send_setup
from asgiserver.process.handle import WorkerHandle
from asgiserver.process.signals import spawn_mask
from asgiserver.server.importing import outside_the_loop
from asgiserver.server.loading import load_application, load_env_files
from asgiserver.server.standard_streams import open_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from asgiserver.config.fields import Config
    from asgiserver.process.control import Setup

logger = logging.getLogger("asgiserver")

__all__ = ["Fork", "Launcher", "Spawn", "preload", "worker_command"]

# A worker imports from where this interpreter does. ``-m`` or ``-c`` would put the current
# directory first, so that a random.py beside the application would replace Python's own module.
_PROGRAM = """import sys; sys.path[:] = {path!r}
from asgiserver.process.worker import main; sys.exit(main(sys.argv[1:]))"""


class Launcher(Protocol):
    """How the supervisor starts a process."""

    def start(self, setup: Setup, inherit: Sequence[int]) -> WorkerHandle:
        """Start a worker that has `setup` and the descriptors `inherit`. Raises `OSError`."""


class Spawn:
    """A fresh interpreter for each worker: safe with threads, and always with the code on disk."""

    def __init__(self, command: Sequence[str] = ()) -> None:
        self._command = command or worker_command()

    def start(self, setup: Setup, inherit: Sequence[int]) -> WorkerHandle:
        """See `Launcher`."""
        control, theirs, stacks, stacks_theirs = _channels()
        numbers = [theirs.fileno(), stacks_theirs.fileno()]
        try:
            command = [*self._command, *map(str, numbers)]
            if not has_directory():
                # Python 3.13.0 asks for it when -c imports, and fails. Nothing can be found there.
                command.insert(1, "-P")
            process = _popen(command, [*numbers, *inherit])
        except OSError:
            control.close()
            stacks.close()
            raise
        finally:
            theirs.close()
            stacks_theirs.close()
        handle = WorkerHandle(ChildProcess(process.pid, process.poll), control, stacks)
        try:
            send_setup(control, setup)
        except OSError:
            pass  # the process has died at once, which its exit will tell
        control.setblocking(False)
        return handle


def has_directory() -> bool:
    """Whether the current directory is still there."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def worker_command() -> list[str]:
    """The command that starts a worker with the flags and the search path of this interpreter."""
    # multiprocessing starts its processes with the flags that this function returns.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    known = {*flags}
    for name, value in sys._xoptions.items():
        flag = name if value is True else f"{name}={value}"
        if flag not in known:
            flags += ["-X", flag]
    if getattr(sys.__stdout__, "write_through", False):
        flags.append("-u")
    entries: Sequence[object] = sys.path
    path = [entry for entry in entries if isinstance(entry, str)]  # Python ignores any other
    return [sys.executable, *flags, "-c", _PROGRAM.format(path=path)]


class Fork:
    """Each worker is a fork of this process, which has imported the application (``--preload``).

    `in_child` lets go of what belongs to the supervisor; `work` is the worker's main program. While
    the block of `still` lasts, no other thread runs that could hold a lock.
    """

    def __init__(
        self,
        in_child: Callable[[], None],
        work: Callable[[Setup, socket.socket, int], int],
        still: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._in_child = in_child
        self._work = work
        self._still = still

    def start(self, setup: Setup, inherit: Sequence[int]) -> WorkerHandle:
        """See `Launcher`. A fork inherits all descriptors, so `inherit` is not used."""
        control, theirs, stacks, stacks_theirs = _channels()
        flush_streams()
        with self._still(), spawn_mask(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: they stand still
            pid = os.fork()
            if pid == 0:
                control.close()
                stacks.close()
                self._be_the_child(setup, theirs, stacks_theirs.detach())
        theirs.close()
        stacks_theirs.close()
        control.setblocking(False)
        process = ChildProcess(pid, lambda: _poll(pid), forked=True)
        return WorkerHandle(process, control, stacks)

    def _be_the_child(self, setup: Setup, control: socket.socket, stacks_fd: int) -> None:
        """Run the worker, and never return: the supervisor's code must not go on in the fork."""
        code = 1
        try:
            self._in_child()
            code = self._work(setup, control, stacks_fd)
            threading._shutdown()  # type: ignore[attr-defined] # as a normal exit does
            atexit._run_exitfuncs()
        except BaseException:
            traceback.print_exc()
        finally:
            logging.shutdown()
            end_streams()
            os._exit(code)


def preload(config: Config) -> Any:
    """Import the application in this process, ready to be forked.

    Raises `ApplicationLoadError`, or `ConfigError` when threads run: a fork would lose the threads,
    and the locks that they hold would stay locked.
    """
    load_env_files(config.env_file)
    with outside_the_loop(logger.warning):
        app = load_application(config.app, factory=config.factory, app_dir=config.app_dir)
    open_missing()  # the application may have closed standard streams
    ours = threading.main_thread().name, admin.THREAD  # the latter stands still during a fork
    others = [thread.name for thread in threading.enumerate() if thread.name not in ours]
    if others:
        raise ConfigError(
            f"preload: importing the application started threads ({', '.join(others)}); "
            "start them in the lifespan instead, or leave out --preload"
        )
    gc.collect()
    gc.freeze()  # otherwise the collector would write to every shared page, and so copy it
    return app


def _channels() -> tuple[socket.socket, socket.socket, socket.socket, socket.socket]:
    """Two pairs of sockets, our end first. Pipes would not do: Windows can select only sockets."""
    control, theirs = socket.socketpair()
    stacks, stacks_theirs = socket.socketpair()
    stacks.setblocking(False)
    return control, theirs, stacks, stacks_theirs


def _popen(command: Sequence[str], inherit: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start a program that has the descriptors `inherit` under their numbers. Raises `OSError`."""
    if sys.platform == "win32":
        # A child inherits every handle that is inheritable at this moment, and so do its children.
        # In a virtual environment python.exe only starts the real interpreter as its child, which
        # `socket.share`, made for one process id, would not reach.
        for handle in inherit:
            os.set_handle_inheritable(handle, True)
        try:
            # In a process group of its own a worker does not get Ctrl-C; the supervisor handles it.
            flags = subprocess.CREATE_NEW_PROCESS_GROUP
            return subprocess.Popen(command, close_fds=False, creationflags=flags)
        finally:
            for handle in inherit:
                os.set_handle_inheritable(handle, False)
    with spawn_mask():
        return subprocess.Popen(command, pass_fds=inherit)


def _poll(pid: int) -> int | None:
    """The exit code of a child, negative for a signal; None while it runs."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return -signal.SIGKILL  # other code has reaped the child, so its exit code is unknown
    return os.waitstatus_to_exitcode(status) if ended else None
