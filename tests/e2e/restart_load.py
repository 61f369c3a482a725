"""Clients of a server that is restarted meanwhile."""

from __future__ import annotations

import threading

from process_server import DEADLINE, ServerProcess
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket


class Load:
    """Clients of three kinds, each in a thread; every failure is kept."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.failures: list[BaseException] = []
        self.counts = {"close": 0, "keep-alive": 0, "websocket": 0}
        self.websocket_closes: set[int] = set()
        self._stop = threading.Event()
        kinds = (self.with_close, self.with_close, self.with_keep_alive, self.with_keep_alive)
        self._threads = [
            threading.Thread(target=self._run, args=(kind,)) for kind in (*kinds, self.websocket)
        ]

    def _run(self, kind) -> None:
        try:
            kind()
        except BaseException as exc:
            self.failures.append(exc)

    def with_close(self) -> None:
        while not self._stop.is_set():
            self.server.get()
            self.counts["close"] += 1

    def with_keep_alive(self) -> None:
        """Heeds `Connection: close`, as http.client does, and never sends a request twice."""
        connection = self.server.connect()
        while not self._stop.is_set():
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.status == 200
            response.read()
            self.counts["keep-alive"] += 1
        connection.close()

    def websocket(self) -> None:
        """Connects again when it is told that the service restarts (1012)."""
        url = self.server.address.replace("http", "ws")
        while not self._stop.is_set():
            with connect_websocket(url, open_timeout=DEADLINE, proxy=None) as client:
                try:
                    while not self._stop.is_set():
                        client.send("hello")
                        assert client.recv(DEADLINE) == "hello"
                        self.counts["websocket"] += 1
                except ConnectionClosed as exc:
                    self.websocket_closes.add(exc.rcvd.code if exc.rcvd else 1006)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE)
