"""The file that holds the supervisor's process id.

A lock on the file tells whether its writer still lives: a number left over from before a crash or
from another container never blocks a start. It knows nothing of what the process does.
"""

from __future__ import annotations

import fcntl
import os

from asgiserver.errors import ConfigError

__all__ = ["PidFile"]


class PidFile:
    """Written at `open`, removed at `close`."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._fd = -1

    def __repr__(self) -> str:
        return f"<PidFile {self._path} {'held' if self._fd >= 0 else 'closed'}>"

    def open(self, predecessor: int = 0) -> None:
        """Take the file. The process `predecessor`, which hands over to this one, may hold it.

        Raises `ConfigError` when another server that is alive does, or on a path that cannot be
        written.
        """
        fresh = f"{self._path}.{os.getpid()}"
        try:
            holder = self._holder()
            if holder is not None and holder != str(predecessor):
                raise ConfigError(f"pid: {self._path} belongs to a running server (pid {holder})")
            # A new file each time: the lock of whoever held the old one does not matter any more.
            self._fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(self._fd, f"{os.getpid()}\n".encode())
            os.rename(fresh, self._path)
        except OSError as exc:
            raise ConfigError(f"pid: {self._path}: {exc.strerror}") from None

    def _holder(self) -> str | None:
        """What stands in the file when its writer is alive; None when there is no such."""
        try:
            with open(self._path, encoding="ascii", errors="replace") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return file.read(20).strip()
        except FileNotFoundError:
            pass
        return None

    def close(self) -> None:
        """Remove the file, unless a successor has taken it."""
        if self._fd < 0:
            return
        try:
            if os.path.samestat(os.stat(self._path), os.fstat(self._fd)):
                os.unlink(self._path)
        except OSError:
            pass  # already gone, or the privilege to remove it was given up: the lock tells
        self.abandon()

    def abandon(self) -> None:
        """Close it without removing it: in a forked child."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
