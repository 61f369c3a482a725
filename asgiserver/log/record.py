"""What the access log is told of a request at its end."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from asgiserver.types import Fields, Outcome

__all__ = ["AccessRecord", "Event"]

Event: TypeAlias = Literal["request", "websocket_open", "websocket_close"]
"""A WebSocket makes two records with status 101: at its open and at its end."""


@dataclasses.dataclass  # HOT 1 %: of a logged request; without slots it is made faster
class AccessRecord:
    """One request at its end, for the access log; a WebSocket makes two, at its open and its end.

    The status of a request with the outcome ``client_gone`` is 499. Durations are seconds, sizes
    are bytes of body, of a WebSocket those of its frames.
    """

    client: tuple[str, int] | None
    method: str
    target: bytes  # as received, with the query
    http_version: str
    status: int
    sent: int
    duration: float
    outcome: Outcome
    fields: Fields  # of the request
    scheme: str = "http"
    received: int = 0
    # Of a WebSocket, and set by it alone.
    event: Event = dataclasses.field(default="request", init=False)
    close_code: int = dataclasses.field(default=0, init=False)  # as the application was told it
    close_reason: str = dataclasses.field(default="", init=False)  # may be the peer's: escape it
    messages_received: int = dataclasses.field(default=0, init=False)
    messages_sent: int = dataclasses.field(default=0, init=False)
