"""Request and response heads, the same for every wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiserver import speedups
from asgiserver.errors import ApplicationError
from asgiserver.http.bounded import BoundedDict
from asgiserver.http.fields import (
    BAD_VALUE,
    CONNECTION_FIELDS,
    KNOWN_NAMES,
    bad_headers,
    checked_fields,
    list_members,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asgiserver.types import Fields


def _left_to_python(_headers: object) -> None:
    """In the place of the compiled core where there is none."""


# HOT 10 %: of a response whose head was never sent before; it accepts, and never refuses.
_accepted: Callable[[Any], tuple[Fields, int | None] | None] = speedups.choose(
    "check_response", _left_to_python
)

NO_NAMES: frozenset[bytes] = frozenset()
# Response fields that the server sends by itself, unless the application does.
_OURS = frozenset({b"date", b"server"})
# Response fields that the server has to read, and does not only send.
_READ = _OURS | CONNECTION_FIELDS


class Framing:
    """What the head of a request says about its body and about how to answer (RFC 9110).

    Requests with the same framing share an instance, so it must not be changed after its making.
    """

    __slots__ = ("content_length", "expect_continue", "has_body", "takes_trailers", "upgrade")

    def __init__(
        self,
        has_body: bool = False,
        content_length: int | None = 0,
        expect_continue: bool = False,
        takes_trailers: bool = False,
        upgrade: bytes = b"",
    ) -> None:
        self.has_body = has_body  # one follows
        self.content_length = content_length  # bytes; None: not known before the end of the body
        self.expect_continue = expect_continue  # the client waits for a 100 before the body
        self.takes_trailers = takes_trailers  # TE says so (RFC 9110 section 10.1.4)
        self.upgrade = upgrade  # the protocol that the client asks for instead, in lower case

    def __repr__(self) -> str:
        parts = [f"{name}={getattr(self, name)!r}" for name in Framing.__slots__]
        return f"<Framing {' '.join(parts)}>"


PLAIN = Framing()
"""The framing of most requests: no body, and none of the above. A request of HTTP/1.0 never has it,
so whoever finds this instance need not look at the version."""


class RequestHead:
    """The head of a request that has passed every check of RFC 9110 and of its wire.

    `target` holds the bytes as received; `fields` have lower-case names, in order, duplicates kept.
    `forwarded` has the fields of proxies by name, repeated ones joined with commas, and perhaps
    other fields; it is None when there is no field of a proxy. `parts` are path, raw path and query
    when the reader has split the target, else `asgiserver.http.target.split_target` does.
    """

    # HOT 1.5 %: no `__slots__`, see `asgiserver.asgi.response.Response`.

    def __init__(
        self,
        method: str,
        target: bytes,
        http_version: str,
        fields: list[tuple[bytes, bytes]],
        framing: Framing = PLAIN,
        forwarded: Mapping[bytes, bytes] | None = None,
        parts: tuple[str, bytes, bytes] | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.http_version = http_version
        self.fields = fields
        self.framing = framing
        self.forwarded = forwarded
        self.parts = parts

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target!r} HTTP/{self.http_version}>"


class ResponseHead:
    """The checked head of an application's response.

    `fields` are the application's fields with lower-case names. `content_length` is the
    Content-Length in bytes, None when unknown. Fields that the wire decides are left out:
    Transfer-Encoding (ASGI: ignored when the application sends it) and the options `close` and
    keep-alive of Connection. `connection_fields` tells whether there are others of
    `CONNECTION_FIELDS`. `overrides` are the names of those fields that the server would send
    by itself. `encoded` is the memo of a wire, valid while `encoded_for` is what that wire has put
    there.

    Raises `ApplicationError` for a status or a field that may not be sent.
    """

    __slots__ = (
        "bodyless",
        "close",
        "connection_fields",
        "content_length",
        "encoded",
        "encoded_for",
        "fields",
        "overrides",
        "status",
        "trailers",
    )

    def __init__(self, status: int, headers: Any = (), trailers: object = False) -> None:
        if type(status) is not int or not 200 <= status <= 999:
            raise ApplicationError(
                f"response status must be an int from 200 to 999, not {status!r}"
            )
        self.status = status
        self.trailers = trailers
        self.bodyless = status == 204 or status == 304
        self.close = False
        self.connection_fields = False
        self.overrides: frozenset[bytes] = NO_NAMES
        self.encoded = b""
        self.encoded_for: object = None
        taken = _accepted(headers)
        if taken is not None and status != 204:
            self.fields: Fields = taken[0]
            self.content_length: int | None = taken[1]
        else:
            self._check(headers)

    def _check(self, headers: Any) -> None:
        """Check what the application sent, and read what the server has to know of it."""
        # Most of this runs in C, once for all fields: names are looked up as keys of a dict, and
        # the joined values show whether one of them has CR, LF or NUL.
        try:
            headers = list(headers)
            found = dict(headers)
            if (
                not KNOWN_NAMES.issuperset(found)
                or not _READ.isdisjoint(found)
                or len(found) != len(headers)
                or self.status == 204
            ):
                headers = self._take_special(checked_fields(headers))
                found = dict(headers)
            bad = BAD_VALUE(b"".join(found.values()))
        except (TypeError, ValueError, AttributeError) as error:
            raise bad_headers(headers, error) from None
        if bad is not None:
            checked_fields(headers)  # raises an error that names the field
        self.fields = headers
        length = found.get(b"content-length")
        if length is None:
            self.content_length = None
        elif length.isdigit() and len(length) < 20:
            self.content_length = int(length)
        else:
            raise ApplicationError(f"response Content-Length must be digits, not {length!r}")

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} fields={len(self.fields)} close={self.close}>"

    def copy(self) -> ResponseHead:
        """A copy that may be changed, because `checked_head` returns shared heads."""
        head = ResponseHead.__new__(ResponseHead)
        head.status = self.status
        head.trailers = self.trailers
        head.bodyless = self.bodyless
        head.close = self.close
        head.connection_fields = self.connection_fields
        head.overrides = self.overrides
        head.encoded_for = None
        head.fields = self.fields
        head.content_length = self.content_length
        return head

    def with_length(self, length: int) -> ResponseHead:
        """A copy with the Content-Length of a body whose length is known only now."""
        head = self.copy()
        head.content_length = length
        head.fields = [*self.fields, (b"content-length", b"%d" % length)]
        return head

    def _take_special(self, checked: Fields) -> Fields:
        """Read the fields that the server acts on, and leave out those that it must not send."""
        fields = []
        length = None
        for name, value in checked:
            if name == b"connection":
                tokens = list_members(value)
                self.close = self.close or b"close" in tokens
                rest = [token for token in tokens if token not in (b"close", b"keep-alive")]
                if rest:
                    fields.append((name, b", ".join(rest)))
                    self.connection_fields = True
            elif name == b"content-length":
                if length is not None and value != length:
                    raise ApplicationError("response has two different Content-Length headers")
                if length is None and self.status != 204:  # RFC 9110 section 8.6: not on a 204
                    fields.append((name, value))
                length = value
            elif name != b"transfer-encoding":
                fields.append((name, value))
                if name in CONNECTION_FIELDS:
                    self.connection_fields = True
                elif name in _OURS:
                    self.overrides |= {name}
        return fields


# HOT 15 %: applications send few different heads, each again and again; one that has been checked
# once is found for a quarter of what that costs. One entry is rarely above 1 KiB.
_heads: BoundedDict[tuple[int, tuple[Any, ...]], ResponseHead] = BoundedDict(512)


def checked_head(status: int, headers: Any) -> ResponseHead:
    """A `ResponseHead` that is shared, so it must not be changed. Raises `ApplicationError`."""
    try:
        key = status, tuple(headers)
    except TypeError as error:
        raise bad_headers(headers, error) from None
    try:
        head = _heads.get(key)
    except TypeError:  # the pairs are lists, or they hold objects without a hash
        return ResponseHead(status, list(key[1]))
    if head is None:
        head = ResponseHead(status, list(key[1]))
        _heads.remember(key, head)
    return head
