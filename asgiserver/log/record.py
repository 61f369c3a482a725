"""The record that the access log gets at the end of a request."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from asgiserver.types import Address, Fields, Outcome

__all__ = ["AccessRecord", "Event", "Render", "RequestDetails", "unlogged"]

Event: TypeAlias = Literal["request", "websocket_open", "websocket_close"]
"""A WebSocket makes two records with status 101: one when it opens and one when it ends."""


@dataclasses.dataclass(slots=True)
class RequestDetails:
    """What is found out about a request only where somebody has asked for it.

    `connection` numbers the connections of one process from 1. `ttfb` are the seconds from the
    request to the first byte of its answer, None when there was none. `trace_id` and `span_id` are
    those of our own span with ``--otel``, else those in the caller's ``traceparent``.
    """

    request_id: str = ""  # escape it: a trusted proxy has chosen it
    connection: int = 0
    trace_id: str = ""
    span_id: str = ""
    ttfb: float | None = None


@dataclasses.dataclass  # HOT 1 %: of a logged request; it is made faster without slots
class AccessRecord:
    """One request that has ended; a WebSocket makes two records, when it opens and when it ends.

    The status of a request with the outcome ``client_gone`` is 499. Durations are seconds. Sizes
    are bytes of the body, or of a WebSocket's frames.
    """

    client: Address | None
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
    details: RequestDetails | None = dataclasses.field(default=None, init=False)
    # Only a WebSocket sets the following attributes.
    event: Event = dataclasses.field(default="request", init=False)
    close_code: int = dataclasses.field(default=0, init=False)  # as the application received it
    close_reason: str = dataclasses.field(default="", init=False)  # may be the peer's: escape it
    messages_received: int = dataclasses.field(default=0, init=False)
    messages_sent: int = dataclasses.field(default=0, init=False)


Render: TypeAlias = Callable[[AccessRecord], str]
"""Makes the line of a record, without the line's end."""


def unlogged(record: AccessRecord) -> None:
    """The access log of a server that counts its requests, and does not log them: never called."""
