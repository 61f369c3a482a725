"""The requests whose costs `budget` counts, as bytes, and the applications that answer them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from benchmarks import apps, heads
from benchmarks.cases import BROWSER_HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Scenario:
    """A request as it arrives, piece by piece, and the number of its answers."""

    name: str
    title: str
    app: Any
    pieces: tuple[bytes, ...]
    ends: bytes  # the last bytes of the answer
    answers: int = 1
    closes: bool = False  # each request has a connection of its own
    number: bytes = b""  # a part of the pieces that is replaced by the number of the request
    turns: int = 7  # turns of the event loop after which the request is done
    opening: bytes = b""  # what comes first on a connection: the request that opens the WebSocket
    numbered: Callable[[int], bytes] | None = None  # makes the one piece by the request's number


def head(*lines: str) -> bytes:
    return "\r\n".join(["GET / HTTP/1.1", "Host: 127.0.0.1:8000", *lines, "", ""]).encode()


def h2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + payload


def h2_gets(number: int, count: int = 1) -> bytes:
    """The `number`-th HEADERS, or so many of them; all fields are in the tables of HPACK."""
    first = 1 + 2 * count * number
    ids = range(first, first + 2 * count, 2)
    return b"".join([h2_frame(1, 5, stream, b"\x82\x86\x84\xbf\xbe") for stream in ids])


@cache
def production_heads() -> tuple[bytes, ...]:
    """The first heads of the case `production`; no two are the same."""
    return tuple(islice(heads.requests("production"), 1024))


H2_OPENING = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + h2_frame(4, 0, 0, b"")
    + h2_frame(8, 0, 0, b"\x3f\xff\0\0")  # the window of the connection
    # A request that puts authority and user agent into the table.
    + h2_frame(1, 5, 1, b"\x82\x86\x84\x41\x0e127.0.0.1:8000\x7a\x0ch2load/1.2.3")
)
GET = head()
BODY = b"b" * 10240
POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Length: 10240\r\n\r\n"
UPGRADE = head(
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
MESSAGE = b"m" * 64

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("get", "GET, keep-alive", apps.plain, (GET,), apps.HELLO),
        Scenario(
            "headers",
            "GET, 13 browser headers",
            apps.plain,
            (head(*(f"{name}: {value}" for name, value in BROWSER_HEADERS.items())),),
            apps.HELLO,
        ),
        Scenario(
            "numbered",
            "the same with an X-Request-Id",
            apps.plain,
            (
                head(
                    *(f"{name}: {value}" for name, value in BROWSER_HEADERS.items()),
                    "X-Request-Id: 00000000",
                ),
            ),
            apps.HELLO,
            number=b"00000000",
        ),
        Scenario(
            "production",
            "GET, 18 fields of a browser and a proxy",
            apps.plain,
            (),
            apps.HELLO,
            numbered=lambda number: production_heads()[number % 1024],
        ),
        Scenario("post", "POST of 10 KiB, echoed", apps.echo, (POST + BODY,), BODY),
        Scenario("post-later", "the same, its body after its head", apps.echo, (POST, BODY), BODY),
        Scenario("stream", "20 chunks of 1 KiB", apps.stream, (GET,), b"\r\n0\r\n\r\n"),
        Scenario(
            "pipelined",
            "GET, pipelined x16",
            apps.plain,
            (GET * 16,),
            apps.HELLO,
            answers=16,
            turns=40,
        ),
        Scenario(
            "close",
            "GET, Connection: close",
            apps.plain,
            (head("Connection: close"),),
            apps.HELLO,
            closes=True,
        ),
        Scenario(
            "websocket",
            "WebSocket message of 64 bytes, echoed",
            apps.websocket_echo,
            (b"\x82\xc0\x00\x00\x00\x00" + MESSAGE,),
            MESSAGE,
            opening=UPGRADE,
        ),
        Scenario(
            "http2",
            "GET over HTTP/2",
            apps.plain,
            (),
            apps.HELLO,
            opening=H2_OPENING,
            numbered=h2_gets,
        ),
        Scenario(
            "http2-streams",
            "GET over HTTP/2, 16 streams",
            apps.plain,
            (),
            apps.HELLO,
            answers=16,
            opening=H2_OPENING,
            numbered=lambda number: h2_gets(number, 16),
        ),
    )
}
