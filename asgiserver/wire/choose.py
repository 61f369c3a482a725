"""Which protocol a new connection speaks: a table of wires, asked with what TLS has agreed on.

A wire is named as in ALPN (RFC 7301). It knows no wire itself; the server fills the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from asgiserver.context import ServerContext
    from asgiserver.http.proxy_protocol import ProxyHeader

    MakeConnection: TypeAlias = "Callable[[ServerContext, ProxyHeader | None], asyncio.Protocol]"


class Wires:
    """The wires of a server by their names, what it likes best first; the last one is the default.

    The default is for clients that name none: without TLS, and without ALPN.
    """

    __slots__ = ("_makers", "default")

    def __init__(self, makers: dict[str, MakeConnection]) -> None:
        self._makers = makers
        *_, self.default = makers.values()

    def __repr__(self) -> str:
        return f"<Wires {' '.join(self._makers)}>"

    @property
    def names(self) -> tuple[str, ...]:
        """What a TLS handshake offers."""
        return tuple(self._makers)

    def connection(
        self,
        context: ServerContext,
        passed_on: ProxyHeader | None = None,
        alpn: str | None = None,
    ) -> asyncio.Protocol:
        """A new connection. `alpn` is what the client and TLS have agreed on, if they have."""
        return self._makers.get(alpn or "", self.default)(context, passed_on)
