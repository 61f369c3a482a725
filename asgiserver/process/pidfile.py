"""The file that holds the supervisor's process id.

A lock on the file tells whether its writer still lives: a number that a crash or another container
has left never blocks a start.
"""

from __future__ import annotations

import fcntl
import os

from asgiserver.errors import ConfigError
from asgiserver.server.own_files import open_draft, open_earlier

__all__ = ["PidFile"]


class PidFile:
    """The file that `open` writes and `close` removes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __repr__(self) -> str:
        return f"<PidFile {self._path} {'held' if self._fd >= 0 else 'closed'}>"

    def open(self, predecessor: int = 0) -> None:
        """Take the file. The process `predecessor`, which hands over to this one, may hold it.

        Raises `ConfigError` when another running server holds the file, when the path cannot be
        written, and when a file that is no pid file is there.
        """
        try:
            self._path = os.path.abspath(self._path)  # the application may change the directory
            while not self._take(predecessor):
                pass  # another server that starts was faster: look again who holds the file
        except OSError as exc:
            raise ConfigError(f"pid: {self._path}: {exc.strerror}") from None

    def _take(self, predecessor: int) -> bool:
        """Replace the file of an earlier server by ours; False when that has to be tried again."""
        earlier = open_earlier(self._path, _is_number)
        if earlier is None:
            return self._put(is_first=True)
        try:
            # Of several servers that start, only the one with this lock replaces the file.
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
        """Put a new file in place, so that a lock on the old file no longer matters."""
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
            pass  # the file is gone, or may no longer be removed; its lock shows that it is stale
        self.abandon()

    def abandon(self) -> None:
        """Called in a forked child: close the file without removing it."""
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
    """Move `draft` to `path` only if no file is there; False if the file system has no links.

    Raises `FileExistsError`.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        return False
    os.unlink(draft)
    return True
