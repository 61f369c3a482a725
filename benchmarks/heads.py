"""Request heads as production sends them: many, from a seed, none like the one before.

A load balancer's heads differ in their request id, trace id, cookie, address and query. Nothing
that a server remembers of one head helps it with the next.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = 2027
HEADS = 20_000
UPLOADS = 200  # requests with bodies of 1 KiB to 1 MiB, which wrk keeps in memory

AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
    " Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "shop-app/7.4.1 (iPhone; iOS 19.1; Scale/3.00)",
)
LANGUAGES = ("en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr", "pt-BR,pt;q=0.9,en-US;q=0.8")
ENCODINGS = ("gzip, deflate, br, zstd", "gzip, deflate, br", "gzip")
WORDS = ("shoes", "red+shirt", "lamp", "caf%C3%A9", "desk+40cm", "tea", "bike+light", "socks")


def address(source: random.Random) -> str:
    """A client's address: four of five are IPv4."""
    if source.random() < 0.8:
        return ".".join(str(source.randrange(1, 255)) for _ in range(4))
    return "2001:db8:" + ":".join(f"{source.randrange(1, 65536):x}" for _ in range(6))


def production_head(source: random.Random, proxies: int = 1) -> bytes:
    """One head of 18 fields, as an ingress sends it; with two `proxies` a CDN stands before it."""
    trace = f"{source.getrandbits(128):032x}"
    client = address(source)
    hops = ", ".join([client, *(f"10.{source.randrange(256)}.3.7" for _ in range(proxies - 1))])
    query = f"q={source.choice(WORDS)}&page={source.randrange(1, 40)}"
    fields = {
        "Host": "shop.example.com",
        "X-Request-Id": f"{source.getrandbits(128):032x}",
        "X-Real-Ip": client,
        "X-Forwarded-For": hops,
        "X-Forwarded-Host": "shop.example.com",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Scheme": "https",
        "Traceparent": f"00-{trace}-{source.getrandbits(64):016x}-01",
        "User-Agent": source.choice(AGENTS),
        "Accept": "application/json, text/plain, */*",
        "Accept-Language": source.choice(LANGUAGES),
        "Accept-Encoding": source.choice(ENCODINGS),
        "Referer": f"https://shop.example.com/list/{source.randrange(9000)}",
        "Origin": "https://shop.example.com",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Site": "same-origin",
        "Cookie": f"session={source.getrandbits(192):048x}; theme=dark; locale=en",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"GET /items/{source.randrange(1, 100_000)}?{query} HTTP/1.1\r\n{lines}\r\n".encode()


def upload(source: random.Random) -> bytes:
    """A POST whose body has 1 KiB to 1 MiB: small ones are frequent, as sizes of uploads are."""
    size = round(1024 * 1024 ** source.random())
    head = f"POST / HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: {size}\r\n"
    kind = "Content-Type: application/octet-stream\r\n"
    request_id = f"X-Request-Id: {source.getrandbits(128):032x}\r\n\r\n"
    return (head + kind + request_id).encode() + b"b" * size


def requests(kind: str) -> Iterator[bytes]:
    """The requests of a kind of load, the same ones on every machine: `production`, `two-proxies`
    or `uploads`."""
    source = random.Random(SEED)
    if kind == "uploads":
        return (upload(source) for _ in range(UPLOADS))
    proxies = 2 if kind == "two-proxies" else 1
    return (production_head(source, proxies) for _ in range(HEADS))


def write(kind: str, directory: Path) -> Path:
    """A file of these requests for the load generator: each after a line with its length."""
    path = directory / f"{kind}.requests"
    content = b"".join(b"%d\n%b" % (len(one), one) for one in requests(kind))
    if not path.exists() or path.stat().st_size != len(content):
        path.write_bytes(content)
    return path
