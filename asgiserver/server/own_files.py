"""Files that a server leaves for other programs.

Such a file is complete or absent, and never takes the place of somebody else's file. This module
knows names and kinds of files, but not what the files contain.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_folder", "open_draft", "open_earlier"]

_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # without it, opening a FIFO waits for a writer
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


def open_earlier(path: str, is_ours: Callable[[bytes], bool]) -> int | None:
    """Descriptor of the file that an earlier server has left at `path`; None: there is no file.

    `is_ours` gets the first bytes of the file. Raises `OSError` when it returns False, and for
    anything that is no plain file: links, FIFOs, devices, directories. Never waits.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):  # opening some devices has effects
            raise OSError(
                errno.EEXIST, "it exists and is no plain file; remove it, or name another"
            )
        fd = _open(path)
    except FileNotFoundError:
        return None
    start = os.pread(fd, 64, 0) if hasattr(os, "pread") else os.read(fd, 64)
    if start and not is_ours(start):
        os.close(fd)
        raise OSError(errno.EEXIST, "it is not a server's file; remove it, or name another")
    return fd


def _open(path: str) -> int:
    """Open for writing if possible: over NFS only such a file can be locked."""
    try:
        return os.open(path, os.O_RDWR | _NONBLOCK | _NOFOLLOW)
    except PermissionError:
        return os.open(path, os.O_RDONLY | _NONBLOCK | _NOFOLLOW)


def open_draft(path: str) -> tuple[int, str]:
    """Descriptor and path of a new file, to be renamed to `path` later. Raises `OSError`."""
    draft = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
    return os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o644), draft


def check_folder(path: str) -> None:
    """Raise `OSError` when no file can be created at `path`."""
    fd, draft = open_draft(path)
    os.close(fd)
    os.unlink(draft)
