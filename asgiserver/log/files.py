"""Log files that other programs rotate while the server writes to them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from asgiserver.errors import ConfigError
from asgiserver.log.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FileOutlet", "open_outlet"]

_FLAGS = (
    os.O_WRONLY
    | os.O_APPEND  # so that several processes, and a truncation, cannot write over each other
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a named pipe without a reader is an error, and no wait
)
_STANDARD = {"-": "", "/dev/stdout": "stdout", "/dev/stderr": "stderr"}


class FileOutlet(Outlet):
    """A file to which several processes append whole lines, each block of them with one write.

    Before each write the file's name is looked up: when it has become another file, or none, as
    after a rotation, the file is opened anew. No signal is needed for that. Lines that cannot be
    written, on a full disk for example, wait up to `LIMIT` bytes for the next flush.

    Raises `OSError` when the file cannot be opened.
    """

    def __init__(self, path: str, resumed: Callable[[int], None]) -> None:
        super().__init__("", resumed)
        self.title = path
        self._path = os.path.abspath(path)  # the application may change the directory
        self._identity = (0, 0)
        self._fd = -1
        self._open()

    def __repr__(self) -> str:
        return f"<FileOutlet {self.title} waiting={self.waiting} lost={self.lost}>"

    def close(self) -> None:
        """Write the waiting lines, and close the file."""
        super().close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        fd = os.open(self._path, _FLAGS, 0o644)
        status = os.fstat(fd)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._identity = fd, (status.st_dev, status.st_ino)

    def _follow(self) -> None:
        """Open the file anew if its name means another one now.

        When that fails, the old file is kept: lines in a file that was renamed are not lost.
        """
        try:
            status = os.stat(self._path)
            if (status.st_dev, status.st_ino) == self._identity:
                return
        except OSError:
            pass  # it was renamed or deleted
        try:
            self._open()
        except OSError as error:
            self.problem = error.strerror or str(error)

    def _drain(self, patience: float) -> None:
        if self._fd < 0:  # closed; a line that comes after that opens the file once more
            self._open()
        else:
            self._follow()
        try:
            while self._blocks:
                self._written(os.write(self._fd, self._blocks[0]))
        except OSError as error:
            self.problem = error.strerror or str(error)
        else:
            self.problem = ""


def open_outlet(option: str, path: str, standard: str, resumed: Callable[[int], None]) -> Outlet:
    """What lines for `path` are written to; ``-`` is the `standard` stream.

    Raises `ConfigError`, which names the `option`.
    """
    if path in _STANDARD:
        return Outlet(_STANDARD[path] or standard, resumed)
    try:
        return FileOutlet(path, resumed)
    except OSError as error:
        raise ConfigError(f"{option} {path}: {error.strerror or error}") from None
