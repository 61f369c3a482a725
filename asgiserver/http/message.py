"""Request and response heads, the same for every wire."""

from __future__ import annotations

import re

from asgiserver.errors import ApplicationError
from asgiserver.http.fields import checked_fields, list_members

_DIGITS = re.compile(rb"[0-9]{1,19}").fullmatch
_SPECIAL = frozenset({b"content-length", b"transfer-encoding", b"connection", b"date", b"server"})


class RequestHead:
    """What a client asked, after every check of RFC 9110 and RFC 9112 has passed.

    `target` holds the bytes as received; `fields` have lower-case names, in order, duplicates kept.
    A request has a body when `chunked` is true or `content_length` (bytes) is above 0.
    """

    __slots__ = (
        "chunked",
        "content_length",
        "expect_continue",
        "fields",
        "http_version",
        "keep_alive",
        "method",
        "target",
        "upgrade",
    )

    def __init__(
        self, method: str, target: bytes, http_version: str, fields: list[tuple[bytes, bytes]]
    ) -> None:
        self.method = method
        self.target = target
        self.http_version = http_version
        self.fields = fields
        self.content_length = 0
        self.chunked = False
        self.keep_alive = http_version == "1.1"
        self.expect_continue = False
        self.upgrade = b""  # the Upgrade field in lower case, when Connection names it

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target!r} HTTP/{self.http_version}>"


class ResponseHead:
    """What an application answers, checked.

    `fields` leaves out what the wire itself decides: `content_length` (bytes, None when unknown),
    Transfer-Encoding (ASGI: ignored when the application sends it) and the connection's fate
    (`close`). Raises `ApplicationError` for whatever may not be sent.
    """

    __slots__ = (
        "bodyless",
        "close",
        "content_length",
        "fields",
        "has_date",
        "has_server",
        "status",
        "trailers",
    )

    def __init__(self, status: int, headers: object = (), trailers: bool = False) -> None:
        if type(status) is not int or not 200 <= status <= 999:
            raise ApplicationError(
                f"response status must be an int from 200 to 999, not {status!r}"
            )
        self.status = status
        self.trailers = trailers
        self.content_length: int | None = None
        self.close = False
        self.has_date = False
        self.has_server = False
        self.bodyless = status == 204 or status == 304
        fields = checked_fields(headers)
        for name, _ in fields:
            if name in _SPECIAL:
                fields = self._take_special(fields)
                break
        self.fields = fields

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} fields={len(self.fields)} close={self.close}>"

    def _take_special(self, fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        kept = []
        for field in fields:
            name, value = field
            if name not in _SPECIAL:
                kept.append(field)
            elif name == b"content-length":
                self._take_content_length(value)
            elif name == b"connection":
                tokens = list_members(value)
                self.close = self.close or b"close" in tokens
                rest = [t for t in tokens if t not in (b"close", b"keep-alive")]
                if rest:
                    kept.append((name, b", ".join(rest)))
            elif name == b"date":
                self.has_date = True
                kept.append(field)
            elif name == b"server":
                self.has_server = True
                kept.append(field)
        return kept

    def _take_content_length(self, value: bytes) -> None:
        if not _DIGITS(value):
            raise ApplicationError(f"response Content-Length must be digits, not {value!r}")
        length = int(value)
        if self.content_length is not None and self.content_length != length:
            raise ApplicationError("response has two different Content-Length headers")
        if self.status != 204:  # RFC 9110 section 8.6: not on a 204
            self.content_length = length
