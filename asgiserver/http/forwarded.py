"""The forwarding fields of proxies: ``X-Forwarded-*`` and ``Forwarded`` (RFC 7239).

The caller says which addresses are trusted proxies; this module does not know the peer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from asgiserver.errors import PeerError
from asgiserver.http.addresses import parse_node, read_nodes
from asgiserver.http.fields import TCHAR
from asgiserver.http.target import check_host, read_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from asgiserver.types import Address

__all__ = [
    "FORWARDED",
    "NAMES",
    "NOTHING",
    "X_FORWARDED",
    "Forwarding",
    "parse_elements",
    "read_forwarded",
    "read_x_forwarded",
    "split_host",
]

NAMES = ("for", "proto", "host", "port", "prefix")
"""The values of --forwarded-fields, in the order of `Forwarding`."""

X_FORWARDED = frozenset(b"x-forwarded-" + name.encode() for name in NAMES)
FORWARDED = frozenset({b"forwarded"})

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_USUAL_SCHEMES = {b"http": "http", b"https": "https"}
_PORT_NUMBER = re.compile(r"[0-9]{1,5}").fullmatch
# An optional parameter = token "=" ( token / quoted-string ), then the separator or the end: RFC
# 7239 section 4, RFC 9110 section 5.6.4.
_PIECE = re.compile(
    rb"[ \t]*(?:([" + TCHAR + rb"]+)=(?:([" + TCHAR + rb"]+)"
    rb'|"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*)")[ \t]*)?(?:([,;])|\Z)'
).match
_UNESCAPE = re.compile(rb"\\(.)")


Forwarding: TypeAlias = "tuple[Address | None, str | None, bytes | None, int | None, str | None]"
"""The client, the scheme, the host, the port and the prefix that trusted proxies gave; None where
they gave no valid one.

The client is an IP address with its port, which is 0 when unknown. The host is a checked field
value. The prefix is decoded, without a slash at its end. HOT 1 %: of a request through a proxy;
CPython makes and unpacks a named tuple much slower than a tuple.
"""

NOTHING: Forwarding = (None, None, None, None, None)

REACH = 64
"""The most proxies that are walked over: more would cost more than the request."""


def read_x_forwarded(
    fields: Mapping[bytes, bytes],
    trusts: Callable[[str], bool],
    hops: int | None = None,
    believed: Collection[str] = NAMES,
) -> Forwarding:
    """Read ``X-Forwarded-For``, ``-Proto``, ``-Host``, ``-Port`` and ``-Prefix``.

    `fields` are by name, repeated ones joined with commas; those that are not `believed` say
    nothing. The walk over the addresses begins at the right and goes on as long as `trusts` is true
    for them, or over exactly `hops` proxies; with fewer addresses than `hops` nothing is believed.
    Each other field may hold one value, or one for each proxy: the value that belongs to the
    address where the walk ends is taken.
    """
    client = scheme = host = port = prefix = None
    distance = 1
    value = fields.get(b"x-forwarded-for")
    if value is not None:
        nodes = read_nodes(value)
        members = _members(value) if nodes is None else ()
        count = len(nodes or members)
        if hops is not None and 0 < count < hops:
            return NOTHING
        if nodes is None:  # an address is read when the walk comes to it
            distance, client = _walk(map(parse_node, reversed(members)), count, trusts, hops)
        elif count == 1:
            client = nodes[0]  # HOT 2 %: of a request through one proxy; there is no walk
        else:
            distance, client = _walk(reversed(nodes), count, trusts, hops)
        if "for" not in believed:
            client = None
    if "proto" in believed and (value := fields.get(b"x-forwarded-proto")) is not None:
        scheme = _scheme(value, distance)
    if "host" in believed and (value := fields.get(b"x-forwarded-host")) is not None:
        host = _checked_host(_member(value, distance))
    if "port" in believed and (value := fields.get(b"x-forwarded-port")) is not None:
        port = _checked_port(_member(value, distance))
    if "prefix" in believed and (value := fields.get(b"x-forwarded-prefix")) is not None:
        prefix = read_prefix(_member(value, distance))
    return client, scheme, host, port, prefix


def read_forwarded(
    fields: Mapping[bytes, bytes],
    trusts: Callable[[str], bool],
    hops: int | None = None,
    believed: Collection[str] = NAMES,
) -> Forwarding:
    """Read ``Forwarded`` with the walk of `read_x_forwarded`. RFC 7239 has no port and no prefix.

    Raises `PeerError` (400) when the field is malformed: a quote that a client opens could swallow
    the element that a proxy appended.
    """
    elements = parse_elements(fields.get(b"forwarded", b""))
    if not elements or (hops is not None and len(elements) < hops):
        return NOTHING
    nodes = (parse_node(element.get("for", "")) for element in reversed(elements))
    distance, client = _walk(nodes, len(elements), trusts, hops)
    pairs: dict[str, str] = {}
    for element in reversed(elements[-distance:]):
        pairs |= element  # begins at the nearest proxy: one nearer to the client overrides it
    scheme = _SCHEMES.get(pairs.get("proto", "").lower()) if "proto" in believed else None
    host = _checked_host(pairs.get("host", "")) if "host" in believed else None
    return client if "for" in believed else None, scheme, host, None, None


def _scheme(value: bytes, distance: int) -> str | None:
    usual = _USUAL_SCHEMES.get(value)
    return usual or _SCHEMES.get(_member(value, distance).lower())


def _members(value: bytes) -> list[str]:
    """The members of a list (RFC 9110 section 5.6.1) without the empty ones."""
    text = value.decode("latin-1")
    if "," not in text:
        text = text.strip(" \t")
        return [text] if text else []
    return [member for part in text.split(",") if (member := part.strip(" \t"))]


def _member(value: bytes, distance: int) -> str:
    """The member that belongs to the proxy at `distance`; the first one when there are fewer."""
    members = _members(value)
    return members[-min(distance, len(members))] if members else ""


def _walk(
    nodes: Iterable[Address | None], count: int, trusts: Callable[[str], bool], hops: int | None
) -> tuple[int, Address | None]:
    """The client's distance from the right, counted from 1, and its address when it is known.

    `nodes` are the addresses of a list of `count` of them, the nearest first. Text that is not an
    address, None, ends the walk, and the last proxy before it counts as the client. `trusts` is not
    called for the leftmost address, which is the client in any case.
    """
    client = None
    distance, last = 1, min(count, hops or REACH)
    for distance, node in enumerate(nodes, 1):
        if node is None:
            break
        client = node
        if distance == last or (hops is None and not trusts(node[0])):
            break
    return distance, client


def parse_elements(value: bytes) -> list[dict[str, str]]:
    """The elements of ``Forwarded``, with their names in lower case (RFC 7239 section 4).

    Raises `PeerError` (400) when `value` is malformed.
    """
    elements: list[dict[str, str]] = []
    pairs: dict[str, str] = {}
    position, size = 0, len(value)
    while position < size:
        match = _PIECE(value, position)
        if match is None:
            raise PeerError(400, "malformed Forwarded")
        token, text, quoted, separator = match.groups()
        if token is not None:
            name = token.decode().lower()
            if name in pairs:
                raise PeerError(400, "malformed Forwarded")
            if text is None:
                text = _UNESCAPE.sub(rb"\1", quoted)
            pairs[name] = text.decode("latin-1")
        if separator == b"," and pairs:
            elements.append(pairs)
            pairs = {}
        position = match.end()
    if pairs:
        elements.append(pairs)
    return elements


def split_host(value: bytes) -> tuple[str, int | None]:
    """The host and the port of a checked Host field; brackets are removed."""
    host, port = value.decode("ascii"), ""
    if not host.endswith("]"):
        host, _, port = host.partition(":") if host[0] != "[" else host.rpartition(":")
    return host.strip("[]"), int(port) if port else None


def _checked_port(text: str) -> int | None:
    return int(text) if _PORT_NUMBER(text) and int(text) <= 65535 else None


def _checked_host(text: str) -> bytes | None:
    if not text:
        return None
    value = text.encode("latin-1")
    try:
        check_host(value)
    except PeerError:
        return None
    return value
