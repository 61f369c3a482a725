"""Both ends of a transport."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

from asgiserver.http.peer import Peer

if TYPE_CHECKING:
    import asyncio

    from asgiserver.http.proxy_protocol import ProxyHeader
    from asgiserver.types import Address


def peer_of(
    transport: asyncio.BaseTransport, root_path: str, passed_on: ProxyHeader | None = None
) -> Peer:
    """Both ends of a transport, or of the connection that a balancer has `passed_on`.

    The client may be gone already; its address is None then.
    """
    client: Address | None
    server: tuple[str, int | None] | None
    sockname: Any = transport.get_extra_info("sockname")
    if isinstance(sockname, tuple):
        peername: Any = transport.get_extra_info("peername")
        client, server = peername[:2] if peername else None, sockname[:2]
    else:
        client, server = None, _unix_address(sockname)
    scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
    if passed_on is not None:
        if passed_on.client is not None:
            client, server = passed_on.client, passed_on.server
        if passed_on.tls:
            scheme = "https"
    return Peer(client, server, scheme, None, root_path)


def has_ended(transport: asyncio.BaseTransport) -> bool:
    """Whether FIN or RST has come from the client, though what came before it is not read yet.

    False where the system does not tell (POLLRDHUP is Linux and some others).
    """
    what = getattr(select, "POLLRDHUP", 0)
    sock = transport.get_extra_info("socket")
    if not what or sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), what)
    return bool(poll.poll(0))


def _unix_address(path: Any) -> tuple[str, None] | None:
    if isinstance(path, bytes):
        path = path.decode(errors="surrogateescape")
    return (path, None) if path else None
