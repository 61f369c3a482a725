"""Connection scopes (ASGI www 2.3 and 2.5, lifespan 2.0): every key with its exact type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiserver.context import SharedExtension
from asgiserver.http.message import PLAIN
from asgiserver.http.target import split_target

if TYPE_CHECKING:
    from asgiserver.context import ServerContext
    from asgiserver.http.message import RequestHead
    from asgiserver.http.peer import Peer
    from asgiserver.types import Scope

ASGI_VERSION = "3.0"
# If a server announces 2.4 or later, Starlette does not listen for `http.disconnect` while it
# streams, so a stream that waits would never be stopped. `send` behaves as 2.4 demands all the
# same.
HTTP_SPEC_VERSION = "2.3"
WEBSOCKET_SPEC_VERSION = "2.5"
LIFESPAN_SPEC_VERSION = "2.0"

_MADE_ONE: dict[str, Any] = {}  # the memo of a peer that has had one request

_WEBSOCKET_EXTENSIONS = ("asgiserver.shutdown",)  # those that are not for HTTP alone

NO_DETAILS = SharedExtension()
_HTTP_ASGI = {"version": ASGI_VERSION, "spec_version": HTTP_SPEC_VERSION}


def http_scope(context: ServerContext, head: RequestHead, peer: Peer) -> Scope:
    """The scope of an HTTP request (ASGI www: HTTP connection scope)."""
    path, raw_path, query = head.parts or split_target(head.target)
    if peer.root_path and path != "*" and not has_prefix(path, peer.root_path):
        path = peer.root_path + path
    extensions = context.http_extensions.copy()
    memo = peer.scopes
    if not memo:
        scope: Scope = {
            "type": "http",
            "asgi": _HTTP_ASGI.copy(),
            "http_version": head.http_version,
            "method": head.method,
            "scheme": peer.scheme,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": peer.root_path,
            "headers": head.fields,
            "client": peer.client,
            "server": peer.server,
            "extensions": extensions,
        }
        if head.http_version != "1.0":
            _remember(peer, scope)
    else:
        scope = memo.copy()
        scope["asgi"] = _HTTP_ASGI.copy()
        scope["method"] = head.method
        scope["path"] = path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        scope["headers"] = head.fields
        scope["extensions"] = extensions
    if context.state is not None:
        scope["state"] = context.state.copy()
    if head.framing is not PLAIN:
        scope["http_version"] = head.http_version
        if head.http_version == "1.0":
            extensions.pop("http.response.early_hint", None)
        elif head.framing.takes_trailers:
            extensions["http.response.trailers"] = NO_DETAILS
    if peer.tls is not None:
        extensions["tls"] = peer.tls
    return scope


def _remember(peer: Peer, scope: Scope) -> None:
    """Keep the keys that all scopes of a connection share, from its second request on.

    The HTTP version is one of these keys, because scopes of HTTP/1.0 are not kept.
    """
    # HOT 4 %: to copy the shared keys costs a quarter less than to make a scope anew.
    if peer.scopes is None:
        peer.scopes = _MADE_ONE
    else:
        peer.scopes = {**scope, "asgi": None, "headers": (), "extensions": None}


def websocket_scope(
    context: ServerContext, head: RequestHead, peer: Peer, subprotocols: list[str]
) -> Scope:
    """The scope of a WebSocket (ASGI www: WebSocket connection scope)."""
    scope = http_scope(context, head, peer)
    del scope["method"]
    scope["type"] = "websocket"
    scope["asgi"]["spec_version"] = WEBSOCKET_SPEC_VERSION
    scope["scheme"] = "wss" if peer.scheme in ("https", "wss") else "ws"
    scope["subprotocols"] = subprotocols
    extensions = {name: context.http_extensions[name] for name in _WEBSOCKET_EXTENSIONS}
    if peer.tls is not None:
        extensions["tls"] = peer.tls
    scope["extensions"] = extensions
    return scope


def lifespan_scope(state: dict[str, Any]) -> Scope:
    """The scope of the lifespan protocol."""
    return {
        "type": "lifespan",
        "asgi": {"version": ASGI_VERSION, "spec_version": LIFESPAN_SPEC_VERSION},
        "state": state,
    }


def has_prefix(path: str, root_path: str) -> bool:
    """Whether `path` already carries `root_path`: the proxy did not strip it."""
    return path == root_path or path.startswith(root_path + "/")
