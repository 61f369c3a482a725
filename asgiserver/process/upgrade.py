"""Hand the listening sockets over to a new supervisor, started by the same command line.

The old one tells addresses and descriptors in one variable of the environment; the new one says
through a pipe that it serves. It knows nothing of workers.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from asgiserver.server.listener import Listener, adopt

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

__all__ = ["VARIABLE", "Predecessor", "Successor"]

VARIABLE = "_ASGISERVER_TAKEOVER"


class Successor:
    """The new supervisor, as the old one sees it."""

    def __init__(
        self, listeners: Sequence[Listener], queues: Sequence[Sequence[socket.socket]]
    ) -> None:
        """Start it. Raises `OSError`."""
        self._reader, writer = os.pipe()
        fds = [listener.fileno() for listener in listeners]
        import json

        queue_fds = [[sock.fileno() for sock in queue] for queue in queues]
        told = {
            "pid": os.getpid(),
            "ready": writer,
            "listeners": [
                [listener.fileno(), listener.path, listener.scheme] for listener in listeners
            ],
            "queues": queue_fds,
        }
        environ = {**os.environ, VARIABLE: json.dumps(told)}
        if environ.get("WATCHDOG_PID") == str(os.getpid()):
            del environ["WATCHDOG_PID"]  # systemd will wait for signs of life of the new one
        try:
            self._process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                env=environ,
                pass_fds=(writer, *fds, *itertools.chain(*queue_fds)),
            )
        except OSError:
            os.close(self._reader)
            raise
        finally:
            os.close(writer)
        self.pid = self._process.pid

    def __repr__(self) -> str:
        return f"<Successor pid={self.pid}>"

    def fileno(self) -> int:
        """Readable once the new one has something to say."""
        return self._reader

    def serves(self) -> bool:
        """Whether it serves; False when it has ended instead."""
        return os.read(self._reader, 1) == b"1"

    def has_ended(self) -> bool:
        """Reap it if it is over."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Listen to it no longer."""
        os.close(self._reader)
        self._process.returncode = self._process.returncode or 0  # it may outlive this process


class Predecessor:
    """The old supervisor, as the new one sees it: `listeners` and `queues` are its sockets."""

    def __init__(self, told: str) -> None:
        import json

        values = json.loads(told)
        self.pid = int(values["pid"])
        self._ready = int(values["ready"])
        os.set_inheritable(self._ready, False)
        self.listeners = []
        for fd, path, scheme in values["listeners"]:
            self.listeners.append(Listener(adopt(fd), path, scheme))
        # Of an older version there are none.
        self.queues = [[adopt(fd) for fd in queue] for queue in values.get("queues", ())]

    def __repr__(self) -> str:
        return f"<Predecessor pid={self.pid}>"

    @classmethod
    def find(cls) -> Predecessor | None:
        """The one that started this process to be its successor, if any."""
        told = os.environ.pop(VARIABLE, None)
        return cls(told) if told is not None else None

    def let_go(self) -> None:
        """Tell it to drain: this process serves now. May be called twice."""
        if self._ready >= 0:
            try:
                os.write(self._ready, b"1")
            except OSError:
                pass  # it is gone already
            self.close()

    def close(self) -> None:
        """Without a word: it goes on serving."""
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
