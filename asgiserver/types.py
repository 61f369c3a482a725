"""ASGI types (specification 3.0): what an application is and what it is called with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["ASGIApplication", "Address", "Fields", "Message", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

Address = tuple[str, int]  # host and port, as `client` in a scope

# Header fields as ASGI has them: lower-case names, in the order received, duplicates kept.
Fields = list[tuple[bytes, bytes]]
