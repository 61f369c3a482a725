"""Request targets (RFC 9112 section 3.2) and hosts (RFC 9110 section 7.2), for every wire."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import unquote

from asgiserver.errors import PeerError
from asgiserver.http.bounded import BoundedDict

TARGET = rb"[!-~]+"
"""A pattern: the bytes that a target of any form may hold are visible ASCII."""

is_target = re.compile(TARGET).fullmatch
is_origin_form = re.compile(rb"/[!\"$-~]*").fullmatch  # a path and a query; all of it but "#"

# uri-host [ ":" port ] without the comma: RFC 3986 allows it, no host has it, and a list of hosts
# is an attack. The pattern matches no path, no query and no user information ("BadHost").
_HOST = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2}){1,255})"
    rb"(?::([0-9]{0,5}))?"
).fullmatch
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]+)(.*)", re.DOTALL).fullmatch
_PLAIN_SEGMENTS = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+;=:@]|%[0-9A-Fa-f]{2})+)+").fullmatch

# A server has few names. Values of Host that are in here have been checked; a look costs a tenth of
# a match.
KNOWN_HOSTS: BoundedDict[bytes, None] = BoundedDict(256)


def check_host(value: bytes) -> None:
    """Raise `PeerError` (400) unless `value` is a host with an optional port."""
    match = _HOST(value)
    if match is None:
        raise PeerError(400, "invalid Host")
    address, port = match.groups()
    if port and int(port) > 65535:
        raise PeerError(400, "invalid Host")
    if address is not None:
        try:
            IPv6Address(address.decode())
        except ValueError:
            raise PeerError(400, "invalid Host") from None
    KNOWN_HOSTS.remember(value, None)


def check_target(method: str, target: bytes, host: bytes | None) -> None:
    """Raise `PeerError` (400) for a target that does not fit its method or has a wrong authority.

    `host` is the Host field that came with it.
    """
    if is_origin_form(target):
        return
    if not is_target(target):
        raise PeerError(400, "invalid request target")
    if target[0] == 0x2F:
        raise PeerError(400, "fragment in the request target")
    if target == b"*":
        if method != "OPTIONS":
            raise PeerError(400, "asterisk target without OPTIONS")
        return
    absolute = _ABSOLUTE(target)
    if absolute is None or 0x23 in target:
        raise PeerError(400, "invalid request target")
    authority = absolute[1]
    check_host(authority)
    if host is not None and authority.lower() != host.lower():
        raise PeerError(400, "request target and Host differ")


def split_target(target: bytes) -> tuple[str, bytes, bytes]:
    """The parts of a checked target that a scope has: (`path`, `raw_path`, `query_string`).

    `path` is percent-decoded UTF-8; bytes that are not UTF-8 become U+FFFD. `raw_path` is as
    received, without scheme, authority and query.
    """
    if target[0] == 0x2F and 0x3F not in target and 0x25 not in target:
        return target.decode(), target, b""  # nothing to split, as mostly
    if target[0] != 0x2F and target != b"*":
        absolute = _ABSOLUTE(target)
        assert absolute is not None  # check_target has passed
        target = absolute[2]
        if not target.startswith(b"/"):
            target = b"/" + target
    raw_path, _, query = target.partition(b"?")
    path = raw_path.decode("ascii")
    if "%" in path:
        path = unquote(path)
    return path, raw_path, query


def read_prefix(text: str) -> str | None:
    """A path that a proxy has taken off the front of targets, decoded; ``/`` becomes empty.

    None unless `text` is a path of plain segments.
    """
    if not text:
        return None
    text = text.rstrip("/")
    if not text:
        return ""
    if not _PLAIN_SEGMENTS(text):
        return None
    prefix = unquote(text)
    segments = prefix.split("/")[1:]
    clean = all(part not in ("", ".", "..") and part.isprintable() for part in segments)
    return prefix if clean else None
