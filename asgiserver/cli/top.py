"""``asgiserver top``: a live view of a server in the terminal, through its admin listener.

This module reads the command line and speaks with the listener; `top_screen` draws.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from asgiserver.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AdminRemote", "main"]

TIMEOUT = 5.0  # seconds for an answer
DEFAULT = "127.0.0.1:9000"


class AdminRemote:
    """The admin listener of a server, at ``host:port``, ``http://host:port`` or ``unix:/path``.

    Raises `ConfigError` for an address that is none of these.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address = address.removeprefix("http://").rstrip("/")
        self._fields = {"X-Asgiserver-Admin": "top"}
        if token:
            self._fields["Authorization"] = f"Bearer {token}"
        self._unix = address[5:] if address.startswith("unix:") else None
        self._host = self._port = None
        try:
            if self._unix is None:
                parts = urlsplit(f"http://{self.address}")
                self._host, self._port = parts.hostname, parts.port
        except ValueError:
            pass  # it has no port then
        if self._unix is None and self._port is None:
            raise ConfigError(f"top: expected host:port or unix:/path, not {address!r}")

    def __repr__(self) -> str:
        return f"<AdminRemote {self.address}>"

    def status(self) -> dict[str, Any]:
        """What the server says of itself. Raises `OSError`, or `ValueError` if it is no JSON."""
        status: dict[str, Any] = json.loads(self._ask("GET", "/status"))
        return status

    def restart(self, index: int) -> str:
        """Replace a worker; the answer. Raises `OSError`."""
        return self._ask("POST", f"/workers/{index}/restart").strip()

    def dump(self) -> str:
        """Write what all processes do to a file in the current directory. Raises `OSError`."""
        text = self._ask("GET", "/dump")
        name = time.strftime("asgiserver-dump-%Y%m%d-%H%M%S.txt")
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
        return f"the dump is in {name}"

    def _ask(self, method: str, path: str) -> str:
        """The body of an answer. Raises `OSError` with what the server says against it."""
        connection = self._connection()
        try:
            connection.request(method, path, headers=self._fields)
            response = connection.getresponse()
            body = response.read().decode("utf-8", "replace")
        except http.client.HTTPException as error:
            raise OSError(f"it does not speak HTTP as expected: {error!r}") from None
        finally:
            connection.close()
        if response.status >= 300:
            raise OSError(f"{response.status} {body.strip()}")
        return body

    def _connection(self) -> http.client.HTTPConnection:
        if self._unix is None:
            return http.client.HTTPConnection(self._host or "", self._port, timeout=TIMEOUT)
        connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(TIMEOUT)
        connection.sock.connect(self._unix)
        return connection


def main(args: Sequence[str]) -> int:
    """Show a server until the user quits; the exit code. Raises `ConfigError`."""
    parser = argparse.ArgumentParser(
        "asgiserver top", description="Watch a server that runs with --admin."
    )
    address = os.environ.get("ASGISERVER_ADMIN") or DEFAULT
    token = os.environ.get("ASGISERVER_ADMIN_TOKEN")
    parser.add_argument(
        "address", nargs="?", default=address, help="host:port or unix:/path (%(default)s)"
    )
    parser.add_argument("--token", default=token, help="what --admin-token says")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds (%(default)s)")
    try:
        given = parser.parse_args(args)
    except SystemExit as end:
        return int(end.code or 0)
    remote = AdminRemote(given.address, given.token)
    try:
        from asgiserver.cli.top_screen import TopApp
    except ImportError:
        raise ConfigError('top needs the extra: pip install "asgiserver-py[top]"') from None
    try:
        remote.status()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"top: {remote.address}: {error}; does a server run with --admin?"
        ) from None
    TopApp(remote, max(0.1, given.interval)).run()
    return 0
