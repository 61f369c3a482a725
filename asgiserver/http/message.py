"""Request and response heads, the same for every wire."""

from __future__ import annotations

from asgiserver.http.fields import BAD_VALUE, checked_name

NO_BODY_STATUS = frozenset({204, 304})


class RequestHead:
    """What a client asked, after every check of RFC 9110 and 9112 has passed.

    `target` holds the bytes as received; `fields` have lower-case names, in order, duplicates kept.
    `content_length` is None when the body is chunked or absent; `has_body` tells the two apart.
    """

    __slots__ = (
        "chunked",
        "content_length",
        "expect_continue",
        "fields",
        "has_body",
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
        self.content_length: int | None = None
        self.chunked = False
        self.has_body = False
        self.keep_alive = http_version == "1.1"
        self.expect_continue = False
        self.upgrade: bytes | None = None  # the Upgrade field's value, when Connection names it

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target!r} HTTP/{self.http_version}>"

    def first(self, name: bytes) -> bytes | None:
        """The value of the first field called `name` (lower case), or None."""
        for field_name, value in self.fields:
            if field_name == name:
                return value
        return None
