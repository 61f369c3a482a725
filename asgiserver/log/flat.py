"""An access record as flat fields: those of a JSON line, and the attributes of a `LogRecord`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.http.fields import values_of
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
    return {
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
        **(_websocket_fields(record) if record.event != "request" else {}),
        **_known_fields(record),
    }


def _known_fields(record: AccessRecord) -> dict[str, object]:
    """The fields that only some requests have."""
    details = details_of(record)
    user_agent = values_of(b"user-agent", record.fields)
    referer = values_of(b"referer", record.fields)
    fields: dict[str, object] = {
        "ttfb": None if details.ttfb is None else round(details.ttfb, 6),
        "connection": details.connection or None,
        "worker": worker(),
        "request_id": escape(details.request_id) or None,
        "trace_id": details.trace_id or None,
        "span_id": details.span_id or None,
        "user_agent": escape(b", ".join(user_agent)) or None,
        "referer": escape(b", ".join(referer)) or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _websocket_fields(record: AccessRecord) -> dict[str, object]:
    fields: dict[str, object] = {"event": record.event}
    if record.event == "websocket_close":
        fields["close_code"] = record.close_code
        fields["close_reason"] = escape(record.close_reason)
        fields["messages_received"] = record.messages_received
        fields["messages_sent"] = record.messages_sent
    return fields
