"""Ports for programs that have to be told one."""

import socket
import sys

_held = []


def held_port():
    """A TCP port of 127.0.0.1 that a program can listen on, and that nobody else is given.

    On Linux a socket that is bound with SO_REUSEADDR keeps the system from choosing its port for
    others, and does not stand in the way of who names the port; it is held until this process ends.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    if sys.platform.startswith("linux"):
        _held.append(sock)
    else:
        sock.close()
    return port
