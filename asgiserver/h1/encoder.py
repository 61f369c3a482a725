"""Encodes response heads (RFC 9112 sections 4 to 7), without I/O and without a clock."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgiserver.http.message import ResponseHead
    from asgiserver.types import Fields

_PHRASES = {status.value: status.phrase.encode() for status in http.HTTPStatus}


def status_line(status: int) -> bytes:
    """``HTTP/1.1 200 OK`` and its line end; the phrase is empty for an unknown status."""
    return b"HTTP/1.1 %d %b\r\n" % (status, _PHRASES.get(status, b""))


def encode_fields(fields: Fields) -> bytes:
    """Field lines, each with its line end."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def default_fields(headers: Sequence[str]) -> Fields:
    """The fields of ``--header``, written ``Name: value``."""
    pairs = (header.partition(":") for header in headers)
    return [
        (name.strip().lower().encode(), value.strip().encode("latin-1")) for name, _, value in pairs
    ]


class HeadEncoder:
    """Encodes response heads for all connections of a server.

    Status line, Server and Date are joined once a second for each status (`starts`). A head that
    applications repeat is encoded as a whole once a second: the bytes that it keeps are valid while
    its `stamp` is the encoder's.
    """

    __slots__ = ("_date", "_defaults", "_send_date", "_server", "stamp", "starts")

    def __init__(
        self,
        *,
        server: bytes = b"asgiserver",
        send_date: bool = True,
        defaults: Fields | None = None,
    ) -> None:
        self._server = b"server: " + server + b"\r\n" if server else b""
        self._send_date = send_date
        self._defaults = defaults or []  # the user's fields (--header), for responses without them
        self._date = b""
        self.starts: dict[int, bytes] = {}
        self.stamp = object()  # HOT 1 %: a new one each second; a head that has it is sent as it is

    def __repr__(self) -> str:
        return f"<HeadEncoder {self._server!r} {self._date!r}>"

    def set_date(self, date: bytes) -> None:
        """Use `date` (RFC 9110 section 5.6.7) from now on; called once a second."""
        if self._send_date:
            self._date = b"date: " + date + b"\r\n"
            self.starts.clear()
            self.stamp = object()

    def whole(self, head: ResponseHead) -> bytes:
        """All of a head that needs no framing fields; `head` keeps the bytes for this second."""
        head.whole = whole = b"%b%b\r\n" % (self.begin(head), head.block)
        head.stamp = self.stamp
        return whole

    def begin(self, head: ResponseHead) -> bytes:
        """What stands before the application's fields: the status line and the server's fields."""
        if not head.overrides and not self._defaults:
            return self.starts.get(head.status) or self.start(head.status)
        start = status_line(head.status)
        if b"server" not in head.overrides:
            start += self._server
        if b"date" not in head.overrides:
            start += self._date
        if self._defaults:
            given = {name for name, _ in head.fields}
            start += encode_fields([field for field in self._defaults if field[0] not in given])
        return start

    def start(self, status: int) -> bytes:
        """The status line, Server and Date, as `starts` keeps them for the rest of the second."""
        start = status_line(status) + self._server + self._date
        if not self._defaults:
            self.starts[status] = start
        return start
