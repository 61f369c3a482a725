"""The messages that the supervisor and a worker exchange over one pair of sockets.

The supervisor sends a pickled `Setup` first and then orders; the worker sends reports. An order or
a report is one JSON array on a line. This module knows neither processes nor the event loop.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

    from asgiserver.config.fields import Config

__all__ = [
    "Beat",
    "ControlSocket",
    "Failed",
    "Lines",
    "LogLevel",
    "Message",
    "Ready",
    "Setup",
    "Stop",
    "Stopping",
    "encode",
    "receive_setup",
    "send_setup",
]

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a worker needs to start.

    `listeners` are descriptors and schemes of inherited sockets, `beat` the seconds between two
    beats, `board` the descriptor of the shared `LoadBoard` (-1: none), `cell` this worker's
    place on it, and `figures` the descriptor of the worker's own `Board` (-1: nobody reads it).
    `run_once` names a function to call instead of serving. `numbered`: there are several workers,
    so that text lines in the log say which one has written them.
    """

    config: Config
    index: int
    listeners: tuple[tuple[int, str], ...] = ()
    beat: float = 1.0
    board: int = -1
    cell: int = 0
    figures: int = -1
    run_once: str = ""
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The application has started, and requests are served."""


@dataclass(slots=True)
class Beat:
    """The event loop turns. With it comes what may be a reason to recycle the worker.

    `rss` is the resident memory of the process in bytes, `requests` those begun since its start.
    """

    rss: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The application could not be started: a line for the log, and a traceback or nothing."""

    exit_code: int
    text: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The worker drains, not because of an order, but because somebody sent it a signal."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The order to begin the staged stop of `timeout` seconds; None: of the configured time.

    Before the stop, responses announce the end of their connections: for `accept` seconds while the
    worker still accepts, as no other worker may do so, and for `delay` seconds after that. With
    `last` no other worker will take the connections in the queue, so this worker accepts them.
    """

    reason: str
    timeout: float | None = None
    delay: float = 0.0
    accept: float = 0.0
    last: bool = False


@dataclass(frozen=True, slots=True)
class LogLevel:
    """To the worker: change the level of the server's own log."""

    level: int


Message = Ready | Beat | Failed | Stopping | Stop | LogLevel
_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Ready, Beat, Failed, Stopping, Stop, LogLevel)
}


def encode(message: Message) -> bytes:
    """One message as a line."""
    fields = dataclasses.asdict(message)
    return json.dumps([type(message).__name__, fields]).encode() + b"\n"


class Lines:
    """Cuts arriving bytes into messages."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises `ValueError` for lines that are no JSON."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        messages = []
        for line in lines:
            name, fields = json.loads(line)
            messages.append(_TYPES[name](**fields))
        return messages


class ControlSocket:
    """Either end of the socket between a worker and its supervisor, after the setup."""

    __slots__ = ("_lines", "socket")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._lines = Lines()

    def __repr__(self) -> str:
        return f"<ControlSocket {self.socket.fileno()}>"

    def fileno(self) -> int:
        """The descriptor, by which a selector watches the socket."""
        return self.socket.fileno()

    def read(self) -> list[Message]:
        """What has arrived, without waiting. Raises `EOFError` when the other end is closed."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            raise EOFError
        return self._lines.feed(data)

    def send(self, message: Message) -> None:
        """Send all of a message. Raises `OSError` when the socket is full or closed."""
        self.socket.sendall(encode(message))

    def close(self) -> None:
        """Close this end."""
        self.socket.close()


def send_setup(control: socket.socket, setup: Setup) -> None:
    """Send the first message; blocks until the socket has taken all of it."""
    data = pickle.dumps(setup)
    control.sendall(_LENGTH.pack(len(data)) + data)


def receive_setup(control: socket.socket) -> Setup:
    """Wait for the first message. Raises `EOFError` when the supervisor is gone."""
    (length,) = _LENGTH.unpack(_receive(control, _LENGTH.size))
    setup = pickle.loads(_receive(control, length))
    assert isinstance(setup, Setup)
    return setup


def _receive(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = control.recv(size - len(data))
        if not chunk:
            raise EOFError("the supervisor is gone")
        data += chunk
    return data
