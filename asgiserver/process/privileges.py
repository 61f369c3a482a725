"""Become another user, after the steps that only root can take.

This module knows nothing of sockets and workers.
"""

from __future__ import annotations

import grp
import os
import pwd

from asgiserver.errors import ConfigError

__all__ = ["drop_privileges"]


def drop_privileges(user: str | None, group: str | None) -> None:
    """Become `user` and `group`, names or numbers, for good. Without both, do nothing.

    The group defaults to the user's own, with its supplementary groups. Raises `ConfigError`.
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
        os.setgid(gid)
        if entry is not None:
            os.setuid(entry.pw_uid)
    except PermissionError:
        raise ConfigError("user, group: only root can become somebody else") from None


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
