"""Telling other programs that requests are served: ``--ready-file`` and ``--ready-fd``."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from asgiserver.errors import ConfigError
from asgiserver.server.own_files import check_folder, open_draft, open_earlier
from asgiserver.server.standard_streams import HIGHEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgiserver.config.fields import Config

__all__ = ["Readiness", "check_descriptor"]

_START = b'{"addresses"'  # every ready file begins with it


class Readiness:
    """Announces once that requests are served, and withdraws that at the end."""

    def __init__(self, config: Config) -> None:
        self._path = config.ready_file
        self._fd = config.ready_fd
        self._written: os.stat_result | None = None

    def __repr__(self) -> str:
        return f"<Readiness file={self._path} fd={self._fd}>"

    def check(self) -> None:
        """Raise `ConfigError`, before anything is started, when `announce` could not succeed."""
        if self._path is not None:
            try:
                _check_replaceable(self._path)
                check_folder(self._path)
            except OSError as error:
                raise ConfigError(f"ready_file: {self._path}: {error.strerror}") from None
        check_descriptor(self._fd)

    def announce(self, addresses: Sequence[str]) -> None:
        """Write ``{"addresses": [...], "pid": ...}``, completely or not at all.

        Raises `ConfigError` when that cannot be written, because another program waits for it.
        """
        if self._path is None and self._fd is None:
            return
        import json

        data = json.dumps({"addresses": list(addresses), "pid": os.getpid()}).encode() + b"\n"
        if self._path is not None:
            try:
                _check_replaceable(self._path)
                self._written = _replace(self._path, data)
            except OSError as error:
                raise ConfigError(f"ready_file: {self._path}: {error.strerror}") from None
        if self._fd is not None:
            fd, self._fd = self._fd, None
            try:
                with open(fd, "wb", closefd=fd > HIGHEST) as stream:
                    stream.write(data)
            except OSError as error:
                raise ConfigError(f"ready_fd: {fd}: {error.strerror}") from None

    def forget_descriptor(self) -> None:
        """Do not use --ready-fd: the first of a line of supervisors has used and closed it."""
        self._fd = None

    def abandon(self) -> None:
        """Called in a forked child: close the descriptor, whose reader waits for end of file."""
        if self._fd is not None and self._fd > HIGHEST:
            os.close(self._fd)
            self._fd = None

    def withdraw(self) -> None:
        """Remove the ready file, unless another server has replaced it."""
        written, self._written = self._written, None
        if written is None or self._path is None:
            return
        try:
            if os.path.samestat(os.lstat(self._path), written):
                os.unlink(self._path)
        except OSError:
            pass  # the file is gone already, or the privilege to remove it was given up


def check_descriptor(fd: int | None) -> None:
    """Check that ``--ready-fd`` can be written to, and let no child process inherit it.

    Call this before the process opens any file, which could get the same number. Raises
    `ConfigError`.
    """
    if fd is None:
        return
    try:
        os.fstat(fd)
        if sys.platform != "win32":
            import fcntl

            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise OSError(errno.EBADF, "it is not open for writing")
        if fd > HIGHEST:
            os.set_inheritable(fd, False)
    except OSError as error:
        raise ConfigError(f"ready_fd: {fd}: {error.strerror}") from None


def _check_replaceable(path: str) -> None:
    earlier = open_earlier(path, lambda start: start.startswith(_START))
    if earlier is not None:
        os.close(earlier)


def _replace(path: str, data: bytes) -> os.stat_result:
    """Replace the file at `path` by one with `data`. Raises `OSError`."""
    fd, draft = open_draft(path)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            written = os.fstat(fd)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return written
