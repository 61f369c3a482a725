"""What a request's fields say about its framing (RFC 9112 sections 6 and 9.3).

Every wire's parser ends here, so what is refused does not depend on the parser.
"""

from __future__ import annotations

import re

from asgiserver.errors import PeerError
from asgiserver.http.fields import list_members
from asgiserver.http.message import RequestHead
from asgiserver.http.target import check_host, check_target

# Methods that are understood: the registered ones that the parsers know. Others are 501.
METHODS = {
    name.encode(): name
    for name in (
        "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE CONNECT QUERY "
        "ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY "
        "PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK "
        "UNSUBSCRIBE"
    ).split()
}

_READ_HERE = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"}
)
_OTHER_CODINGS = frozenset({b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"})
# No int() before this has matched: it takes signs, blanks, underscores and other digits.
_CONTENT_LENGTH = re.compile(rb"[0-9]{1,19}").fullmatch
_MOST_BYTES = 2**63 - 1


def read_request_head(
    method: str, target: bytes, http_version: str, fields: list[tuple[bytes, bytes]]
) -> RequestHead:
    """Make a `RequestHead` of what a parser found, checked. Raises `PeerError`."""
    head = RequestHead(method, target, http_version, fields)
    host = length = coding = expect = upgrade = None
    connection = b""
    for name, value in fields:
        if name not in _READ_HERE:
            continue
        if name == b"host":
            if host is not None:
                raise PeerError(400, "more than one Host")
            host = value
            check_host(value)
        elif name == b"connection":
            connection = connection + b"," + value if connection else value
        elif name == b"content-length":
            if length is not None:  # equal ones too: RFC 9112 section 6.3 lets us refuse
                raise PeerError(400, "more than one Content-Length")
            length = value
        elif name == b"transfer-encoding":
            if coding is not None:
                raise PeerError(400, "more than one Transfer-Encoding")
            coding = value
        elif name == b"expect":
            expect = value
        else:
            upgrade = value
    if host is None and http_version == "1.1":
        raise PeerError(400, "missing Host")
    check_target(method, target, host)
    if length is not None or coding is not None:
        _read_body_framing(head, length, coding)
    if connection:
        _read_connection(head, connection, upgrade)
    if expect is not None and http_version == "1.1":
        if expect.lower() != b"100-continue":
            raise PeerError(417, "unknown expectation")
        head.expect_continue = head.chunked or head.content_length > 0
    return head


def _read_body_framing(head: RequestHead, length: bytes | None, coding: bytes | None) -> None:
    if length is not None and coding is not None:  # request smuggling: RFC 9112 section 6.3
        raise PeerError(400, "both Content-Length and Transfer-Encoding")
    if coding is not None:
        if head.http_version != "1.1":
            raise PeerError(400, "Transfer-Encoding in HTTP/1.0")
        if coding.lower() != b"chunked":
            codings = set(list_members(coding)) - {b"chunked"}
            if codings and codings <= _OTHER_CODINGS:
                raise PeerError(501, "unsupported Transfer-Encoding")
            raise PeerError(400, "invalid Transfer-Encoding")
        head.chunked = True
    elif length is not None:
        if not _CONTENT_LENGTH(length) or int(length) > _MOST_BYTES:
            raise PeerError(400, "invalid Content-Length")
        head.content_length = int(length)


def _read_connection(head: RequestHead, connection: bytes, upgrade: bytes | None) -> None:
    tokens = list_members(connection)
    if b"close" in tokens:
        head.keep_alive = False
    elif b"keep-alive" in tokens:
        head.keep_alive = True
    if upgrade is not None and b"upgrade" in tokens and head.http_version == "1.1":
        head.upgrade = upgrade.lower()
