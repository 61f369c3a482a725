"""The two ends of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asgiserver.types import Address


class Peer:
    """Both ends of a connection in the form that a scope has.

    `client` is (host, port), or None on a unix socket; `server` is (host, port) or (path, None).
    `tls` is the ASGI `tls` extension, or None on a plain connection. `number` is the connection's
    in its process, and is set only where somebody asks for it. `scopes` is what
    `asgiserver.asgi.scope` keeps for the next scope with these ends.
    """

    __slots__ = ("client", "number", "root_path", "scheme", "scopes", "server", "tls")

    number: int

    def __init__(
        self,
        client: Address | None,
        server: tuple[str, int | None] | None,
        scheme: str = "http",
        tls: dict[str, Any] | None = None,
        root_path: str = "",
    ) -> None:
        self.client = client
        self.server = server
        self.scheme = scheme
        self.tls = tls
        self.root_path = root_path
        self.scopes: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<Peer {self.client} -> {self.scheme} {self.server}>"
