"""Who may ask the admin listener what: tokens, and web pages that have no business here.

A web page in a browser on this machine can reach a port of the loopback: by a name of its own that
leads to 127.0.0.1 (DNS rebinding), or by a form that it posts (CSRF). This module does no I/O.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from asgiserver.http.forwarded import split_host
from asgiserver.http.loopback import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DUMP", "HEALTH", "ORDER_FIELD", "Access"]

HEALTH = frozenset(("/livez", "/readyz", "/startupz"))
"""Paths that need no token: whoever probes them learns one bit."""

DUMP = "/dump"
"""Shows lines of code, and so is for those who may give orders."""

ORDER_FIELD = b"x-asgiserver-admin"
"""A field that an order without a token must have: a browser asks before it lets a foreign page
send one, and the answer is no."""


class Access:
    """Decides whether a request is answered.

    `place` is where the listener is: ``unix`` (its permissions decide), ``loopback`` or
    ``network``.
    """

    def __init__(self, place: str, token: str | None) -> None:
        self._place = place
        self._token = token

    def __repr__(self) -> str:
        return f"<Access {self._place} {'with' if self._token else 'without'} a token>"

    def refusal(
        self, method: str, path: str, fields: Mapping[bytes, bytes]
    ) -> tuple[int, str] | None:
        """Status and text of the refusal of a request; None when it is answered."""
        if self._token is not None:
            if path in HEALTH or self._is_right(fields.get(b"authorization", b"")):
                return None
            return 401, "a token is needed: Authorization: Bearer TOKEN"
        if self._place == "loopback" and not _names_loopback(fields.get(b"host", b"")):
            return 403, "Host is not a name of this machine's loopback"
        if self._place == "unix" or (method in ("GET", "HEAD") and path != DUMP):
            return None
        what = "a dump" if path == DUMP else "an order"
        if self._place == "network":
            return 403, f"{what} from the network needs --admin-token"
        if ORDER_FIELD not in fields:
            return 403, f"{what} needs the field {ORDER_FIELD.decode()}, with any value"
        return None

    def _is_right(self, authorization: bytes) -> bool:
        scheme, _, token = authorization.partition(b" ")
        expected = (self._token or "").encode()
        return hmac.compare_digest(token.strip(), expected) and scheme.lower() == b"bearer"


def _names_loopback(host: bytes) -> bool:
    return host != b"" and is_loopback(split_host(host)[0])
