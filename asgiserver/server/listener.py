"""Bound sockets: what ``--bind``, ``--host``/``--port``, ``--uds`` and ``--fd`` mean.

The same code binds for one process and for many. It accepts no connections.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
import time
from typing import TYPE_CHECKING

from asgiserver.config.fields import has_tls
from asgiserver.errors import BindError, ConfigError
from asgiserver.server.standard_streams import HIGHEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asgiserver.config.fields import Config


__all__ = ["Listener", "adopt", "bind_admin", "bind_sockets", "bind_unix"]

Identity = tuple[int, int]
"""Device and inode of a file."""

_RESERVES = sys.platform.startswith("linux")
"""Whether two sockets with SO_REUSEADDR may be bound to one port as long as neither listens."""

LOCK_WAIT = 2.0
"""Seconds to wait for another server that looks for stale sockets in the same directory."""


class Listener:
    """A socket bound to one address.

    `path` is given for a unix socket that this server has made, and must remove.
    """

    __slots__ = ("_identity", "path", "scheme", "socket")

    def __init__(self, sock: socket.socket, path: str | None = None, scheme: str = "http") -> None:
        self.socket = sock
        self.path = path
        self.scheme = scheme
        self._identity = _identity(path) if path is not None else None

    def __repr__(self) -> str:
        return f"<Listener {self.address}>"

    @property
    def is_unix(self) -> bool:
        """Whether it listens on a unix socket."""
        return self.socket.family not in (socket.AF_INET, socket.AF_INET6)

    @property
    def address(self) -> str:
        """``http://host:port`` with the real port, or ``unix:/path``."""
        name = self.socket.getsockname()
        if self.is_unix:
            text = os.fsdecode(name)
            return "unix:@" + text[1:] if text[:1] == "\0" else f"unix:{text}"
        host, port = name[:2]
        return (
            f"{self.scheme}://[{host}]:{port}" if ":" in host else f"{self.scheme}://{host}:{port}"
        )

    @property
    def port(self) -> int | None:
        """The TCP port; None on a unix socket."""
        return None if self.is_unix else self.socket.getsockname()[1]

    def fileno(self) -> int:
        """The file descriptor."""
        return self.socket.fileno()

    def listen(self, backlog: int) -> None:
        """Let clients connect. Raises `BindError` when somebody else has begun to listen."""
        if _RESERVES and not self.is_unix:
            # Connections inherit the option; without it, connections that outlive this server would
            # keep the next one from binding.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.listen(backlog)
        except OSError as error:
            raise BindError(f"cannot listen on {self.address}: {error.strerror}") from None

    def close(self, unlink: bool = True) -> None:
        """Close the socket, and remove the path of a unix socket."""
        if unlink:
            self.unlink()
        self.socket.close()

    def unlink(self) -> None:
        """Remove the path of a unix socket if it still leads to this socket.

        This has to happen before the socket is closed: until then no other server takes the path
        over, and the inode number is not given to another file.
        """
        if self.path is None or self.socket.fileno() < 0:
            return
        try:
            if _identity(self.path) == self._identity:
                os.unlink(self.path)
        except OSError:
            pass  # without the privilege to remove the path, it is left as a stale one


def bind_sockets(config: Config) -> list[Listener]:
    """Bind everything that `config` names. Raises `BindError` or `ConfigError`."""
    scheme = "https" if has_tls(config) else "http"
    listeners: list[Listener] = []
    try:
        for spec in _specs(config):
            listeners += _bind(spec, config, scheme)
        if config.ssl_redirect:
            listeners += _bind(config.ssl_redirect, config, "http")
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def bind_admin(address: str) -> list[Listener]:
    """Bind the address of --admin; a unix socket is for its owner.

    Raises `BindError` or `ConfigError`.
    """
    try:
        if address.startswith("unix:"):
            return [bind_unix(address[5:], "600", "http")]
        host, port = _split(address, 0)
        return [Listener(sock) for sock in _bind_tcp(host, port)]
    except ConfigError as error:
        raise ConfigError(f"admin: {str(error).removeprefix('bind: ')}") from None


def _specs(config: Config) -> list[str]:
    if config.bind:
        return list(config.bind)
    specs = []
    if config.uds is not None:
        specs.append(f"unix:{config.uds}")
    if config.fd is not None:
        specs.append(f"fd://{config.fd}")
    host = f"[{config.host}]" if ":" in config.host else config.host
    return specs or [f"{host}:{config.port}"]


def _bind(spec: str, config: Config, scheme: str) -> list[Listener]:
    if spec.startswith("unix:"):
        return [bind_unix(spec[5:], config.uds_mode, scheme)]
    if spec.startswith("fd://"):
        return [_adopt(spec[5:], scheme)]
    host, port = _split(spec, config.port)
    return [Listener(sock, None, scheme) for sock in _bind_tcp(host, port)]


def _split(spec: str, default_port: int) -> tuple[str, int]:
    """``host:port``, ``[host]:port``, ``:port`` or ``host``."""
    host, colon, port = spec.rpartition(":")
    if "//" in spec:
        raise ConfigError(f"bind: {spec!r} is a URL; write host:port, such as 127.0.0.1:8000")
    if not colon and spec.isdecimal():
        raise ConfigError(f"bind: {spec!r} is no address; write :{spec} for port {spec}")
    if not colon or spec.endswith("]"):
        host, port = spec, str(default_port)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError(f"bind: write an IPv6 address in brackets: [{host}]:{port}")
    digits = port.isascii() and port.isdigit() and len(port) < 20
    if not digits or int(port) > 65535:
        raise ConfigError(f"bind: {spec!r} has no port from 0 to 65535")
    return host, int(port)


def _bind_tcp(host: str, port: int) -> list[socket.socket]:
    """One socket for each address of `host`; an empty `host` means all interfaces."""
    name: str | bytes = host or "::"
    if host.isascii():  # bytes, because a text loads the IDNA codec with its tables
        name = (host or "::").encode()
    try:
        infos = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise BindError(f"cannot resolve {host!r}: {error.strerror}") from error
    except UnicodeError:
        raise BindError(f"cannot resolve {host!r}: it is no host name") from None
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(infos):
        if sockets and port == 0:  # every address of the host at the same free port
            address = (address[0], sockets[0].getsockname()[1], *address[2:])
        try:
            sockets.append(_bind_one(family, address))
        except OSError as error:
            # A name such as localhost may have an IPv6 address on a machine that has no IPv6.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                for sock in sockets:
                    sock.close()
                raise BindError(_cannot_listen(host, port, error)) from error
            failure = error
    if not sockets:
        if not host:  # this machine has no IPv6
            return _bind_tcp("0.0.0.0", port)
        assert failure is not None
        raise BindError(_cannot_listen(host, port, failure))
    return sockets


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    """Why, and what to do about the three usual reasons."""
    hint = ""
    if error.errno == errno.EADDRINUSE:
        hint = "; end the program that has it, or give another port (--port 0 is a free one)"
    elif error.errno in (errno.EACCES, errno.EPERM) and port < 1024:
        hint = "; ports below 1024 are for root (or for CAP_NET_BIND_SERVICE)"
    elif error.errno == errno.EADDRNOTAVAIL:
        hint = "; no interface has this address (0.0.0.0 is all of them)"
    return f"cannot listen on {host}:{port}: {error.strerror}{hint}"


def _bind_one(family: int, address: tuple[object, ...]) -> socket.socket:
    """One socket, which reserves the address: no other server can bind it from now on.

    `listen` follows when the application has started; until then clients are refused.
    """
    # Because the protocol is named, asyncio sets TCP_NODELAY on accepted connections.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":  # SO_REUSEADDR lets another program take the port there
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        elif not _RESERVES:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # The option is set explicitly, so that it does not depend on the system or on the
            # number of workers: `::` also accepts IPv4, any other address only IPv6.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        sock.setblocking(False)
        if _RESERVES:
            _reserve(sock, address)
        else:
            sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _reserve(sock: socket.socket, address: tuple[object, ...]) -> None:
    """Bind on Linux, so that nobody else can.

    With SO_REUSEADDR any number of sockets may be bound to a port on which none listens yet, so the
    option is not set for a free port. A port at which connections of an earlier server are left can
    be bound only with the option, which is then cleared again.
    """
    try:
        sock.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)


def bind_unix(path: str, mode: str | None, scheme: str) -> Listener:
    """A listener on a unix socket at `path`; `mode` is octal. Raises `BindError`."""
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError("bind: this platform has no unix sockets")
    if not path:
        raise ConfigError("bind: unix: needs a path")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        _bind_path(sock, path)
        listener = Listener(sock, os.path.abspath(path), scheme)
    except OSError as error:
        sock.close()
        raise BindError(f"cannot listen on unix:{path}: {error.strerror or error}") from error
    except BaseException:
        sock.close()
        raise
    try:
        if mode is not None:
            os.chmod(path, int(mode, 8))  # nobody can connect before listen()
    except OSError as error:
        listener.close()
        raise BindError(f"cannot listen on unix:{path}: {error.strerror}") from error
    return listener


def _bind_path(sock: socket.socket, path: str) -> None:
    """Bind to a path that is free, or that holds a socket whose owner has gone."""
    try:
        sock.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        with _locked(os.path.dirname(path) or "."):
            _refuse_unless_stale(path)
            os.unlink(path)
            try:
                sock.bind(path)
            except OSError:  # another one has found the path free, for which it needs no lock
                _refuse_unless_stale(path)
                raise


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Hold a lock, so that two servers that start do not remove each other's sockets.

    Raises `TimeoutError` when another process keeps the lock.
    """
    import fcntl

    try:
        fd = os.open(directory, os.O_RDONLY)
    except PermissionError:  # the directory can be written to, but not read, so it has no lock
        yield
        return
    try:
        end = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    text = "another process keeps the directory locked"
                    raise TimeoutError(errno.ETIMEDOUT, text) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _refuse_unless_stale(path: str) -> None:
    """Raise `BindError` for anything but a socket that no process has open any more."""
    mode = os.lstat(path).st_mode
    if not stat.S_ISSOCK(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "no socket"
        raise BindError(f"cannot listen on unix:{path}: the file exists and is {what}")
    # The probe has another type than the socket: so it tells a socket that does not listen yet
    # (EPROTOTYPE) from a file that is left over (ECONNREFUSED), and no queue gets a connection.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
    raise BindError(f"cannot listen on unix:{path}: another process does")


def _adopt(number: str, scheme: str) -> Listener:
    """A listener on a duplicate of an inherited descriptor, of whatever family that is."""
    if not number.isascii() or not number.isdigit():
        raise ConfigError(f"bind: 'fd://{number}' needs the number of a file descriptor")
    try:
        fd = os.dup(int(number))
    except OverflowError:
        raise BindError(f"file descriptor {number}: {os.strerror(errno.EBADF)}") from None
    except OSError as error:
        raise BindError(f"file descriptor {number}: {error.strerror}") from error
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        os.close(fd)
        raise BindError(f"file descriptor {number}: {error.strerror}") from error
    if int(number) > HIGHEST:
        os.set_inheritable(int(number), False)  # started programs must not keep the port open
    if sock.type != socket.SOCK_STREAM:
        sock.close()
        raise BindError(f"file descriptor {number} is no stream socket")
    sock.setblocking(False)
    return Listener(sock, None, scheme)


def adopt(fd: int) -> socket.socket:
    """The socket that another process of this server has passed on, under the same number.

    Programs that this process starts do not inherit the socket. Raises `OSError`.
    """
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


def _identity(path: str) -> Identity | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
