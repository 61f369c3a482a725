"""Files that a server leaves for other programs: whole or not there, and never in place of others.

It knows names and kinds of files; not what stands in them.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_folder", "open_draft", "open_earlier"]

_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # else a FIFO waits for a writer
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


def open_earlier(path: str, is_ours: Callable[[bytes], bool]) -> int | None:
    """Descriptor of the file at `path`, which an earlier server has left; None: nothing is there.

    Raises `OSError` for anything that `is_ours`, which sees its first bytes, does not know, and for
    what is no plain file: links, FIFOs, devices, directories. Never waits.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):  # to open some devices has effects
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
    """Over NFS only what is open for writing can be locked."""
    try:
        return os.open(path, os.O_RDWR | _NONBLOCK | _NOFOLLOW)
    except PermissionError:
        return os.open(path, os.O_RDONLY | _NONBLOCK | _NOFOLLOW)


def open_draft(path: str) -> tuple[int, str]:
    """Descriptor and path of a new file beside `path`, to be renamed to it. Raises `OSError`."""
    draft = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
    return os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o644), draft


def check_folder(path: str) -> None:
    """See that a file can be made at `path`. Raises `OSError`."""
    fd, draft = open_draft(path)
    os.close(fd)
    os.unlink(draft)
