"""Real proxies as child processes, and an application that answers with its scope."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

ENOUGH = 30.0
"""Seconds after which a test gives up waiting for a proxy."""


async def echo(scope, receive, send):
    """Answers with its scope as JSON; a WebSocket gets it as its first message, then echoes."""
    keys = ("type", "http_version", "scheme", "path", "root_path", "client", "server")
    told = {key: scope[key] for key in keys}
    told["raw_path"] = scope["raw_path"].decode()
    told["host"] = dict(scope["headers"])[b"host"].decode()
    told["fields"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    told["tls"] = "tls" in scope["extensions"]
    body = json.dumps(told).encode()
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": body.decode()})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    fields = [(b"content-type", b"application/json"), (b"x-received", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class Proxy:
    """A proxy in the foreground, in a directory of its own, until the ``with`` block ends."""

    def __init__(self, command, port, log):
        self.command = command
        self.port = port
        self.log = log
        self.process = None

    async def __aenter__(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + ENOUGH
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return self
        raise AssertionError(f"{self.command[0]} does not answer: {self.log.read_text()}")

    async def __aexit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, ENOUGH)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def program(name):
    """The path of a program, also in root's directories. Skips the test without the program."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install {name})")
    return found
