"""The cases: the request, the right answer, the load, the peers and the targets of each.

A target is a ratio: asgiserver's CPU time per request divided by the other server's in one run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.servers import Wanted

COMPILED = ("h2corn", "weft", "peregrine", "saltare")
HTTP_PEERS = (
    "uvicorn",
    "uvicorn-zttp",
    "granian",
    "granian-mt",
    *COMPILED,
    "hypercorn",
    "gunicorn",
    "daphne",
)
TLS_PEERS = tuple(peer for peer in HTTP_PEERS if peer != "saltare")
WEBSOCKET_PEERS = (
    "uvicorn",
    "uvicorn-wsproto",
    "uvicorn-ws-legacy",
    "granian",
    "granian-mt",
    *COMPILED,
    "hypercorn",
    "gunicorn",
    "daphne",
)
HELLO = b"Hello, world!"

BROWSER_HEADERS = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9,de;q=0.8",
    "Cache-Control": "max-age=0",
    "Cookie": "session=eyJ1c2VyIjogMTIzNDU2Nzg5MH0.ZxYw.a1b2c3d4e5f6; theme=dark; locale=en",
    "Referer": "https://shop.example.com/products?page=3",
    "Sec-Ch-Ua": '"Chromium";v="131", "Not_A Brand";v="24"',
    "Sec-Ch-Ua-Mobile": "?0",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari",
}
FORWARDED_BROWSER_HEADERS = {
    name: value
    for name, value in BROWSER_HEADERS.items()
    if name not in ("Cache-Control", "Sec-Ch-Ua-Mobile")
} | {"X-Forwarded-For": "203.0.113.7"}


@dataclass(frozen=True)
class Target:
    """At most `ratio` times the CPU time per request of `against`: a server, "best peer", or
    "best granian", which is the better of its modes."""

    against: str
    ratio: float


@dataclass(frozen=True)
class Case:
    """One row of the benchmark."""

    name: str
    title: str
    wanted: Wanted
    answer: bytes = HELLO
    tool: str = "wrk"  # wrk, h2load, h2load-h1 or ws_load
    path: str = "/"
    connections: int = 64
    headers: dict[str, str] = field(default_factory=dict)
    body_bytes: int = 0  # of the request, or of one WebSocket message
    pipeline: int = 1  # requests sent at once; for h2load: concurrent streams
    numbers: int = 0  # the number of values of X-Request-Id that are sent in turn
    requests: str = ""  # the kind of generated requests that are sent in turn (`heads`)
    behind_nginx: bool = False  # a real nginx stands before the server, on the load's core
    ours: str = "asgiserver"
    peers: tuple[str, ...] = HTTP_PEERS
    may_close: bool = False  # a server may close after each answer, as gunicorn's sync worker does
    limits: tuple[str, ...] = ("limit",)  # raw protocols that answer but do no HTTP work
    targets: tuple[Target, ...] = ()
    unavailable: str = ""  # why asgiserver cannot run the case yet

    def servers(self) -> tuple[str, ...]:
        """Names of the servers that take part, in the order of the rounds."""
        return (self.ours, *self.peers, *self.limits)


def targets(
    uvicorn: float | None = None,
    granian: float | None = None,
    weft: float | None = None,
    peregrine: float | None = None,
    best: float | None = None,
) -> tuple[Target, ...]:
    named = (
        ("uvicorn", uvicorn),
        ("best granian", granian),
        ("weft", weft),
        ("peregrine", peregrine),
        ("best peer", best),
    )
    return tuple(Target(name, ratio) for name, ratio in named if ratio is not None)


def variant(
    of: Case, name: str, title: str, *, targets: tuple[Target, ...] = (), **changes: Any
) -> Case:
    """A case that differs from another one by `changes`; targets are its own."""
    return replace(of, name=name, title=title, targets=targets, **changes)


def websocket(size: int) -> Case:
    return Case(
        f"websocket-{size}",
        f"WebSocket echo, {size} bytes, 64 busy connections",
        Wanted("apps:websocket_echo", protocol="websocket", limit="websocket"),
        tool="ws_load",
        body_bytes=size,
        peers=WEBSOCKET_PEERS,
        targets=targets(uvicorn=0.50, weft=1.0, peregrine=1.1),
    )


PLAIN = Wanted("apps:plain")
PLAINTEXT = Case(
    "plaintext",
    "Plain text, keep-alive, access logs off",
    PLAIN,
    targets=targets(0.45, 0.55, 0.95, 1.0),
)
HTTP2 = Case(
    "http2",
    "HTTP/2, 8 connections x 16 streams",
    replace(PLAIN, protocol="http2"),
    tool="h2load",
    connections=8,
    pipeline=16,
    peers=("uvicorn-zttp", "granian", "granian-mt", *COMPILED, "hypercorn", "gunicorn"),
    limits=(),
    targets=targets(best=0.90),
)
MEBIBYTE = b"m" * (1 << 20)
BODY = Case(
    "body-1m",
    "1 MiB body",
    Wanted("apps:mebibyte", limit="mebibyte"),
    answer=MEBIBYTE,
    connections=16,
    targets=targets(0.80, 0.80),
)
# What a load balancer sends: 20,000 heads of 18 fields, none like the one before.
PRODUCTION = variant(
    PLAINTEXT,
    "production",
    "Production: heads that all differ, from a trusted proxy",
    wanted=replace(PLAIN, proxies="127.0.0.1"),
    requests="production",
    targets=targets(0.38, 0.65, 0.95, 1.05),
)
FASTAPI = Case(
    "fastapi",
    "FastAPI JSON, defaults, access log on",
    Wanted("framework_apps:api", access_log=True),
    answer=b'{"message":"Hello, world!"}',
    limits=(),
    targets=targets(0.40, 0.45, 1.0, 0.95),
)

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        PRODUCTION,
        variant(
            PRODUCTION,
            "production-logged",
            "Production, default access log to a file",
            wanted=replace(PRODUCTION.wanted, access_log=True),
            limits=(),
            targets=targets(0.22, 0.40, 1.0, 1.1),
        ),
        variant(
            FASTAPI,
            "production-fastapi",
            "Production, FastAPI with path, query and cookie parameters, access log on",
            wanted=replace(FASTAPI.wanted, proxies="127.0.0.1"),
            answer=b"",
            requests="production",
            targets=FASTAPI.targets,
        ),
        variant(
            PRODUCTION,
            "production-tls",
            "Production over TLS",
            wanted=replace(PRODUCTION.wanted, tls=True),
            peers=TLS_PEERS,
        ),
        variant(
            PRODUCTION,
            "production-pure",
            "Production, without the compiled core",
            ours="asgiserver-pure",
            peers=("uvicorn",),
            limits=(),
            targets=targets(0.75),
        ),
        variant(
            PRODUCTION,
            "two-proxies",
            "Production, through a CDN and an ingress",
            wanted=replace(PLAIN, proxies="127.0.0.1,10.0.0.0/8"),
            requests="two-proxies",
        ),
        variant(
            FASTAPI,
            "behind-nginx",
            "FastAPI JSON, defaults, access log on, behind nginx",
            wanted=replace(FASTAPI.wanted, proxies="127.0.0.1"),
            behind_nginx=True,
            targets=targets(0.42, 0.50, 1.05, 1.1),
        ),
        FASTAPI,
        PLAINTEXT,
        variant(
            PLAINTEXT,
            "access-log",
            "Plain text, default access log to a file",
            wanted=replace(PLAIN, access_log=True),
            limits=(),
            targets=targets(0.28, 0.50),
        ),
        variant(
            PLAINTEXT,
            "headers",
            "Plain text, 13 browser headers",
            headers=BROWSER_HEADERS,
            targets=targets(0.50, 0.80),
        ),
        variant(
            PLAINTEXT,
            "browser",
            "Plain text, 11 browser headers with X-Forwarded-For",
            wanted=replace(PLAIN, proxies="127.0.0.1"),
            headers=FORWARDED_BROWSER_HEADERS,
            targets=targets(0.40, 0.62, 0.95),
        ),
        # No server keeps so many heads, so that no head comes again while the server still has it.
        variant(
            PLAINTEXT,
            "request-ids",
            "Plain text, 13 browser headers and an X-Request-Id of its own",
            headers=BROWSER_HEADERS,
            numbers=20_000,
        ),
        Case(
            "post-10k",
            "POST, 10 KiB echoed",
            Wanted("apps:echo", limit="posted"),
            answer=b"b" * 10240,
            body_bytes=10240,
            targets=targets(0.45, weft=1.0),
        ),
        Case(
            "uploads-mixed",
            "Uploads of 1 KiB to 1 MiB, sizes that all differ",
            Wanted("apps:upload"),
            answer=b"",
            connections=16,
            requests="uploads",
            limits=(),
        ),
        Case(
            "stream",
            "20 chunks of 1 KiB streamed",
            Wanted("apps:stream", limit="streamed"),
            answer=b"c" * 20480,
            limits=("limit", "limit-20-writes"),
            targets=targets(0.25, 0.35, 1.0),
        ),
        BODY,
        variant(
            BODY,
            "body-1m-tls",
            "1 MiB body over TLS",
            wanted=replace(BODY.wanted, tls=True),
            peers=TLS_PEERS,
            targets=targets(0.75, 1.0),
        ),
        variant(
            BODY,
            "file-1m",
            "1 MiB file (FileResponse), --pathsend",
            wanted=Wanted("framework_apps:file_response", limit="file"),
            ours="asgiserver-pathsend",
            targets=targets(0.30, 0.50),
        ),
        variant(
            BODY,
            "file-1m-events",
            "1 MiB file (FileResponse), defaults",
            wanted=Wanted("framework_apps:file_response", limit="file"),
        ),
        variant(
            PLAINTEXT,
            "close",
            "Connection: close",
            wanted=replace(PLAIN, limit="closing"),
            headers={"Connection": "close"},
            targets=targets(0.38, 0.85, 1.05),
        ),
        variant(
            PLAINTEXT,
            "pipelined",
            "Plain text, pipelined x16",
            wanted=replace(PLAIN, limit="pipelined"),
            pipeline=16,
            peers=(*HTTP_PEERS, "granian-flush"),
            targets=targets(0.40, best=0.60),
        ),
        variant(
            PLAINTEXT,
            "tls",
            "Plain text, keep-alive over TLS",
            wanted=replace(PLAIN, tls=True),
            peers=TLS_PEERS,
            targets=targets(0.55, 0.80),
        ),
        websocket(64),
        websocket(16384),
        variant(
            websocket(64),
            "websocket-wsproto",
            "WebSocket echo, 64 bytes, wsproto as the codec of both",
            ours="asgiserver-wsproto",
            peers=("uvicorn-wsproto",),
            limits=(),
            targets=(Target("uvicorn-wsproto", 1.0),),
        ),
        HTTP2,
        variant(
            HTTP2,
            "http2-single",
            "HTTP/2, 1 connection x 1 stream",
            connections=1,
            pipeline=1,
        ),
        variant(
            HTTP2,
            "http2-production",
            "HTTP/2, 13 browser headers, no two heads alike",
            headers=BROWSER_HEADERS,
            numbers=20_000,
        ),
        variant(
            HTTP2,
            "http2-stream",
            "HTTP/2, 20 chunks of 1 KiB streamed",
            wanted=Wanted("apps:stream", protocol="http2"),
        ),
        variant(
            HTTP2,
            "http2-1m",
            "HTTP/2, 1 MiB body",
            wanted=Wanted("apps:mebibyte", protocol="http2"),
            pipeline=2,
        ),
        variant(
            HTTP2,
            "http2-post-10k",
            "HTTP/2, POST, 10 KiB echoed",
            wanted=Wanted("apps:echo", protocol="http2"),
            body_bytes=10240,
        ),
        # Those that take an extended CONNECT (RFC 8441).
        variant(
            websocket(64),
            "http2-websocket-64",
            "WebSocket echo over HTTP/2, 64 bytes, 64 busy connections",
            wanted=Wanted("apps:websocket_echo", protocol="http2"),
            peers=("h2corn", "hypercorn"),
            limits=(),
        ),
        variant(
            PLAINTEXT,
            "h11",
            "Plain text, h11 as the parser",
            ours="asgiserver-h11",
            peers=("uvicorn-h11",),
            limits=(),
            targets=(Target("uvicorn-h11", 0.75),),
        ),
    )
}
