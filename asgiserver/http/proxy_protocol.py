"""The header of the PROXY protocol, versions 1 and 2: the client of a connection from a balancer.

The parser is strict and bounded. It reads no socket, and does not know who may send a header.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

from asgiserver.errors import PeerError

if TYPE_CHECKING:
    from asgiserver.types import Address

__all__ = ["MAX_SIZE", "ProxyHeader", "read_header"]

V1_SIZE = 107
"""Bytes of the longest header of version 1, with CR and LF."""

MAX_SIZE = 4096
"""Bytes of the longest header of version 2 that is accepted. Its addresses take 232 bytes at most;
the rest are additions (TLV) such as the client's certificate name."""

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_START = b"PROXY "
_V1 = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39})"
    rb" (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
).fullmatch
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?").fullmatch

# Version 2: the command is the low half of byte 12, the address family is byte 13.
_LOCAL, _PROXY = 0, 1
_UNSPEC, _TCP4, _TCP6, _UNIX_STREAM = 0x00, 0x11, 0x21, 0x31
_ADDRESSES = {_UNSPEC: 0, _TCP4: 4 + 4 + 2 + 2, _TCP6: 16 + 16 + 2 + 2, _UNIX_STREAM: 108 + 108}
_TLV_SSL = 0x20
_CLIENT_SSL = 0x01  # the bit of that TLV which says that the client spoke TLS with the balancer


class ProxyHeader(NamedTuple):
    """A header of `size` bytes. Without addresses the connection is one of the balancer itself."""

    size: int
    client: Address | None = None
    server: Address | None = None
    tls: bool = False


def read_header(data: bytes, versions: str = "auto") -> ProxyHeader | None:
    """The header at the beginning of `data`; None when more bytes are needed.

    `versions` is ``v1``, ``v2`` or ``auto`` (either). Raises `PeerError` (400) when the header is
    missing or malformed.
    """
    if versions != "v1" and _SIGNATURE.startswith(data[:12]):
        return _read_v2(data)
    if versions != "v2" and _V1_START.startswith(data[:6]):
        return _read_v1(data)
    raise PeerError(400, "no PROXY protocol header")


def _malformed() -> PeerError:
    return PeerError(400, "malformed PROXY protocol header")


def _read_v1(data: bytes) -> ProxyHeader | None:
    line, newline, _ = data[:V1_SIZE].partition(b"\r\n")
    if not newline:
        if len(data) >= V1_SIZE or b"\n" in line or b"\r" in line[:-1]:
            raise _malformed()
        return None
    size = len(line) + 2
    if _UNKNOWN(line):
        return ProxyHeader(size)
    match = _V1(line)
    if match is None:
        raise _malformed()
    version = 4 if match[1] == b"TCP4" else 6
    return ProxyHeader(
        size, _v1_address(version, match[2], match[4]), _v1_address(version, match[3], match[5])
    )


def _v1_address(version: int, host: bytes, port: bytes) -> Address:
    try:
        address = ipaddress.ip_address(host.decode("ascii"))
    except ValueError:
        raise _malformed() from None
    if address.version != version or int(port) > 65535:
        raise _malformed()
    return str(address), int(port)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    command, family = data[12], data[13]
    size = 16 + int.from_bytes(data[14:16])
    if command not in (0x20 | _LOCAL, 0x20 | _PROXY) or size > MAX_SIZE:
        raise _malformed()
    if len(data) < size:
        return None
    if command == 0x20 | _LOCAL:
        return ProxyHeader(size)  # addresses of a LOCAL command are to be ignored
    end = 16 + _ADDRESSES.get(family, MAX_SIZE)
    if end > size:
        raise _malformed()  # the family is a datagram's, or the addresses are cut
    tls = _client_tls(data[end:size])
    if family == _TCP4:
        return ProxyHeader(size, _v2_address(data, 16, 4, 24), _v2_address(data, 20, 4, 26), tls)
    if family == _TCP6:
        return ProxyHeader(size, _v2_address(data, 16, 16, 48), _v2_address(data, 32, 16, 50), tls)
    return ProxyHeader(size, tls=tls)


def _v2_address(data: bytes, start: int, length: int, port: int) -> Address:
    address = ipaddress.ip_address(data[start : start + length])
    return str(address), int.from_bytes(data[port : port + 2])


def _client_tls(additions: bytes) -> bool:
    """Whether a TLV says that the client spoke TLS. Raises `PeerError` for a malformed TLV."""
    tls = False
    position = 0
    while position < len(additions):
        kind, length = additions[position], additions[position + 1 : position + 3]
        value = position + 3
        position = value + int.from_bytes(length)
        if len(length) < 2 or position > len(additions):
            raise _malformed()
        if kind == _TLV_SSL:
            if position < value + 5:
                raise _malformed()
            tls = bool(additions[value] & _CLIENT_SSL)
    return tls
