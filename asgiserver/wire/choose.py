"""Which protocol a new connection speaks: a table of wires by the name that TLS has negotiated.

A wire is named as in ALPN (RFC 7301). The table knows no wire itself; the server fills it. Without
TLS a connection begins with the default wire, which hands it over to HTTP/2 when the client's first
bytes are those of HTTP/2: see `StreamConnection.take_over`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.context import ServerContext
    from asgiserver.http.proxy_protocol import ProxyHeader
    from asgiserver.wire.connection import StreamConnection

MakeConnection: TypeAlias = "Callable[[ServerContext, ProxyHeader | None], StreamConnection]"

HTTP_1, HTTP_2 = "http/1.1", "h2"


class Wires:
    """The wires of a server by their names, the preferred one first; the last one is the default.

    The default serves clients that name no wire: those without TLS, and those without ALPN.
    """

    __slots__ = ("_makers", "default")

    def __init__(self, makers: dict[str, MakeConnection]) -> None:
        self._makers = makers
        *_, self.default = makers.values()

    def __repr__(self) -> str:
        return f"<Wires {' '.join(self._makers)}>"

    @property
    def names(self) -> tuple[str, ...]:
        """The names that a TLS handshake offers in ALPN."""
        return tuple(self._makers)

    def connection(
        self,
        context: ServerContext,
        passed_on: ProxyHeader | None = None,
        alpn: str | None = None,
    ) -> StreamConnection:
        """A new connection. `alpn` is the protocol that the TLS handshake has selected, if any."""
        return self._makers.get(alpn or "", self.default)(context, passed_on)
