"""An access record as flat fields: those of a JSON line, and the attributes of a `LogRecord`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.log.escape import client_text, escape
from asgiserver.log.origin import worker
from asgiserver.log.record import RequestDetails

if TYPE_CHECKING:
    from asgiserver.log.record import AccessRecord

__all__ = ["details_of", "record_fields"]

_NO_DETAILS = RequestDetails()


def details_of(record: AccessRecord) -> RequestDetails:
    """What was found out about the request; nothing, if nobody has asked."""
    return record.details or _NO_DETAILS


def record_fields(record: AccessRecord) -> dict[str, object]:
    """A record as the fields of a JSON line, which are also the attributes of a `LogRecord`."""
    path, _, query = record.target.partition(b"?")
    fields: dict[str, object] = {
        "client": None if record.client is None else client_text(record.client),
        "method": escape(record.method),
        "path": escape(path),
        "query": escape(query),
        "version": escape(record.http_version),
        "status": record.status,
        "bytes": record.sent,
        "received": record.received,
        "duration": round(record.duration, 6),
        "outcome": escape(record.outcome),
        "scheme": escape(record.scheme),
    }
    if record.event != "request":
        fields |= _websocket_fields(record)
    if (index := worker()) is not None:
        fields["worker"] = index
    if record.details is not None:
        _add_details(fields, record.details)
    for name, value in record.fields:
        shown = _SHOWN.get(name)
        if shown is not None and value:
            text = escape(value)
            # RFC 9110 section 5.3: the values of a repeated field are joined to one list.
            fields[shown] = f"{fields[shown]}, {text}" if shown in fields else text
    return fields


_SHOWN = {b"user-agent": "user_agent", b"referer": "referer"}


def _add_details(fields: dict[str, object], details: RequestDetails) -> None:
    if details.ttfb is not None:
        fields["ttfb"] = round(details.ttfb, 6)
    if details.connection:
        fields["connection"] = details.connection
    if details.request_id:
        fields["request_id"] = escape(details.request_id)
    if details.trace_id:
        fields["trace_id"] = details.trace_id
        fields["span_id"] = details.span_id


def _websocket_fields(record: AccessRecord) -> dict[str, object]:
    fields: dict[str, object] = {"event": record.event}
    if record.event == "websocket_close":
        fields["close_code"] = record.close_code
        fields["close_reason"] = escape(record.close_reason)
        fields["messages_received"] = record.messages_received
        fields["messages_sent"] = record.messages_sent
    return fields
