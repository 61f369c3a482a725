"""IP addresses as proxies write them, read without an object for each.

The two functions taken from the socket module only convert between text and bytes.
"""

from __future__ import annotations

import re
from socket import AF_INET6, inet_ntop, inet_pton
from typing import TYPE_CHECKING

from asgiserver import speedups

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.types import Address

__all__ = ["canonical_ipv6", "leave_nodes", "parse_node", "read_nodes"]

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# node [ ":" node-port ]: RFC 7239 section 6. IPv6 with a port stands in brackets.
_NODE = re.compile(
    rf"({_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?"
).fullmatch
_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2


def leave_nodes(value: bytes) -> list[Address] | None:
    """What `read_nodes` is without the compiled core: each list is read member by member."""
    return None


# The addresses of a list, where the core reads each as `parse_node` would; None for other lists.
read_nodes: Callable[[bytes], list[Address] | None] = speedups.choose("read_nodes", leave_nodes)


def parse_node(text: str) -> Address | None:
    """Read ``192.0.2.1``, ``192.0.2.1:4711``, ``2001:db8::1`` or ``[2001:db8::1]:4711``.

    The port is 0 when it is unknown. The address has its canonical form (RFC 5952), and an
    IPv4-mapped address is the IPv4 address, so that a client is the same through every socket.
    Returns None for any other text, such as ``unknown`` and ``_hidden`` (RFC 7239 section 6).
    """
    match = _NODE(text)
    if match is None:
        host = canonical_ipv6(text)
        return None if host is None else (host, 0)
    node, digits = match.groups()
    port = 0 if digits is None else int(digits)
    if port > 65535:
        return None
    if node[0] == "[":
        node = canonical_ipv6(node[1:-1])
        if node is None:
            return None
    return node, port


def canonical_ipv6(text: str) -> str | None:
    """The canonical text of an IPv6 address, or the IPv4 address it maps; None for other text."""
    if "%" in text:  # a zone has a meaning only on its own host
        return None
    try:
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):  # NUL and lone surrogates are a ValueError
        return None
    if packed.startswith(_MAPPED):
        return ".".join(map(str, packed[12:]))
    host = inet_ntop(AF_INET6, packed)
    if "." in host:  # `inet_ntop` writes ::1.2.3.4, a form that is deprecated
        return f"::{int.from_bytes(packed[12:14]):x}:{int.from_bytes(packed[14:]):x}"
    return host
