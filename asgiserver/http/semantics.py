"""What every wire checks of a request, whatever its text looks like (RFC 9110).

A wire splits the head of a request; these functions say what its fields mean, and refuse it, so
what is refused does not depend on the wire. `asgiserver.http.target` does the same for targets.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from asgiserver.errors import PeerError
from asgiserver.http.fields import CONNECTION_FIELDS, list_members
from asgiserver.http.forwarded import FORWARDED, X_FORWARDED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asgiserver.types import Fields

# The supported methods are the registered ones that the parsers know, without CONNECT, which is for
# proxies. Other methods are answered 501 (RFC 9110 section 9.1).
_METHOD_NAMES = """
    GET HEAD POST PUT DELETE OPTIONS PATCH TRACE QUERY
    ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY PROPFIND
    PROPPATCH PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE
"""
METHODS = {name.encode(): name for name in _METHOD_NAMES.split()}

FORWARDING = FORWARDED | X_FORWARDED
"""Fields that proxies add. `asgiserver.server.proxy` decides whether they are believed."""

MESSAGE_FIELDS = frozenset({b"content-length", b"expect", b"te"})
"""Request fields that say how the message itself goes on, and how it may be answered."""

_JOINED = MESSAGE_FIELDS | CONNECTION_FIELDS | FORWARDING
ONLY_ONCE = {
    b"host": "Host",
    b"content-length": "Content-Length",
    b"content-type": "Content-Type",  # two readers may take different ones (CVE-2026-34525)
}
"""Fields that no request may have twice, and how a refusal calls them."""

# This must match before int(), which also takes signs, blanks, underscores and other digits.
_CONTENT_LENGTH = re.compile(rb"[0-9]{1,19}").fullmatch
_MOST_BYTES = 2**63 - 1


def by_name(fields: Fields, only_once: Mapping[bytes, str] = ONLY_ONCE) -> dict[bytes, bytes]:
    """The fields by name; those that the server reads are joined to a list when they are repeated.

    Raises `PeerError` (400) for a field that may come only once, even when both values are equal,
    which RFC 9110 section 8.6 allows for Content-Length. See RFC 9110 section 5.3.
    """
    found = dict(fields)
    if len(found) == len(fields):
        return found
    found = {}
    for name, value in fields:
        if name in found:
            if name in only_once:
                raise PeerError(400, f"more than one {only_once[name]}")
            if name in _JOINED:
                found[name] += b"," + value
        else:
            found[name] = value
    return found


def forwarded_of(found: dict[bytes, bytes]) -> Mapping[bytes, bytes] | None:
    """What proxies say in fields by name, as `RequestHead.forwarded` has it."""
    return None if FORWARDING.isdisjoint(found) else found


def read_content_length(value: bytes) -> int:
    """Content-Length in bytes (RFC 9110 section 8.6). Raises `PeerError` (400)."""
    if not _CONTENT_LENGTH(value) or int(value) > _MOST_BYTES:
        raise PeerError(400, "invalid Content-Length")
    return int(value)


def expects_continue(expect: bytes) -> bool:
    """Whether the client waits for a 100 (RFC 9110 section 10.1.1). Raises `PeerError` (417)."""
    if expect.lower() != b"100-continue":
        raise PeerError(417, "unknown expectation")
    return True


def accepts_trailers(te: bytes) -> bool:
    """Whether the client reads trailer fields (TE, RFC 9110 section 10.1.4)."""
    return b"trailers" in list_members(te)
