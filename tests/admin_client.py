"""Asks an admin listener, on TCP or on a unix socket."""

from __future__ import annotations

import http.client
import json
import socket
import time
from urllib.parse import urlsplit

from prometheus_client.openmetrics.parser import text_string_to_metric_families

DEADLINE = 60.0  # seconds for anything that must happen
OPENMETRICS = {"Accept": "application/openmetrics-text"}
ORDER = {"X-Asgiserver-Admin": "1"}


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(self._path)


class AdminClient:
    """A program of an operator; `address` is what the log says of the admin listener."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, method: str = "GET", **fields: str) -> tuple[int, str]:
        """Status and body of one answer."""
        if self.address.startswith("unix:"):
            connection: http.client.HTTPConnection = UnixConnection(self.address[5:])
        else:
            parts = urlsplit(self.address)
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=DEADLINE)
        try:
            connection.request(method, path, headers=fields)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def order(self, path: str) -> tuple[int, str]:
        """Status and body of the answer to an order."""
        return self.ask(path, "POST", **ORDER)

    def status(self) -> dict:
        code, body = self.ask("/status")
        assert code == 200, body
        return json.loads(body)

    def metrics(self) -> dict[tuple, float]:
        """Every sample by its name and, sorted, its labels."""
        code, body = self.ask("/metrics", **OPENMETRICS)
        assert code == 200, body
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }

    def until(self, path: str, status: int) -> str:
        """Ask until the answer has `status`, and return its body."""
        end = time.monotonic() + DEADLINE
        while True:
            found, body = self.ask(path)
            if found == status:
                return body
            assert time.monotonic() < end, f"{path} stays {found}: {body}"
            time.sleep(0.02)

    def until_metric(self, *key: object, at_least: float) -> dict[tuple, float]:
        """Read the figures until one is large enough, and return all."""
        end = time.monotonic() + DEADLINE
        while (metrics := self.metrics()).get(key, 0.0) < at_least:
            assert time.monotonic() < end, f"{key} stays {metrics.get(key)}"
            time.sleep(0.02)
        return metrics


def admin_of(server) -> AdminClient:
    """The client of the admin listener of a `ServerProcess`, as soon as there is one."""
    return AdminClient(server.see(r"Admin listener on (\S+)")[1])
