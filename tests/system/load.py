"""Clients that ask a proxy without a pause, and what became of each of their requests."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

if TYPE_CHECKING:
    from collections.abc import Callable

ENOUGH = 20.0  # seconds for anything that must happen
PAUSE = 0.02  # seconds between two requests of a client, so that the machine is not the limit

APP = """
import asyncio, json, os

HOST = os.environ["CHAT_HOST"]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": HOST + message["text"]})
    else:
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        await answer(scope, size, send)


async def answer(scope, size, send):
    client = scope["client"][0]
    told = {"host": HOST, "client": client, "size": size}
    body = json.dumps(told).encode()
    if scope["path"] == "/slow":
        await asyncio.sleep(0.4)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        for byte in body:
            await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
            await asyncio.sleep(0.002)
        body = b""
    await send({"type": "http.response.body", "body": body})
"""

REQUESTS = [("GET", "/"), ("GET", "/slow"), ("GET", "/stream"), ("POST", "/"), ("POST", "/slow")]
WEBSOCKETS = 3
BODY = b"x" * 10_000


class Load:
    """A client for each kind of request, and three WebSockets, until the `async with` ends.

    `answered` counts by host; `lost` has what failed. A WebSocket that is closed
    connects again; `closed` counts why.
    """

    clients_at_work = len(REQUESTS) + WEBSOCKETS

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.answered: Counter[str] = Counter()
        self._talks = [""] * WEBSOCKETS  # the host that each talks to
        self.closed: Counter[int] = Counter()
        self.lost: list[str] = []
        self.clients: set[str] = set()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        asks = [self._ask(*request) for request in REQUESTS]
        talks = [self._talk(index) for index in range(WEBSOCKETS)]
        self._tasks = [asyncio.create_task(work) for work in (*asks, *talks)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        done = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def served_by(self, *hosts: str) -> None:
        """Wait until each of these hosts has answered 10 more requests."""
        before = self.answered.copy()
        await self.until(
            f"served by {hosts}",
            lambda: all(self.answered[host] >= before[host] + 10 for host in hosts),
        )

    async def moved_to(self, host: str) -> None:
        """Wait until a host serves requests and all WebSockets."""
        await self.served_by(host)
        await self.until(f"moved to {host}", lambda: self._talks == [host] * WEBSOCKETS)

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until what has happened to requests fulfils a condition."""
        try:
            async with asyncio.timeout(ENOUGH):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = (dict(self.answered), self._talks, self.lost[-5:], dict(self.closed))
            raise AssertionError(f"{what}: {told}") from None

    async def _ask(self, method: str, path: str) -> None:
        content = BODY if method == "POST" else None
        async with httpx.AsyncClient(timeout=ENOUGH, trust_env=False) as client:
            while True:
                try:
                    answer = await client.request(method, self._url + path, content=content)
                    answer.raise_for_status()
                except httpx.HTTPError as error:
                    self.lost.append(f"{method} {path}: {error!r}")
                else:
                    told = answer.json()
                    assert told["size"] == len(content or b"")
                    self.answered[told["host"]] += 1
                    self.clients.add(told["client"])
                self._news.set()
                await asyncio.sleep(PAUSE)

    async def _talk(self, index: int) -> None:
        """One WebSocket, which is opened anew when it is closed."""
        while True:
            try:
                url = self._url.replace("http:", "ws:")
                async with connect(url, proxy=None, open_timeout=ENOUGH) as websocket:
                    await self._exchange(websocket, index)
            except ConnectionClosed as error:
                self.closed[error.rcvd.code if error.rcvd else 1006] += 1
            except (InvalidStatus, OSError, EOFError) as error:
                self.lost.append(f"WebSocket: {error!r}")
            self._news.set()
            await asyncio.sleep(PAUSE)

    async def _exchange(self, websocket, index) -> None:
        for number in range(1_000_000):
            await websocket.send(json.dumps(number))
            text = await websocket.recv()
            assert text[1:] == str(number)
            self._talks[index] = text[0]
            self._news.set()
            await asyncio.sleep(PAUSE)
