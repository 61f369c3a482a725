"""Runs a module in an interpreter that has nothing of what Windows does not have.

``python windows_like.py MODULE ARGUMENTS``. The few calls that only Windows has are imitated; all
else of asgiserver that is for Windows runs as it is. Workers become the same kind of process.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import runpy
import select
import selectors
import signal
import socket
import stat
import subprocess
import sys

# Modules of others that look at the platform while they are imported.
EARLY = ("tempfile", "ctypes", "ssl", "logging.config", "click", "watchfiles")
for name in EARLY:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)

POSIX_MODULES = ("fcntl", "grp", "pwd", "resource", "termios", "uvloop", "setproctitle")
POSIX_SIGNALS = (
    *("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGTTIN", "SIGTTOU", "SIGKILL"),
    *("SIGALRM", "SIGPIPE", "pthread_sigmask", "pthread_kill", "sigwait", "siginterrupt"),
)
POSIX_OS = (
    *("fork", "register_at_fork", "waitid", "WNOHANG", "killpg", "setuid", "setgid", "getuid"),
    *("geteuid", "getgid", "setgroups", "initgroups", "sysconf", "sched_getaffinity", "sendfile"),
    *("set_blocking", "mkfifo", "pread", "O_CLOEXEC", "O_NONBLOCK", "O_NOFOLLOW", "O_DIRECTORY"),
)
POSIX_SOCKET = ("AF_UNIX", "SO_REUSEPORT", "send_fds", "recv_fds", "MSG_DONTWAIT")
POSIX_SELECT = ("poll", "epoll", "PIPE_BUF")


class SocketSelector(selectors.SelectSelector):
    """Waits for sockets only."""

    def register(self, fileobj, events, data=None):
        key = super().register(fileobj, events, data)
        assert stat.S_ISSOCK(os.fstat(key.fd).st_mode), fileobj
        return key


class BlindLoop(asyncio.SelectorEventLoop):
    """Watches no sockets for others, like the proactor."""

    def add_reader(self, fd, callback, *args):
        raise NotImplementedError

    add_writer = add_reader


def loopback_pair(*_args):
    """Does what `socket.socketpair` does on Windows."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    return ours, theirs


def kill(pid, number):
    """`TerminateProcess`: nothing else on Windows reaches another process."""
    assert number == signal.SIGTERM
    real_kill(pid, REAL_SIGKILL)


def imitate() -> None:
    os.set_handle_inheritable = os.set_inheritable
    subprocess.CREATE_NEW_PROCESS_GROUP = 0
    socket.SO_EXCLUSIVEADDRUSE = socket.SO_REUSEADDR
    signal.SIGBREAK = signal.SIGUSR1
    socket.socketpair = loopback_pair
    selectors.DefaultSelector = SocketSelector
    asyncio.ProactorEventLoop = BlindLoop
    os.kill = kill


def take_away() -> None:
    os.process_cpu_count = os.cpu_count  # the real one looks at the affinity
    for module in POSIX_MODULES:
        sys.modules[module] = None  # its import fails
    for module, names in (
        (signal, POSIX_SIGNALS),
        (os, POSIX_OS),
        (socket, POSIX_SOCKET),
        (select, POSIX_SELECT),
    ):
        for name in names:
            with contextlib.suppress(AttributeError):
                delattr(module, name)
    import faulthandler

    del faulthandler.register
    sys.platform = "win32"


real_kill, REAL_SIGKILL = os.kill, signal.SIGKILL

if __name__ == "__main__":
    imitate()
    take_away()
    if sys.argv[1] == "asgiserver":
        from asgiserver.process import launch

        worker = (sys.executable, __file__, "asgiserver.process.worker")
        launch.Spawn.__init__.__defaults__ = (worker,)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
