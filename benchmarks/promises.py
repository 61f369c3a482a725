"""What each server promises, shown rather than read: a figure counts beside what it leaves out.

Whoever copies no context and makes no task for a request is quicker for it. Each row asks a server
over a real socket; the application is `promises_app`.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.cases import HTTP_PEERS, PLAIN, PLAINTEXT
from benchmarks.environment import BenchmarkError, cores
from benchmarks.experiment import Study
from benchmarks.report import Report
from benchmarks.servers import SERVERS, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.experiment import Settings

TITLE = "What the servers promise"
CASE = replace(PLAINTEXT, wanted=replace(PLAIN, app="promises_app:app"))
PATIENCE = 3.0  # seconds for an answer that is to come
UNREAD = 16 << 20  # bytes that may wait for a client that reads nothing


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        yield client


def request(path: str, *fields: str, method: str = "GET") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()


def head_of(client: socket.socket) -> tuple[bytes, bytes]:
    """A response's head and what came after it; both empty when the connection ends first."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = client.recv(65536)
        except OSError:
            piece = b""
        if not piece:
            return b"", data
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.lower(), rest


def asked(client: socket.socket, data: bytes) -> tuple[int, bytes]:
    """The status and the body of the answer; status 0 when there is none."""
    with contextlib.suppress(OSError):  # whoever refuses early may close before all is sent
        client.sendall(data)
    head, body = head_of(client)
    if not head:
        return 0, b""
    _, _, length = head.partition(b"content-length:")
    size = int(length.split(b"\r\n")[0]) if length else 0
    with contextlib.suppress(OSError):
        while len(body) < size and (piece := client.recv(65536)):
            body += piece
    return int(head.split()[1]), body


def once(port: int, data: bytes) -> tuple[int, bytes]:
    with connected(port) as client:
        return asked(client, data)


def own_context(running: Running) -> bool:
    with connected(running.port) as client:
        first = asked(client, request("/context"))[1]
        return first == asked(client, request("/context"))[1] == b"nothing"


def own_task(running: Running) -> bool:
    with connected(running.port) as client:
        return {asked(client, request("/task"))[1] for _ in range(3)} == {b"own"}


def half_closed(running: Running) -> bool:
    with connected(running.port) as client:
        client.sendall(request("/slow"))
        client.shutdown(socket.SHUT_WR)
        return head_of(client)[0].startswith(b"http/1.1 200")


def told_of_leaving(running: Running) -> bool:
    with connected(running.port) as client:
        client.sendall(request("/waiting"))
        time.sleep(0.1)
    return becomes(lambda: once(running.port, request("/left"))[1] == b"yes")


def becomes(true: Callable[[], bool]) -> bool:
    """Whether it becomes true within the patience."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def bounded_output(running: Running) -> bool:
    """Whether a client that reads nothing holds back the application."""
    with connected(running.port) as client:
        client.sendall(request("/flood"))
        amounts = [-1]
        while True:
            time.sleep(0.5)
            amounts.append(int(once(running.port, request("/sent"))[1] or 0))
            if amounts[-1] > UNREAD:
                return False
            if amounts[-1] == amounts[-2]:
                return True


def refused(*requests: bytes) -> Callable[[Running], bool]:
    """Whether each of these is answered with an error or by closing, and none reaches the
    application."""

    def probe(running: Running) -> bool:
        return all(not 200 <= once(running.port, one)[0] < 300 for one in requests)

    return probe


def not_injected(running: Running) -> bool:
    with connected(running.port) as client:
        client.sendall(request("/injected"))
        return b"\r\nset-cookie:" not in head_of(client)[0]


def short_body_is_seen(running: Running) -> bool:
    """Whether a client can tell that an answer is cut, and waits for nothing."""
    with connected(running.port) as client:
        client.sendall(request("/short"))
        head, body = head_of(client)
        if not head.startswith(b"http/1.1 200"):
            return True
        try:
            while piece := client.recv(65536):
                body += piece
        except TimeoutError:
            return False  # it waits for ever
        except OSError:
            pass
        return len(body) < 10


def errors_are_answered(running: Running) -> bool:
    return all(once(running.port, request(path))[0] == 500 for path in ("/nothing", "/raising"))


def stops_gracefully(running: Running) -> bool:
    """The last row: the server is gone after it."""
    with connected(running.port) as client:
        client.sendall(request("/slow"))
        time.sleep(0.1)
        running.signal(signal.SIGTERM)
        return head_of(client)[0].startswith(b"http/1.1 200")


MANY = [f"X-Field-{number}: value" for number in range(5000)]
CHUNKED = "Transfer-Encoding: chunked"
AMBIGUOUS = (
    request("/body", "Content-Length: 5", CHUNKED, method="POST") + b"0\r\n\r\n",
    request("/body", "Content-Length: 5", "Content-Length: 6", method="POST") + b"abcde",
    request("/body", "Transfer-Encoding: chunked, identity", method="POST") + b"0\r\n\r\n",
    request("/body", "Content-Length: +5", method="POST") + b"abcde",
    request("/body", "Content-Length : 5", method="POST") + b"abcde",
    request("/body", CHUNKED, method="POST") + b"5;\x00\r\nabcde\r\n0\r\n\r\n",
    request("/body", CHUNKED, method="POST") + b"0x5\r\nabcde\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n X-Folded: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Value: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
)

PROMISES: dict[str, Callable[[Running], bool]] = {
    "each request has a context of its own (contextvars)": own_context,
    "each request has a task of its own": own_task,
    "a half-closed client gets its answer": half_closed,
    "the application is told that its client left": told_of_leaving,
    "a client that reads nothing holds back the application": bounded_output,
    "a head of 1 MiB is refused": refused(request("/", "X-Long: " + "a" * (1 << 20))),
    "5,000 fields are refused": refused(request("/", *MANY)),
    f"{len(AMBIGUOUS)} ambiguous or broken requests are refused": refused(*AMBIGUOUS),
    "a field of the application cannot begin another one": not_injected,
    "an answer that is cut can be told from a whole one": short_body_is_seen,
    "an application without an answer, or that raises, is a 500": errors_are_answered,
    "a stop lets the running request finish": stops_gracefully,
}


def probe(settings: Settings, server: str) -> dict[str, bool]:
    """Ask one server for everything."""
    with Running(SERVERS[server], settings.environment, CASE.wanted, {cores()[0]}) as running:
        running.wait_listening()
        if not becomes(lambda: answers(running.port)):
            raise BenchmarkError(f"{server} does not answer: {running.last_line()}")
        return {name: kept(promise, running) for name, promise in PROMISES.items()}


def answers(port: int) -> bool:
    try:
        return once(port, request("/"))[0] == 200
    except OSError:
        return False  # it does not listen yet


def kept(promise: Callable[[Running], bool], running: Running) -> bool:
    try:
        return promise(running)
    except OSError:
        return False  # no connection, or no answer in time


def run(settings: Settings) -> Report:
    """One row for each promise, one column for each server."""
    servers = ("asgiserver", *HTTP_PEERS)
    found: dict[str, dict[str, bool]] = {}
    notes = []
    for server in servers:
        settings.progress(f"promises: {server}")
        try:
            found[server] = probe(settings, server)
        except BenchmarkError as error:
            notes.append(str(error))
    rows = [
        (name, *("yes" if values[name] else "no" for values in found.values())) for name in PROMISES
    ]
    return Report("promises", TITLE, ("promise", *found), rows, notes=notes, data=found)


STUDY = Study(TITLE, run)
