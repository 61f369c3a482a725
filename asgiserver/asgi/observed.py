"""Sessions of which more is found out: ids, the first byte of the answer, the exception.

The server makes them in the place of the plain ones when a log format, --request-id or --otel asks
for that. So no other request pays for it.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from asgiserver.asgi.exchange import Exchange
from asgiserver.asgi.response import Response
from asgiserver.asgi.session import Session
from asgiserver.asgi.websocket import WebSocketSession

if TYPE_CHECKING:
    from asgiserver.asgi.channel import Channel
    from asgiserver.asgi.ending import Way
    from asgiserver.context import ServerContext
    from asgiserver.errors import PeerError
    from asgiserver.http.message import RequestHead
    from asgiserver.log.record import AccessRecord, Event, RequestDetails
    from asgiserver.types import Message, Scope

    Fields = tuple[tuple[bytes, bytes], ...]


class Observer(Protocol):
    """Who has asked: told of the beginning and the end of each session."""

    def enter(self, session: Observed) -> None:
        """The session's task begins; this runs in its context."""

    def leave(self, session: Observed, record: AccessRecord) -> None:
        """The session's record is complete; a WebSocket has two records."""


class Notes:
    """What is noted of an observed session.

    `answer_fields` go into the answer unless the application sends fields of the same names.
    `error` is what the application has raised.
    """

    __slots__ = ("answer_fields", "details", "error", "observer")

    def __init__(self, observer: Observer, details: RequestDetails, answer_fields: Fields) -> None:
        self.observer = observer
        self.details = details
        self.answer_fields = answer_fields
        self.error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<Notes {self.details!r} {self.error!r}>"


class Observed(Session):
    """What both kinds of observed sessions have; `notes` are given before anything else happens."""

    if not TYPE_CHECKING:
        __slots__ = ()

    adds_to_record = True
    notes: Notes

    async def run(self) -> None:
        """See `Session.run`."""
        self.notes.observer.enter(self)
        await super().run()

    def end(
        self, way: Way, error: BaseException | None = None, refusal: PeerError | None = None
    ) -> None:
        """See `Session.end`."""
        self.notes.error = error or self.notes.error
        super().end(way, error, refusal)

    def complete_record(self, record: AccessRecord, event: Event) -> None:
        """See `Session.complete_record`."""
        super().complete_record(record, event)
        record.details = self.notes.details
        self.notes.observer.leave(self, record)

    def with_answer_fields(self, message: Message) -> Message:
        """A message that begins an answer, with those of `answer_fields` that it lacks."""
        if not self.notes.answer_fields:
            return message
        headers = list(message.get("headers") or ())
        try:
            sent = {bytes(name).lower() for name, _ in headers}
        except (TypeError, ValueError):
            return message  # the response reports what is wrong with it
        missing = [field for field in self.notes.answer_fields if field[0] not in sent]
        return {**message, "headers": [*headers, *missing]}


class ObservedResponse(Response):
    """The response of an `ObservedExchange`."""

    _owner: ObservedExchange
    _status = 0

    # The status is set at the moment when the head is given to the wire, and at no other.
    @property
    def status(self) -> int:
        """The status that was sent; 0 before that."""
        return self._status

    @status.setter
    def status(self, status: int) -> None:
        if status and not self._status:
            self._owner.note_first_byte()
        self._status = status

    def _start(self, message: Message) -> None:
        super()._start(self._owner.with_answer_fields(message))

    def answer(self, status: int, text: bytes, fields: Fields = (), *, close: bool = True) -> None:
        """See `Response.answer`."""
        super().answer(status, text, (*fields, *self._owner.notes.answer_fields), close=close)


class ObservedExchange(Observed, Exchange):
    """An HTTP request and its response."""

    def __init__(
        self, context: ServerContext, channel: Channel, request: RequestHead, scope: Scope
    ) -> None:
        super().__init__(context, channel, request, scope)
        self.response = ObservedResponse(channel, self)
        self.send = self.response.send

    def note_first_byte(self) -> None:
        """The head of the response is about to be sent."""
        self.notes.details.ttfb = perf_counter() - self.begun


class ObservedWebSocket(Observed, WebSocketSession):
    """A WebSocket."""

    async def _send_other(self, message: Message) -> None:
        if message["type"] in ("websocket.accept", "websocket.http.response.start"):
            message = self.with_answer_fields(message)
        await super()._send_other(message)

    def _answer(self, status: int, text: bytes, fields: Fields = ()) -> None:
        super()._answer(status, text, (*fields, *self.notes.answer_fields))
