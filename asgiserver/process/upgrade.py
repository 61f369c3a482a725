"""Hand the listening sockets over to a new supervisor, started by the same command line.

The old supervisor passes addresses and descriptors in one environment variable; the new one tells
through a pipe that it serves. This module knows nothing of workers.
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
    """The new supervisor as the old one sees it."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        queues: Sequence[Sequence[socket.socket]],
        admin: Sequence[Listener] = (),
    ) -> None:
        """Start the new supervisor. Raises `OSError`."""
        self._reader, writer = os.pipe()
        fds = [listener.fileno() for listener in (*listeners, *admin)]
        import json

        queue_fds = [[sock.fileno() for sock in queue] for queue in queues]
        values = {
            "pid": os.getpid(),
            "ready": writer,
            "listeners": _described(listeners),
            "admin": _described(admin),
            "queues": queue_fds,
        }
        environ = {**os.environ, VARIABLE: json.dumps(values)}
        if environ.get("WATCHDOG_PID") == str(os.getpid()):
            del environ["WATCHDOG_PID"]  # systemd will expect signs of life of the new supervisor
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
        """The descriptor that is readable once the new supervisor serves or has ended."""
        return self._reader

    def serves(self) -> bool:
        """Whether the new supervisor serves; False when it has ended instead."""
        return os.read(self._reader, 1) == b"1"

    def has_ended(self) -> bool:
        """Reap the new supervisor if it has ended, and tell whether it has."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Stop listening to the new supervisor."""
        os.close(self._reader)
        # The new supervisor may outlive this process; Popen would warn of that.
        self._process.returncode = self._process.returncode or 0


def _described(listeners: Sequence[Listener]) -> list[tuple[int, str | None, str]]:
    return [(listener.fileno(), listener.path, listener.scheme) for listener in listeners]


class Predecessor:
    """The old supervisor as the new one sees it: `listeners` and `queues` are its sockets.

    `admin` are those of its admin listener.
    """

    def __init__(self, text: str) -> None:
        import json

        values = json.loads(text)
        self.pid = int(values["pid"])
        self._ready = int(values["ready"])
        os.set_inheritable(self._ready, False)
        self.listeners = [Listener(adopt(fd), *rest) for fd, *rest in values["listeners"]]
        # A supervisor of an older version passes neither of these.
        self.admin = [Listener(adopt(fd), *rest) for fd, *rest in values.get("admin", ())]
        self.queues = [[adopt(fd) for fd in queue] for queue in values.get("queues", ())]

    def __repr__(self) -> str:
        return f"<Predecessor pid={self.pid}>"

    @classmethod
    def find(cls) -> Predecessor | None:
        """The supervisor that started this process as its successor, if any."""
        text = os.environ.pop(VARIABLE, None)
        return cls(text) if text is not None else None

    def let_go(self) -> None:
        """Tell the old supervisor to drain, as this process serves. May be called twice."""
        if self._ready >= 0:
            try:
                os.write(self._ready, b"1")
            except OSError:
                pass  # the old supervisor is gone already
            self.close()

    def close(self) -> None:
        """Close the pipe; unless `let_go` came before, the old supervisor goes on serving."""
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
