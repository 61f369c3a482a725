"""Opens an exchange: makes a session of a request's head and the channel that it came on.

This is the same for every wire, and it runs no application code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.asgi.exchange import Exchange
from asgiserver.asgi.scope import http_scope, websocket_scope
from asgiserver.http.message import PLAIN

if TYPE_CHECKING:
    from asgiserver.asgi.channel import Channel
    from asgiserver.asgi.session import Session
    from asgiserver.asgi.websocket import WebSocketSession
    from asgiserver.context import PeerReader, ServerContext
    from asgiserver.http.message import RequestHead
    from asgiserver.http.peer import Peer


def open_session(
    context: ServerContext,
    channel: Channel,
    head: RequestHead,
    peer: Peer,
    peer_reader: PeerReader | None,
    exchange: type[Exchange] = Exchange,
    websocket: type[WebSocketSession] | None = None,
) -> Session:
    """The session of a request. Raises `PeerError` when the request is refused.

    `peer` names both ends of the connection; `peer_reader` reads what proxies say about them, and
    is None when that is ignored. `exchange` and `websocket` are the classes of the session, for
    `ServerContext.observe`, which opens all sessions when it is there.
    """
    if context.observe is not None and websocket is None:
        return context.observe(context, channel, head, peer, peer_reader)
    context.stats.requests += 1
    if head.forwarded is not None and peer_reader is not None:
        peer = peer_reader(head, peer) or peer
    if (
        head.framing is not PLAIN
        and head.framing.upgrade == b"websocket"
        and context.config.ws != "none"
    ):
        return _open_websocket(context, channel, head, peer, websocket)
    return exchange(context, channel, head, http_scope(context, head, peer))


def _open_websocket(
    context: ServerContext,
    channel: Channel,
    head: RequestHead,
    peer: Peer,
    websocket: type[WebSocketSession] | None,
) -> WebSocketSession:
    """The session of a request for a WebSocket. Raises `PeerError`."""
    from asgiserver.asgi.websocket import WebSocketSession
    from asgiserver.ws.handshake import read_offer

    offer = read_offer(head)
    scope = websocket_scope(context, head, peer, offer.subprotocols)
    return (websocket or WebSocketSession)(context, channel, head, scope, offer)
