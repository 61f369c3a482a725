"""Request ids, details for the access log, and spans: for those requests of which they are asked.

`start_records` decides at the start what is asked for; what is not costs nothing.
"""

from __future__ import annotations

import itertools
import os
import re
from typing import TYPE_CHECKING, cast

from asgiserver.asgi.observed import Notes, ObservedExchange, ObservedWebSocket
from asgiserver.asgi.opening import open_session
from asgiserver.http.fields import values_of
from asgiserver.http.trace_context import read_traceparent
from asgiserver.log.origin import current_request, request_id
from asgiserver.log.record import RequestDetails
from asgiserver.server.proxy import TrustedPeers

if TYPE_CHECKING:
    from asgiserver.asgi.channel import Channel
    from asgiserver.asgi.observed import Observed
    from asgiserver.asgi.session import Session
    from asgiserver.context import PeerReader, ServerContext
    from asgiserver.http.message import RequestHead
    from asgiserver.http.peer import Peer
    from asgiserver.log.access import AccessLog
    from asgiserver.log.record import AccessRecord
    from asgiserver.server.telemetry import Telemetry

__all__ = ["Observation", "observe"]

_USABLE_ID = re.compile(rb"[!#-\[\]-~]{1,128}").fullmatch  # visible ASCII without " and \


class Observation:
    """The `Observer` of all sessions of one server, and the one that opens them.

    As an `AccessLog` it stands in front of the real one, if there is one.
    """

    wants_details = True

    def __init__(
        self, context: ServerContext, log: AccessLog | None, telemetry: Telemetry | None
    ) -> None:
        config = context.config
        self._log = log
        self._take = context.access
        self._telemetry = telemetry
        self._numbers = itertools.count(1)
        self._wants_id = config.request_id != "off"
        self._sends_id = config.request_id == "send"
        self._field = config.request_id_header.lower().encode()
        self._trusted = TrustedPeers(config.forwarded_allow_ips, "forwarded_allow_ips")

    def __repr__(self) -> str:
        return f"<Observation {self._log!r} {self._telemetry!r}>"

    # As `ServerContext.observe`.

    def open(
        self,
        context: ServerContext,
        channel: Channel,
        head: RequestHead,
        peer: Peer,
        peer_reader: PeerReader | None,
    ) -> Session:
        """See `open_session`."""
        kinds = ObservedExchange, ObservedWebSocket
        session = cast("Observed", open_session(context, channel, head, peer, peer_reader, *kinds))
        details = RequestDetails(connection=self._number(peer))
        sent: tuple[tuple[bytes, bytes], ...] = ()
        if self._wants_id:
            details.request_id = name = self._id_of(head, peer)
            session.scope["extensions"]["asgiserver.request"] = {"id": name}
            if self._sends_id:
                sent = ((self._field, name.encode()),)
        session.notes = Notes(self, details, sent)
        if self._telemetry is not None:
            self._telemetry.begin(session)
        else:
            parents = values_of(b"traceparent", head.fields)
            parent = read_traceparent(parents[0]) if len(parents) == 1 else None
            if parent is not None:
                details.trace_id, details.span_id = parent
        return session

    def _number(self, peer: Peer) -> int:
        """The number of a connection, given when it is first asked for."""
        try:
            return peer.number
        except AttributeError:
            peer.number = number = next(self._numbers)
            return number

    def _id_of(self, head: RequestHead, peer: Peer) -> str:
        """The id that a trusted proxy has given to the request, else a new one."""
        given = values_of(self._field, head.fields)
        if len(given) == 1 and _USABLE_ID(given[0]) and self._trusted.trusts_peer(peer):
            return given[0].decode()
        return os.urandom(16).hex()

    # As `Observer`.

    def enter(self, session: Observed) -> None:
        """See `Observer.enter`."""
        request_id.set(session.notes.details.request_id)
        current_request.set(session.notes.details)
        if self._telemetry is not None:
            self._telemetry.enter(session)

    def leave(self, session: Observed, record: AccessRecord) -> None:
        """See `Observer.leave`."""
        if self._telemetry is not None:
            self._telemetry.leave(session, record)

    # As `AccessLog`.

    def log(self, record: AccessRecord) -> None:
        """Pass the record on."""
        if self._take is not None:
            self._take(record)

    def flush(self) -> bool:
        """See `AccessLog.flush`."""
        return self._log is not None and self._log.flush()

    def close(self) -> None:
        """Close the access log, and send the spans that wait."""
        if self._log is not None:
            self._log.close()
        if self._telemetry is not None:
            self._telemetry.close()


def observe(context: ServerContext, log: AccessLog | None) -> Observation:
    """Observe all sessions of `context` from now on. Raises `ConfigError` without OpenTelemetry."""
    telemetry = None
    if context.config.otel:
        from asgiserver.server.telemetry import start_telemetry

        telemetry = start_telemetry(context)
    observation = Observation(context, log, telemetry)
    context.observe = observation.open
    if telemetry is not None:
        context.access = observation.log  # there has to be a record, log or no log
    return observation
