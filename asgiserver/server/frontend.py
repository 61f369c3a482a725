"""Where clients come in: the listening sockets, what accepts on them, and TLS.

This module knows connections only by the wires that make them, and nothing of applications.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from asgiserver.config.fields import has_tls
from asgiserver.errors import ConfigError
from asgiserver.server.acceptor import Acceptor, watches_sockets
from asgiserver.server.children import close_in_children
from asgiserver.server.listener import bind_sockets
from asgiserver.server.redirect import redirect_context
from asgiserver.server.wires import make_wires

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asgiserver.config.fields import Config
    from asgiserver.context import ServerContext
    from asgiserver.server.listener import Listener
    from asgiserver.server.tls import TLS
    from asgiserver.wire.choose import Wires
    from asgiserver.wire.clock import CoarseClock

__all__ = ["Frontend"]


class Frontend:
    """The side of a server that clients see, from the first socket to the last handshake.

    `listeners` are sockets that the caller has bound; None: `bind` makes those of `config`. With
    --ssl-redirect the plain listeners get a context of their own, whose application redirects.
    """

    def __init__(self, config: Config, listeners: Sequence[Listener] | None) -> None:
        self.listeners: list[Listener] = list(listeners or ())
        self.owns_listeners = listeners is None
        self.addresses: tuple[str, ...] = ()  # known once connections are accepted
        self.accept_gate: Callable[[], float] | None = None  # see `Acceptor`
        self.acceptors: list[Acceptor] = []
        self.tls: TLS | None = None
        self._config = config
        self._wires: Wires  # set by `prepare`
        self._redirect: ServerContext | None = None

    def __repr__(self) -> str:
        return f"<Frontend {self.listeners} accepting={bool(self.acceptors)}>"

    @property
    def is_busy(self) -> bool:
        """Whether an accepted socket is still to become a connection."""
        return any(acceptor.is_busy for acceptor in self.acceptors)

    def bind(self) -> None:
        """Reserve the addresses, unless there are sockets already. Raises `StartupError`."""
        if not self.listeners:
            self.listeners = bind_sockets(self._config)
            for listener in self.listeners:
                close_in_children(listener.socket)

    def release(self) -> None:
        """Give the addresses back."""
        for listener in self.listeners:
            listener.close(unlink=self.owns_listeners)
        self.listeners.clear()

    def prepare(self, context: ServerContext, clock: CoarseClock) -> None:
        """Choose the wires, and read the certificates. Raises `ConfigError`."""
        config = self._config
        self._wires = wires = make_wires(config, clock, context.loop)
        if has_tls(config):
            from asgiserver.server.tls import TLS

            # The event loop's TLS makes the connection before ALPN has chosen a protocol.
            names = wires.names if config.tls_transport != "loop" else wires.names[-1:]
            self.tls = tls = TLS(config, names)
            context.admission.tls_extension = tls.extension
            clock.call_each_tick(lambda: tls.on_tick(clock.now))

    async def accept(self, context: ServerContext, clock: CoarseClock) -> None:
        """Accept connections from now on. Raises `StartupError`."""
        plain: list[Listener] = []
        if self._config.ssl_redirect:
            plain = [listener for listener in self.listeners if listener.scheme == "http"]
        main = [listener for listener in self.listeners if listener not in plain]
        await self._make_acceptor(context, self.tls).open(main)
        if plain:
            self._redirect = redirect = redirect_context(context, main)
            clock.call_each_tick(redirect.on_tick)
            await self._make_acceptor(redirect, None).open(plain)
        self.addresses = tuple(listener.address for listener in self.listeners)

    def _make_acceptor(self, context: ServerContext, tls: TLS | None) -> Acceptor:
        config, wires = self._config, self._wires
        connect = None
        if config.proxy_protocol != "off" and not watches_sockets(context.loop):
            raise ConfigError("proxy_protocol: on Windows use --loop asyncio:SelectorEventLoop")
        if tls is not None or config.proxy_protocol != "off":
            from asgiserver.server.handshake import Handshake

            connect = Handshake(config, context.loop, context.stats, tls).connect
        acceptor = Acceptor(
            context.loop,
            functools.partial(wires.default if tls is None else wires.connection, context),
            backlog=config.backlog,
            gate=self.accept_gate,
            connect=connect,
            limit=math.inf if config.limit_connections is None else config.limit_connections,
        )
        self.acceptors.append(acceptor)
        return acceptor

    def reload_tls(self) -> bool:
        """Read certificates and keys again; True when new connections now get them."""
        return self.tls is not None and self.tls.reload()

    def announce_stop(self) -> None:
        """The server stops: a redirect from now on ends its connection, too."""
        if self._redirect is not None:
            self._redirect.announce_stop()

    def stop_accepting(self, *, take_waiting: bool = False) -> None:
        """Accept no new connections; see `Acceptor.close` for `take_waiting`."""
        for listener in self.listeners if self.owns_listeners else ():
            listener.unlink()
        for acceptor in self.acceptors:
            acceptor.close(take_waiting=take_waiting)

    async def finish_handshakes(self, timeout: float) -> None:
        """Let accepted sockets become connections; each acceptor has `timeout` seconds for that."""
        for acceptor in self.acceptors:
            await acceptor.finish_handshakes(timeout)
