"""Public probe suites over real sockets: nothing is accepted that a suite wants refused."""

import asyncio
import socket
from collections import Counter

import probe_suites
import pytest
from fakes import WAIT, read_reply

SUITES = probe_suites.suites()
PLAIN = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ALLOW = (b"allow", b"GET, HEAD, POST, OPTIONS")


async def application(scope, receive, send):
    """What the suites expect of a server: GET, POST that echoes, OPTIONS, and ``/echo``."""
    status, fields, body = 200, [(b"content-type", b"text/plain")], b""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
        return
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    if scope["path"] == "/echo":
        body = b"".join(name + b": " + value + b"\n" for name, value in scope["headers"])
    elif scope["method"] == "OPTIONS":
        status, fields, body = 204, [ALLOW], b""
    elif scope["method"] not in ("GET", "HEAD", "POST"):
        status, fields, body = 405, [ALLOW], b""
    elif not body:
        body = b"OK"
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class Caller:
    """One connection that sees all that the server has answered by now."""

    def __init__(self, sock):
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._head = False
        self.data = b""
        self.replies = []
        self.ended = False

    @classmethod
    async def dial(cls, port):
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(sock)

    def close(self):
        self._sock.close()

    async def send(self, data):
        self._head = data.startswith(b"HEAD ")
        await self._loop.sock_sendall(self._sock, data)

    async def read(self, *, until_end=False):
        """Wait for one more answer, or for the end."""
        count = len(self.replies)
        async with asyncio.timeout(WAIT):
            while not self.ended and (until_end or len(self.replies) == count):
                self._take(await self._loop.sock_recv(self._sock, 65536))

    def read_what_is_there(self):
        while not self.ended:
            try:
                self._take(self._sock.recv(65536))
            except BlockingIOError:
                return

    def _take(self, data):
        self.ended = not data
        self.data += data
        while self.data:
            reply = read_reply(self.data, head=self._head, eof=self.ended)
            if reply is None:
                return
            self.replies.append(reply)
            self.data = reply.rest

    @property
    def outcome(self):
        statuses = ",".join(str(reply.status) for reply in self.replies)
        if not statuses:
            return "closed" if self.ended else "waits"
        return statuses + "+closed" * self.ended


async def run(port, probe):
    """What becomes of a probe: its outcome and its answers.

    Whatever the server has to say it has said when another connection, begun later, is answered.
    """
    caller, other = await Caller.dial(port), await Caller.dial(port)
    try:
        await caller.send(probe.data)
        if not probe.may_wait:
            await caller.read()
        if probe.then and not closes(caller):
            await caller.send(probe.then)
            await caller.read()
        for _ in range(2):
            await other.send(PLAIN)
            await other.read()
        caller.read_what_is_there()
        if probe.waits_for_the_end and closes(caller):
            await caller.read(until_end=True)
    finally:
        caller.close()
        other.close()
    return caller.outcome, caller.replies


def closes(caller):
    last = caller.replies[-1] if caller.replies else None
    return caller.ended or (last is not None and last.value(b"connection") == b"close")


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
async def test_nothing_is_wrongly_accepted(serve, suite, parser):
    server = await serve(application, http=parser, log_level="error")
    port = server.listeners[0].port
    counts, wrong = Counter(), {}
    for probe in suite.probes:
        outcome, replies = await run(port, probe)
        verdict = probe.verdict(outcome, replies)
        counts[verdict] += 1
        if verdict == "wrongly accepted" or (verdict == "refused otherwise" and not probe.note):
            wrong[probe.name] = outcome
    assert not wrong
    assert dict(counts) == suite.published


def test_the_suites_are_there():
    assert len(SUITES) == 6
    assert sum(len(suite.probes) for suite in SUITES) > 1000
    for suite in SUITES:
        names = [probe.name for probe in suite.probes]
        assert len(set(names)) == len(names)


def test_page_is_made_of_them():
    written = probe_suites.PAGE.read_text(encoding="utf-8")
    assert written == probe_suites.page(), "run: python tests/probe_suites.py"
