"""Become another user, after the steps that only root can take.

This module knows nothing of sockets and workers.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from typing import TYPE_CHECKING

from asgiserver.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["drop_privileges"]


def drop_privileges(user: str | None, group: str | None, files: Iterable[str] = ()) -> None:
    """Become `user` and `group`, names or numbers, for good. Without both, do nothing.

    The group defaults to the user's own, with its supplementary groups. They become the owners of
    `files`, which are made if they are not there: logs, which workers go on writing to. Raises
    `ConfigError`.
    """
    if user is None and group is None:
        return
    entry = _user(user) if user is not None else None
    if group is not None:
        gid = _group(group)
    else:
        assert entry is not None
        gid = entry.pw_gid
    uid = entry.pw_uid if entry is not None else os.getuid()
    if (os.getuid(), os.geteuid(), os.getgid()) == (uid, uid, gid) and uid:
        return  # the supervisor that started this one has done it
    try:
        if entry is None:
            os.setgroups([gid])
        else:
            os.initgroups(entry.pw_name, gid)
        for path in files:
            _give(path, uid, gid)
        os.setgid(gid)
        if entry is not None:
            os.setuid(entry.pw_uid)
    except PermissionError:
        raise ConfigError("user and group: only root can become somebody else") from None


def _give(path: str, uid: int, gid: int) -> None:
    """Change the owner of a regular file. What is wrong with its name is told when it is opened."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o644)
    except OSError:
        return
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.fchown(fd, uid, gid)
    finally:
        os.close(fd)


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        raise ConfigError(f"user: there is no user {name!r}") from None


def _group(name: str) -> int:
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"group: there is no group {name!r}") from None
