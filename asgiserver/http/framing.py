"""The framing of a request by its fields (RFC 9112 sections 6 and 9.3).

Every wire's parser calls `read_request_head`, so the refusals do not depend on the parser.
"""

from __future__ import annotations

import re

from asgiserver.errors import PeerError
from asgiserver.http.fields import list_members
from asgiserver.http.forwarded import FORWARDED, X_FORWARDED
from asgiserver.http.message import PLAIN, Framing, RequestHead
from asgiserver.http.target import KNOWN_HOSTS, check_host, check_target

# The supported methods are the registered ones that the parsers know, without CONNECT, which is for
# proxies. Other methods are answered 501 (RFC 9110 section 9.1).
_METHOD_NAMES = """
    GET HEAD POST PUT DELETE OPTIONS PATCH TRACE QUERY
    ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY PROPFIND
    PROPPATCH PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE
"""
METHODS = {name.encode(): name for name in _METHOD_NAMES.split()}

# Fields that decide the framing of the message, and whether the connection stays open.
_FRAMING = frozenset(
    {b"content-length", b"transfer-encoding", b"connection", b"expect", b"te", b"upgrade"}
)
# Fields that proxies add. `asgiserver.server.proxy` decides whether they are believed.
FORWARDING = FORWARDED | X_FORWARDED
_READ_HERE = _FRAMING | FORWARDING
_OTHER_CODINGS = frozenset({b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"})
_ONLY_ONCE = {
    b"host": "Host",
    b"content-length": "Content-Length",
    b"content-type": "Content-Type",  # two readers may take different ones (CVE-2026-34525)
    b"transfer-encoding": "Transfer-Encoding",
}
# This must match before int(), which also takes signs, blanks, underscores and other digits.
_CONTENT_LENGTH = re.compile(rb"[0-9]{1,19}").fullmatch
_MOST_BYTES = 2**63 - 1


def read_request_head(
    method: str, target: bytes, http_version: str, fields: list[tuple[bytes, bytes]]
) -> RequestHead:
    """Check what a parser found, and make a `RequestHead` of it. Raises `PeerError`."""
    found = dict(fields)
    if len(found) != len(fields):
        found = _combine(fields)
    host = found.get(b"host")
    if host not in KNOWN_HOSTS:
        if host is not None:
            check_host(host)
        elif http_version == "1.1":
            raise PeerError(400, "missing Host")
    if target[0] != 0x2F or 0x23 in target:  # by far the most are paths
        check_target(method, target, host)
    framing = PLAIN
    if http_version != "1.1" or not _FRAMING.isdisjoint(found):
        framing = _read_framing(http_version == "1.1", found)
    forwarded = None if FORWARDING.isdisjoint(found) else found
    return RequestHead(method, target, http_version, fields, framing, forwarded)


def _combine(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The fields by name, repeated ones joined to a list (RFC 9110 section 5.3).

    Raises `PeerError` for a field that may come only once, even when both values are equal, which
    RFC 9112 section 6.3 allows.
    """
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in found:
            if name in _ONLY_ONCE:
                raise PeerError(400, f"more than one {_ONLY_ONCE[name]}")
            if name in _READ_HERE:
                found[name] += b"," + value
        else:
            found[name] = value
    return found


def _read_framing(modern: bool, found: dict[bytes, bytes]) -> Framing:
    """`modern` is HTTP/1.1: much is not for HTTP/1.0."""
    framing = Framing(keep_alive=modern)
    length = found.get(b"content-length")
    coding = found.get(b"transfer-encoding")
    if length is not None or coding is not None:
        _read_body_framing(framing, modern, length, coding)
    connection = found.get(b"connection")
    if connection is not None:
        tokens = list_members(connection)
        if b"close" in tokens:
            framing.keep_alive = False
        elif b"keep-alive" in tokens:
            framing.keep_alive = True
        if modern and b"upgrade" in tokens:
            framing.upgrade = found.get(b"upgrade", b"").lower()
    te = found.get(b"te")
    if te is not None and modern:
        framing.takes_trailers = b"trailers" in list_members(te)
    expect = found.get(b"expect")
    if expect is not None and modern:
        if expect.lower() != b"100-continue":
            raise PeerError(417, "unknown expectation")
        framing.expect_continue = framing.has_body
    return framing


def _read_body_framing(
    framing: Framing, modern: bool, length: bytes | None, coding: bytes | None
) -> None:
    if length is not None and coding is not None:  # request smuggling, RFC 9112 section 6.3
        raise PeerError(400, "both Content-Length and Transfer-Encoding")
    if coding is not None:
        if not modern:
            raise PeerError(400, "Transfer-Encoding in HTTP/1.0")
        if coding.lower() != b"chunked":
            *others, last = list_members(coding) or [b""]
            if last == b"chunked" and others and _OTHER_CODINGS.issuperset(others):
                raise PeerError(501, "unsupported Transfer-Encoding")
            raise PeerError(400, "invalid Transfer-Encoding")
        framing.chunked = framing.has_body = True
    else:
        assert length is not None
        if not _CONTENT_LENGTH(length) or int(length) > _MOST_BYTES:
            raise PeerError(400, "invalid Content-Length")
        framing.content_length = int(length)
        framing.has_body = framing.content_length > 0
