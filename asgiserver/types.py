"""ASGI types (specification 3.0): the application and its arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, TypeAlias

__all__ = ["ASGIApplication", "Address", "Fields", "Message", "Outcome", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

Address = tuple[str, int]  # host and port, as `client` in a scope

# Header fields as ASGI has them: lower-case names, in the order received, duplicates kept.
Fields = list[tuple[bytes, bytes]]

Outcome: TypeAlias = Literal[
    "ok", "client_gone", "refused", "app_error", "timeout", "shutdown", "protocol_error"
]
"""How an exchange ended, in the access log. `refused` is the client's fault or the server's limit,
`protocol_error` a WebSocket client's."""
