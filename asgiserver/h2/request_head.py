"""The fields of a header block to the head of a request (RFC 9113 sections 8.2 and 8.3).

What HTTP/2 calls malformed is a `StreamFault`; what has a status in HTTP is a `PeerError`, with the
same text as on every other wire.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from asgiserver.errors import PeerError
from asgiserver.h2.faults import PROTOCOL_ERROR, StreamFault
from asgiserver.h2.priority import read_priority
from asgiserver.http.bounded import BoundedDict
from asgiserver.http.fields import CONNECTION_FIELDS, TOKEN
from asgiserver.http.message import Framing, RequestHead
from asgiserver.http.semantics import (
    MESSAGE_FIELDS,
    METHODS,
    by_name,
    expects_continue,
    forwarded_of,
    read_content_length,
)
from asgiserver.http.target import KNOWN_HOSTS, check_host, is_target

if TYPE_CHECKING:
    from asgiserver.h2.settings import Settings
    from asgiserver.types import Fields

_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_SCHEMES = frozenset({b"http", b"https"})
_SPECIAL = MESSAGE_FIELDS | CONNECTION_FIELDS | {b"cookie", b"priority"}
_NEVER_TRAILERS = CONNECTION_FIELDS | {b"content-length", b"host", b"te"}

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*").fullmatch
# What may be in a value: the rule of HTTP/1, see `asgiserver.h1.head`. Taking these bytes away is
# one pass in C over all values.
_VALUE_BYTES = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])

# Names of request fields that have been checked; clients send the same few for ever.
_known_names: BoundedDict[bytes, None] = BoundedDict(1024)

NO_BODY = Framing(takes_trailers=True)
BODY = Framing(has_body=True, content_length=None, takes_trailers=True)


class H2RequestHead(RequestHead):
    """The head of an HTTP/2 request. Class attributes are what few requests change."""

    priority: tuple[int, bool] | None = None
    """Urgency and incremental (RFC 9218), when the client says either."""


def _malformed(reason: str) -> NoReturn:
    """A malformed request is a stream error (section 8.1.1)."""
    raise StreamFault(PROTOCOL_ERROR, reason)


def read_request(fields: Fields, end: bool, settings: Settings) -> H2RequestHead:
    """Check the fields of a request, and make its head. `end`: neither body nor trailers follow.

    Raises `StreamFault` and `PeerError`.
    """
    pseudo, fields = _split(fields)
    _check_fields(fields)
    if b":protocol" in pseudo or pseudo.get(b":method") == b"CONNECT":
        _check_connect(pseudo, settings)
    target = _target_of(pseudo)
    fields = settings.underscores.checked(_with_host(fields, pseudo.get(b":authority")))
    found = by_name(fields)
    if len(found) != len(fields):
        fields = _joined_cookies(fields)
    if len(fields) > settings.fields:
        raise PeerError(431, "too many header fields")
    host = found.get(b"host")
    if host not in KNOWN_HOSTS:
        if host is None:
            raise PeerError(400, "missing Host")
        check_host(host)
    if len(target) > settings.line:
        raise PeerError(414, "request line too long")
    if 0x23 in target:
        raise PeerError(400, "fragment in the request target")
    method = _method_of(pseudo[b":method"])
    framing = NO_BODY if end else BODY
    head = H2RequestHead(method, target, "2", fields, framing, forwarded_of(found))
    if not _SPECIAL.isdisjoint(found):
        _read_special(head, found, end)
    if method == "CONNECT":
        protocol = pseudo[b":protocol"].lower()
        if protocol != b"websocket":
            raise PeerError(501, "protocol is not supported")  # RFC 9220 section 3
        head.framing = Framing(has_body=not end, content_length=None, upgrade=protocol)
    return head


def check_trailers(fields: Fields) -> None:
    """Raise `StreamFault` unless `fields` may follow a body (section 8.1)."""
    _check_fields(fields)
    if not _NEVER_TRAILERS.isdisjoint(dict(fields)):
        _malformed("a framing field in the trailers")


def _split(fields: Fields) -> tuple[dict[bytes, bytes], Fields]:
    """The pseudo-fields by name, and the fields after them (section 8.3)."""
    count = 0
    for name, _ in fields:
        if name[:1] != b":":
            break
        count += 1
    pseudo = dict(fields[:count])
    if len(pseudo) != count or not _PSEUDO.issuperset(pseudo):
        _malformed("an unknown pseudo-field, or one twice")
    return pseudo, fields[count:]


def _check_fields(fields: Fields) -> None:
    """Names in lower case and values without control characters (section 8.2.1)."""
    names = [name for name, _ in fields]
    if not _known_names.keys() >= set(names):
        for name in names:
            if not _NAME(name):
                if name[:1] == b":":
                    _malformed("a pseudo-field after other fields, or in trailers")
                _malformed("invalid field name")
            _known_names.remember(name, None)
    values = [value for _, value in fields]
    if b"".join(values).translate(None, _VALUE_BYTES):
        _malformed("invalid character in a field value")
    # `strip` gives the same object when there is nothing to take away, so this compares addresses.
    if [value.strip() for value in values] != values:
        _malformed("white space around a field value")


def _check_connect(pseudo: dict[bytes, bytes], settings: Settings) -> None:
    """CONNECT with its pseudo-fields (section 8.5), and as RFC 8441 section 4 has it."""
    if b":protocol" in pseudo:
        if pseudo.get(b":method") != b"CONNECT" or not settings.websocket:
            _malformed("unexpected :protocol")
        return
    if b":authority" not in pseudo or b":scheme" in pseudo or b":path" in pseudo:
        _malformed("CONNECT with the wrong pseudo-fields")
    raise PeerError(501, "method is not supported")


def _target_of(pseudo: dict[bytes, bytes]) -> bytes:
    """The target in `:path`, after a look at `:scheme` (section 8.3.1)."""
    target = pseudo.get(b":path", b"")
    scheme = pseudo.get(b":scheme", b"")
    if b":method" not in pseudo or not target or not scheme:
        _malformed("a pseudo-field is missing or empty")
    if scheme not in _SCHEMES and not _SCHEME(scheme):
        _malformed("invalid :scheme")
    if is_target(target) is None:
        _malformed("invalid :path")
    if target[0] != 0x2F and (target != b"*" or pseudo[b":method"] != b"OPTIONS"):
        _malformed("invalid :path")
    return target


def _method_of(name: bytes) -> str:
    method = METHODS.get(name)
    if method is None:
        if name == b"CONNECT":  # an extended one
            return "CONNECT"
        if not TOKEN(name):
            _malformed("invalid :method")
        raise PeerError(501, "method is not supported")
    return method


def _with_host(fields: Fields, authority: bytes | None) -> Fields:
    """The fields with `:authority` as Host, first (section 8.3.1)."""
    if authority is None:
        return fields
    rest = [field for field in fields if field[0] != b"host"]
    for name, value in fields if len(rest) != len(fields) else ():
        if name == b"host" and value.lower() != authority.lower():
            _malformed(":authority and Host differ")
    return [(b"host", authority), *rest]


def _joined_cookies(fields: Fields) -> Fields:
    """The fields with all cookies in one, where the first was (section 8.2.3)."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) < 2:
        return fields
    joined = []
    for field in fields:
        if field[0] != b"cookie":
            joined.append(field)
        elif crumbs:
            joined.append((b"cookie", b"; ".join(crumbs)))
            crumbs = []
    return joined


def _read_special(head: H2RequestHead, found: dict[bytes, bytes], end: bool) -> None:
    """Act on the fields that say something about the message itself."""
    if not CONNECTION_FIELDS.isdisjoint(found):
        _malformed("a field of HTTP/1 connections")  # section 8.2.2
    if found.get(b"te", b"trailers").lower() != b"trailers":
        _malformed("TE other than trailers")
    value = found.get(b"priority")
    if value is not None:
        head.priority = read_priority(value)
    value = found.get(b"content-length")
    length = None if value is None else read_content_length(value)
    if end and length:
        _malformed("Content-Length without a body")
    waits = b"expect" in found and expects_continue(found[b"expect"])
    if not end and (waits or length is not None):
        head.framing = Framing(True, length, waits, True)
