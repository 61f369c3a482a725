"""The two ends of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asgiserver.types import Scope


class Peer:
    """Both ends of a connection in the form that a scope has.

    `client` is (host, port), or None on a unix socket; `server` is (host, port) or (path, None).
    `tls` is the ASGI `tls` extension, or None on a plain connection. `number` is the connection's
    in its process, and is set only where somebody asks for it.
    """

    __slots__ = ("_made_one", "client", "number", "root_path", "scheme", "scope", "server", "tls")

    number: int

    def __init__(
        self,
        client: tuple[str, int] | None,
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
        self.scope: dict[str, Any] | None = None  # the keys that all scopes of the connection share
        self._made_one = False

    def keep(self, scope: Scope) -> None:
        """Keep the keys that all scopes share, from the second request on.

        The HTTP version is one of these keys, because scopes of HTTP/1.0 are not kept.
        """
        # HOT 4 %: to copy the shared keys costs a quarter less than to make a scope anew.
        if self._made_one:
            self.scope = {**scope, "asgi": None, "headers": (), "extensions": None}
        self._made_one = True

    def __repr__(self) -> str:
        return f"<Peer {self.client} -> {self.scheme} {self.server}>"
