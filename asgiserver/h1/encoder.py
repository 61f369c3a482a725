"""Encodes response heads (RFC 9112 sections 4 to 7), without I/O and without a clock."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING

from asgiserver import speedups

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.http.message import ResponseHead
    from asgiserver.types import Fields
    from asgiserver.wire.server_fields import ServerFields

EMPTY_LINE = b"\r\n"
"""The end of a head that has no framing fields."""

_PHRASES = {status.value: status.phrase.encode() for status in http.HTTPStatus}


def status_line(status: int) -> bytes:
    """``HTTP/1.1 200 OK`` and its line end; the phrase is empty for an unknown status."""
    return b"HTTP/1.1 %d %b\r\n" % (status, _PHRASES.get(status, b""))


def encode_fields(fields: Fields) -> bytes:
    """Field lines, each with its line end."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def _left_to_python(_start: bytes, _fields: Fields, _ending: bytes) -> None:
    """In the place of the compiled core where there is none."""


# HOT 5 %: of a response whose head was never sent before.
_encoded: Callable[[bytes, Fields, bytes], bytes | None] = speedups.choose(
    "encode_head", _left_to_python
)


class HeadEncoder:
    """Encodes response heads for all connections of a server.

    Status line, Server and Date are joined once a second for each status. A head that applications
    repeat is encoded once a second, too: it keeps the bytes in `ResponseHead.encoded`.
    """

    __slots__ = ("_fields", "_stamps", "_starts", "stamp")

    stamp: object
    """HOT 1 %: a head with `encoded_for` this, which is another object each second, may be sent as
    it is encoded, if it needs no framing fields."""

    def __init__(self, fields: ServerFields) -> None:
        self._fields = fields
        self.renew()

    def __repr__(self) -> str:
        return f"<HeadEncoder {self._fields}>"

    def renew(self) -> None:
        """The server's fields have changed; called once a second."""
        self._starts: dict[int, bytes] = {}
        self.stamp = object()
        self._stamps = {EMPTY_LINE: self.stamp}  # by the endings of heads

    def encode(self, head: ResponseHead, ending: bytes = EMPTY_LINE) -> bytes:
        """All of a head; `ending` are its framing fields and the empty line."""
        stamp = self._stamps.get(ending)
        if stamp is None:
            self._stamps[ending] = stamp = object()
        elif head.encoded_for is stamp:
            return head.encoded
        fields = self._fields.missing(head)
        if fields is self._fields.own:
            start = self.start(head.status)
        else:
            start = status_line(head.status) + encode_fields(fields)
        whole = _encoded(start, head.fields, ending)
        if whole is None:
            whole = b"%b%b%b" % (start, encode_fields(head.fields), ending)
        head.encoded = whole
        head.encoded_for = stamp
        return whole

    def start(self, status: int) -> bytes:
        """The status line, Server and Date."""
        start = self._starts.get(status)
        if start is None:
            start = self._starts[status] = status_line(status) + encode_fields(self._fields.own)
        return start
