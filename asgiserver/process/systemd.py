"""systemd: the sockets that it passes on (LISTEN_FDS), and the notices that it expects (sd_notify).

This module knows nothing of workers. Without systemd, none of it has an effect.
"""

from __future__ import annotations

import errno
import os
import socket
import time

from asgiserver.errors import BindError

__all__ = ["Notifier", "inherited_sockets"]

_FIRST_FD = 3  # SD_LISTEN_FDS_START


def inherited_sockets() -> list[int]:
    """The descriptors that systemd has opened for this process (sd_listen_fds(3)).

    Raises `BindError` when fewer descriptors were passed on than systemd says, because other open
    files must not be taken for them.
    """
    count = os.environ.get("LISTEN_FDS", "")
    if not count or os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    # Children inherit neither the variables nor, unless they are passed on, the sockets.
    for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    try:
        fds = []
        for fd in range(_FIRST_FD, _FIRST_FD + int(count)):
            if not os.get_inheritable(fd):  # then this process has opened the descriptor itself
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            os.set_inheritable(fd, False)
            fds.append(fd)
    except (OSError, OverflowError, ValueError):
        raise BindError(f"LISTEN_FDS={count}: so many descriptors were not passed on") from None
    return fds


class Notifier:
    """Tells systemd the state of the service (sd_notify(3)).

    `interval` is the number of seconds between two signs of life for the unit's ``WatchdogSec``;
    None when the unit has none.
    """

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        period = int(os.environ.get("WATCHDOG_USEC") or 0) / 1_000_000
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.interval = period / 2 if period and mine and self._address else None

    def __repr__(self) -> str:
        return f"<Notifier {self._address!r} interval={self.interval}>"

    def send(self, *lines: str) -> None:
        """Send assignments such as ``READY=1``."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            try:
                sock.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                pass  # systemd itself is restarting, or has gone

    def ready(self, status: str) -> None:
        """Tell that requests are served: at the start, after a reload, after taking over."""
        self.send("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """Tell that a rolling restart begins (``Type=notify-reload`` requires the time)."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that the graceful stop begins."""
        self.send("STOPPING=1")

    def alive(self) -> None:
        """Tell that at least one worker's event loop turns."""
        self.send("WATCHDOG=1")
