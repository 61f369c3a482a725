"""Request and response heads, the same for every wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.errors import ApplicationError
from asgiserver.http.fields import (
    PREFIXES,
    bad_headers,
    checked_fields,
    field_prefix,
    list_members,
)

if TYPE_CHECKING:
    from asgiserver.types import Fields

_SPECIAL = frozenset(
    {b"content-length: ", b"transfer-encoding: ", b"connection: ", b"date: ", b"server: "}
)


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

    @property
    def has_body(self) -> bool:
        """Whether a body follows (RFC 9112 section 6)."""
        return self.chunked or self.content_length > 0

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target!r} HTTP/{self.http_version}>"


class ResponseHead:
    """What an application answers, checked.

    `block` are its field lines as HTTP/1 has them, without what the wire itself decides:
    `content_length` (bytes, None when unknown), Transfer-Encoding (ASGI: ignored when the
    application sends it) and the connection's fate (`close`). `overrides` are prefixes of fields
    that the server would send itself. Raises `ApplicationError` for
    whatever may not be sent.
    """

    __slots__ = (
        "block",
        "bodyless",
        "close",
        "content_length",
        "overrides",
        "status",
        "trailers",
    )

    def __init__(self, status: int, headers: object = (), trailers: object = False) -> None:
        if type(status) is not int or not 200 <= status <= 999:
            raise ApplicationError(
                f"response status must be an int from 200 to 999, not {status!r}"
            )
        self.status = status
        self.trailers = trailers
        self.content_length: int | None = None
        self.bodyless = status == 204 or status == 304
        self.close = False
        self.overrides: tuple[bytes, ...] = ()
        parts: list[bytes] = []
        try:
            for name, value in headers:  # type: ignore[attr-defined] # anything goes in a message
                prefix = PREFIXES.get(name) or field_prefix(name)
                if prefix in _SPECIAL:
                    self._take_special(prefix, value, parts)
                else:
                    parts += (prefix, value, b"\r\n")
            self.block = block = b"".join(parts)
        except (TypeError, ValueError) as error:
            raise bad_headers(headers, error) from None
        # All values at once: a line end too many, or a NUL, is found 3 times as fast as one by one.
        lines = len(parts) // 3
        if block.count(b"\n") != lines or block.count(b"\r") != lines or 0 in block:
            checked_fields(headers)  # raises, and names the field

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} fields={len(self.fields)} close={self.close}>"

    @property
    def fields(self) -> Fields:
        """The field lines of `block` as pairs."""
        pairs = (line.split(b": ", 1) for line in self.block.split(b"\r\n")[:-1])
        return [(name, value) for name, value in pairs]

    def _take_special(self, prefix: bytes, value: bytes, parts: list[bytes]) -> None:
        if prefix == b"content-length: ":
            if not value.isdigit() or len(value) > 19:
                raise ApplicationError(f"response Content-Length must be digits, not {value!r}")
            length = int(value)
            if self.content_length is not None and self.content_length != length:
                raise ApplicationError("response has two different Content-Length headers")
            if self.status != 204:  # RFC 9110 section 8.6: not on a 204
                self.content_length = length
        elif prefix == b"connection: ":
            tokens = list_members(value)
            self.close = self.close or b"close" in tokens
            rest = [token for token in tokens if token not in (b"close", b"keep-alive")]
            if rest:
                parts += (prefix, b", ".join(rest), b"\r\n")
        elif prefix != b"transfer-encoding: ":
            self.overrides += (prefix,)
            parts += (prefix, value, b"\r\n")
