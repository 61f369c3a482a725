"""The file that holds the supervisor's process id.

A lock on the file tells whether its writer still lives: a number left over from before a crash or
from another container never blocks a start. It knows nothing of what the process does.
"""

from __future__ import annotations

import fcntl
import os

from asgiserver.errors import ConfigError
from asgiserver.server.own_files import open_draft, open_earlier

__all__ = ["PidFile"]


class PidFile:
    """Written at `open`, removed at `close`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __repr__(self) -> str:
        return f"<PidFile {self._path} {'held' if self._fd >= 0 else 'closed'}>"

    def open(self, predecessor: int = 0) -> None:
        """Take the file. The process `predecessor`, which hands over to this one, may hold it.

        Raises `ConfigError` when another server that is alive does, on a path that cannot be
        written, and on one that is anything but a pid file.
        """
        try:
            self._path = os.path.abspath(self._path)  # the application may change the directory
            while not self._take(predecessor):
                pass  # another one that starts was faster: look again who that is
        except OSError as exc:
            raise ConfigError(f"pid: {self._path}: {exc.strerror}") from None

    def _take(self, predecessor: int) -> bool:
        """Put a file of ours in place of what an earlier server left; False to look again."""
        earlier = open_earlier(self._path, _is_number)
        if earlier is None:
            return self._put(is_first=True)
        try:
            # Only one of those that start has this lock while it replaces the file.
            fcntl.flock(earlier, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _is_at(self._path, earlier) and self._put(is_first=False)
        except BlockingIOError:
            holder = os.pread(earlier, 20, 0).decode("ascii", "replace").strip()
            if holder and holder == str(predecessor):
                return self._put(is_first=False)
            text = f"pid: {self._path} belongs to a running server (pid {holder})"
            raise ConfigError(text) from None
        finally:
            os.close(earlier)

    def _put(self, *, is_first: bool) -> bool:
        """A new file each time: the lock of whoever held the old one does not matter any more."""
        fd, draft = open_draft(self._path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(fd, f"{os.getpid()}\n".encode())
            if not is_first or not _link(draft, self._path):
                os.rename(draft, self._path)
        except OSError as exc:
            os.close(fd)
            os.unlink(draft)
            if isinstance(exc, FileExistsError):
                return False
            raise
        self._fd = fd
        return True

    def close(self) -> None:
        """Remove the file, unless a successor has taken it."""
        if self._fd < 0:
            return
        try:
            if _is_at(self._path, self._fd):
                os.unlink(self._path)
        except OSError:
            pass  # already gone, or the privilege to remove it was given up: the lock tells
        self.abandon()

    def abandon(self) -> None:
        """Close it without removing it: in a forked child."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _is_number(start: bytes) -> bool:
    return start.strip().isdigit()


def _is_at(path: str, fd: int) -> bool:
    """Whether the open file is the one at `path`."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _link(draft: str, path: str) -> bool:
    """Move a file where there is none. False: this file system cannot tell."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        return False
    os.unlink(draft)
    return True
