"""The framing of a request by its fields (RFC 9112 sections 6 and 9.3).

Every head parser's result passes through `read_request_head`, so the refusals do not depend on the
parser. What HTTP/1 has in common with other wires stands in `asgiserver.http.semantics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.errors import PeerError
from asgiserver.http.fields import list_members
from asgiserver.http.message import PLAIN, Framing, RequestHead
from asgiserver.http.semantics import (
    MESSAGE_FIELDS,
    ONLY_ONCE,
    accepts_trailers,
    by_name,
    expects_continue,
    forwarded_of,
    read_content_length,
)
from asgiserver.http.target import KNOWN_HOSTS, check_host, check_target, is_origin_form

if TYPE_CHECKING:
    from asgiserver.types import Fields

# Fields that decide the framing of a message, and whether its connection stays open.
_FRAMING = MESSAGE_FIELDS | {b"connection", b"transfer-encoding", b"upgrade"}
_ONLY_ONCE = ONLY_ONCE | {b"transfer-encoding": "Transfer-Encoding"}
_OTHER_CODINGS = frozenset({b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"})


class H1RequestHead(RequestHead):
    """The head of an HTTP/1 request. A body of unknown length comes in chunks."""

    keep_alive: bool
    """Whether the client wants the connection to stay open, as most do."""


def read_request_head(
    method: str, target: bytes, http_version: str, fields: Fields
) -> H1RequestHead:
    """Check what a parser found, and make a head of it. Raises `PeerError`."""
    found = by_name(fields, _ONLY_ONCE)
    host = found.get(b"host")
    if host not in KNOWN_HOSTS:
        if host is not None:
            check_host(host)
        elif http_version == "1.1":
            raise PeerError(400, "missing Host")
    if not is_origin_form(target):  # most are, and need no call
        check_target(method, target, host)
    head = H1RequestHead(method, target, http_version, fields, PLAIN, forwarded_of(found))
    head.keep_alive = True
    if http_version != "1.1" or not _FRAMING.isdisjoint(found):
        _read_framing(head, http_version == "1.1", found)
    return head


def _read_framing(head: H1RequestHead, modern: bool, found: dict[bytes, bytes]) -> None:
    """Give `head` a framing of its own. `modern` is HTTP/1.1: much is not for HTTP/1.0."""
    head.framing = framing = Framing()
    head.keep_alive = modern
    length = found.get(b"content-length")
    coding = found.get(b"transfer-encoding")
    if coding is not None:
        _check_chunked(modern, length, coding)
        framing.has_body = True
        framing.content_length = None
    elif length is not None:
        framing.content_length = read_content_length(length)
        framing.has_body = framing.content_length > 0
    connection = found.get(b"connection")
    if connection is not None:
        tokens = list_members(connection)
        if b"close" in tokens:
            head.keep_alive = False
        elif b"keep-alive" in tokens:
            head.keep_alive = True
        if modern and b"upgrade" in tokens:
            framing.upgrade = found.get(b"upgrade", b"").lower()
    te = found.get(b"te")
    if te is not None and modern:
        framing.takes_trailers = accepts_trailers(te)
    expect = found.get(b"expect")
    if expect is not None and modern:
        framing.expect_continue = expects_continue(expect) and framing.has_body


def _check_chunked(modern: bool, length: bytes | None, coding: bytes) -> None:
    """Refuse every Transfer-Encoding but chunked alone, in HTTP/1.1, without Content-Length."""
    if length is not None:  # request smuggling, RFC 9112 section 6.3
        raise PeerError(400, "both Content-Length and Transfer-Encoding")
    if not modern:
        raise PeerError(400, "Transfer-Encoding in HTTP/1.0")
    if coding.lower() != b"chunked":
        *others, last = list_members(coding) or [b""]
        if last == b"chunked" and others and _OTHER_CODINGS.issuperset(others):
            raise PeerError(501, "unsupported Transfer-Encoding")
        raise PeerError(400, "invalid Transfer-Encoding")
