"""The WebSocket opening handshake: a client's offer and our answer, for every wire.

These pure functions take request heads and return fields.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from typing import TYPE_CHECKING

from asgiserver.errors import ApplicationError, PeerError
from asgiserver.http.fields import TCHAR, TOKEN, checked_fields, values_of

if TYPE_CHECKING:
    from asgiserver.http.message import RequestHead
    from asgiserver.types import Fields
    from asgiserver.ws.deflate import Deflate

__all__ = ["Offer", "accept_fields", "read_offer"]

VERSION = (b"sec-websocket-version", b"13")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==").fullmatch

# Fields of the answer that only the server may set.
_RESERVED = frozenset(
    {
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"connection",
        b"upgrade",
        b"content-length",
        b"transfer-encoding",
    }
)

# One step of an extension list (RFC 6455 section 9.1): a token, or ``name`` and ``name=value``
# after a semicolon. The alternatives begin with different bytes, so matching is linear.
_STEP = re.compile(
    rb"[ \t]*(?:(?P<sep>[,;])|(?P<token>[%b]+)(?:[ \t]*=[ \t]*"
    rb"(?:(?P<value>[%b]+)|\"(?P<quoted>[%b]+)\"))?)[ \t]*" % (TCHAR, TCHAR, TCHAR)
).match

Extensions = list[tuple[str, list[tuple[str, str | None]]]]


class Offer:
    """A client's offer: subprotocols in its order of preference, and extensions.

    `accept_key` is the Sec-WebSocket-Accept value; None on a wire without it (RFC 8441). `deflate`
    is the compression that the server takes from the offer, if any.
    """

    __slots__ = ("accept_key", "deflate", "extensions", "subprotocols")

    def __init__(
        self, subprotocols: list[str], extensions: Extensions, accept_key: bytes | None
    ) -> None:
        self.subprotocols = subprotocols
        self.extensions = extensions
        self.accept_key = accept_key
        self.deflate: Deflate | None = None

    @property
    def status(self) -> int:
        """The status of an answer that accepts the offer."""
        return 200 if self.accept_key is None else 101

    def __repr__(self) -> str:
        return f"<Offer subprotocols={self.subprotocols} extensions={self.extensions}>"


def read_offer(head: RequestHead) -> Offer:
    """The offer of a request whose `Framing.upgrade` is ``websocket``.

    That is a GET in HTTP/1.1 (RFC 6455 section 4.2.1). From HTTP/2 on it is an extended CONNECT,
    without a key (RFC 8441 section 5). Raises `PeerError`: 405 (another method), 426 (another
    version) or 400.
    """
    if head.method == "CONNECT":  # a wire that has no extended CONNECT refuses this method
        return _read_common_offer(head)
    if head.method != "GET":
        raise PeerError(405, "WebSocket handshake must be a GET", ((b"allow", b"GET"),))
    if head.http_version != "1.1":
        raise PeerError(400, "WebSocket handshake needs HTTP/1.1")
    if head.framing.has_body:
        raise PeerError(400, "WebSocket handshake with a body")
    offer = _read_common_offer(head)
    offer.accept_key = _accept_key(head)
    return offer


def _read_common_offer(head: RequestHead) -> Offer:
    """The part of an offer that is the same on every wire: version, subprotocols, extensions.

    Raises `PeerError` 426 or 400.
    """
    if values_of(b"sec-websocket-version", head.fields) != [b"13"]:
        raise PeerError(426, "WebSocket version must be 13", (VERSION,))
    subprotocols = []
    for value in values_of(b"sec-websocket-protocol", head.fields):
        for part in value.split(b","):
            token = part.strip(b" \t")
            if not TOKEN(token):
                raise PeerError(400, "malformed Sec-WebSocket-Protocol")
            subprotocols.append(token.decode())
    extensions: Extensions = []
    for value in values_of(b"sec-websocket-extensions", head.fields):
        extensions += _parsed_extensions(value)
    return Offer(subprotocols, extensions, None)


def _accept_key(head: RequestHead) -> bytes:
    """Sec-WebSocket-Accept for the request's key (RFC 6455 section 4.2.2)."""
    keys = values_of(b"sec-websocket-key", head.fields)
    if len(keys) != 1 or not _KEY(keys[0]):
        raise PeerError(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    digest = hashlib.sha1(keys[0] + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)


def _parsed_extensions(value: bytes) -> Extensions:
    """An extension list (RFC 6455 section 9.1). Raises `PeerError` 400 when it is malformed."""
    extensions: Extensions = []
    separator: bytes | None = b","
    position = 0
    while position < len(value):
        step = _STEP(value, position)
        if step is None or (step["sep"] is None) == (separator is None):
            raise PeerError(400, "malformed Sec-WebSocket-Extensions")
        position = step.end()
        if step["sep"]:
            separator = step["sep"]
            continue
        name = step["token"].decode()
        argument = step["value"] or step["quoted"]
        if separator == b",":
            if argument is not None:
                raise PeerError(400, "malformed Sec-WebSocket-Extensions")
            extensions.append((name, []))
        else:
            extensions[-1][1].append((name, argument.decode() if argument else None))
        separator = None
    if separator is not None:
        raise PeerError(400, "malformed Sec-WebSocket-Extensions")
    return extensions


def accept_fields(offer: Offer, subprotocol: str | None, headers: object) -> Fields:
    """The fields that accept `offer` (RFC 6455 section 4.2.2), the application's `headers` last.

    Raises `ApplicationError` for a subprotocol that was not offered, for a header that only the
    server may send, and for an invalid header.
    """
    fields: Fields = []
    if offer.accept_key is not None:
        fields += (
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-accept", offer.accept_key),
        )
    if subprotocol is not None:
        if subprotocol not in offer.subprotocols:
            raise ApplicationError(
                f"subprotocol {subprotocol!r} is not among those offered: {offer.subprotocols}"
            )
        fields.append((b"sec-websocket-protocol", subprotocol.encode()))
    if offer.deflate is not None:
        fields.append((b"sec-websocket-extensions", offer.deflate.answer))
    for field in checked_fields(headers):
        if field[0] in _RESERVED:
            raise ApplicationError(
                f"only the server may send the header {field[0].decode()!r} of a websocket.accept"
            )
        fields.append(field)
    return fields
