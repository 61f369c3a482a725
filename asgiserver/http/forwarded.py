"""What proxies say of a request: ``X-Forwarded-*`` and ``Forwarded`` (RFC 7239).

It is told which addresses are proxies to believe, and never asks who the peer is.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from asgiserver.errors import PeerError
from asgiserver.http.fields import TCHAR
from asgiserver.http.target import check_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asgiserver.types import Fields

__all__ = [
    "FORWARDED",
    "NOTHING",
    "X_FORWARDED",
    "Forwarding",
    "parse_elements",
    "parse_node",
    "read_forwarded",
    "read_x_forwarded",
    "split_host",
]

Address = tuple[str, int]

_FOR, _PROTO, _HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"
_PORT, _PREFIX = b"x-forwarded-port", b"x-forwarded-prefix"

X_FORWARDED = frozenset({_FOR, _PROTO, _HOST, _PORT, _PREFIX})
FORWARDED = frozenset({b"forwarded"})

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PREFIX_PATH = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+;=:@]|%[0-9A-Fa-f]{2})+)+").fullmatch
_PORT_NUMBER = re.compile(r"[0-9]{1,5}").fullmatch
# node [ ":" node-port ]: RFC 7239 section 6; IPv6 in brackets, bare in X-Forwarded-For.
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?").fullmatch
# parameter = token "=" ( token / quoted-string ): RFC 7239 section 4, RFC 9110 section 5.6.4.
_PAIR = re.compile(
    rb"([" + TCHAR + rb"]+)=(?:([" + TCHAR + rb"]+)"
    rb'|"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*)")'
).match
_UNESCAPE = re.compile(rb"\\(.)")


class Forwarding(NamedTuple):
    """What trusted proxies said; None (or nothing) where they said nothing that can be believed.

    `client` is an IP address with its port, 0 when unknown. `host` is a checked field value.
    `prefix` is decoded, without a slash at its end.
    """

    client: Address | None = None
    scheme: str | None = None
    host: bytes | None = None
    port: int | None = None
    prefix: str | None = None


NOTHING = Forwarding()

REACH = 64
"""Proxies on the way at most: walking over more would cost more than the request."""


def read_x_forwarded(
    fields: Fields, trusts: Callable[[str], bool], hops: int | None = None
) -> Forwarding:
    """Read ``X-Forwarded-For``, ``-Proto``, ``-Host``, ``-Port`` and ``-Prefix``.

    The addresses are walked from the right as long as `trusts` knows them, or over `hops` proxies
    exactly: with fewer addresses than that nothing is believed. The other fields may hold one value
    or one for each proxy: the one that belongs to the address where the walk ended is taken.
    """
    said: dict[bytes, list[str]] = {}
    for name, value in fields:
        if name in X_FORWARDED:
            members = [part.strip(" \t") for part in value.decode("latin-1").split(",")]
            said.setdefault(name, []).extend(filter(None, members))
    nodes = said.get(_FOR, [])
    if nodes and hops is not None and len(nodes) < hops:
        return NOTHING
    distance, client = _walk([parse_node(node) for node in nodes[-(hops or REACH) :]], trusts, hops)

    def at(name: bytes) -> str:
        values = said.get(name)
        return values[-min(distance, len(values))] if values else ""

    port, prefix = at(_PORT), at(_PREFIX)
    return Forwarding(
        client,
        _SCHEMES.get(at(_PROTO).lower()),
        _checked_host(at(_HOST)),
        int(port) if _PORT_NUMBER(port) and int(port) <= 65535 else None,
        _checked_prefix(prefix) if prefix else None,
    )


def read_forwarded(
    fields: Fields, trusts: Callable[[str], bool], hops: int | None = None
) -> Forwarding:
    """Read ``Forwarded``; walked as in `read_x_forwarded`. RFC 7239 knows no port and no prefix.

    Raises `PeerError` (400) when the field is malformed: a quote that a client opens could swallow
    what a proxy appended.
    """
    value = b",".join(value for name, value in fields if name == b"forwarded")
    elements = parse_elements(value)
    if not elements or (hops is not None and len(elements) < hops):
        return NOTHING
    elements = elements[-(hops or REACH) :]
    nodes = [parse_node(element.get("for", "")) for element in elements]
    distance, client = _walk(nodes, trusts, hops)
    said: dict[str, str] = {}
    for element in reversed(elements[-distance:]):
        said |= element  # from the nearest proxy on: who is nearer to the client knows better
    scheme = _SCHEMES.get(said.get("proto", "").lower())
    return Forwarding(client, scheme, _checked_host(said.get("host", "")))


def _walk(
    nodes: Sequence[Address | None], trusts: Callable[[str], bool], hops: int | None
) -> tuple[int, Address | None]:
    """The distance of the client from the right, from 1, and its address when it is known.

    What is no address ends the walk: the client is then as far as is known the proxy before.
    """
    client = None
    distance = 1
    for distance, node in enumerate(reversed(nodes), 1):  # noqa: B007
        if node is None:
            break
        client = node
        if hops is None and not trusts(node[0]):
            break
    return distance, client


def parse_node(text: str) -> Address | None:
    """``192.0.2.1``, ``192.0.2.1:4711``, ``2001:db8::1``, ``[2001:db8::1]:4711``; port 0: unknown.

    None for anything else, such as ``unknown`` and ``_hidden`` (RFC 7239 section 6).
    """
    match = _NODE(text)
    host = text if match is None else match[1] or match[2]
    port = int(match[3]) if match is not None and match[3] else 0
    if "%" in host or port > 65535:
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if match is not None and (match[1] is None) != (address.version == 4):
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # the same client, whatever socket it came through
    return str(address), port


def parse_elements(value: bytes) -> list[dict[str, str]]:
    """The elements of ``Forwarded``, names in lower case (RFC 7239 section 4).

    Raises `PeerError` (400) when it is malformed.
    """
    elements: list[dict[str, str]] = []
    pairs: dict[str, str] = {}
    position, size = 0, len(value)
    separated = True
    while position < size:
        char = value[position : position + 1]
        if char in b" \t":
            position += 1
        elif char == b"," or char == b";":
            if char == b"," and pairs:
                elements.append(pairs)
                pairs = {}
            separated = True
            position += 1
        else:
            match = _PAIR(value, position)
            if match is None or not separated:
                raise PeerError(400, "malformed Forwarded")
            name, text = match[1].decode().lower(), match[2]
            if text is None:
                text = _UNESCAPE.sub(rb"\1", match[3])
            if name in pairs:
                raise PeerError(400, "malformed Forwarded")
            pairs[name] = text.decode("latin-1")
            separated = False
            position = match.end()
    if pairs:
        elements.append(pairs)
    return elements


def split_host(value: bytes) -> tuple[str, int | None]:
    """Host and port of a checked Host field; brackets are taken off."""
    host, port = value.decode("ascii"), ""
    if not host.endswith("]"):
        host, _, port = host.partition(":") if host[0] != "[" else host.rpartition(":")
    return host.strip("[]"), int(port) if port else None


def _checked_host(text: str) -> bytes | None:
    if not text:
        return None
    value = text.encode("latin-1")
    try:
        check_host(value)
    except PeerError:
        return None
    return value


def _checked_prefix(text: str) -> str | None:
    """Decoded; None unless it is a path of plain segments."""
    text = text.rstrip("/")
    if not text:
        return ""
    if not _PREFIX_PATH(text):
        return None
    prefix = unquote(text)
    segments = prefix.split("/")[1:]
    clean = all(part not in ("", ".", "..") and part.isprintable() for part in segments)
    return prefix if clean else None
