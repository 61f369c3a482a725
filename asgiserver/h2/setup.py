"""What the HTTP/2 connections of one server share, made from its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.h2.settings import Settings
from asgiserver.http.fields import CONNECTION_FIELDS
from asgiserver.http.underscores import Underscores
from asgiserver.wire.waiting import times_of

if TYPE_CHECKING:
    from asgiserver.config.fields import Config
    from asgiserver.http.message import ResponseHead
    from asgiserver.types import Fields
    from asgiserver.wire.output import OutputTurn
    from asgiserver.wire.server_fields import ServerFields
    from asgiserver.wire.waiting import Times

_STATUS = {status: (b":status", b"%d" % status) for status in range(100, 1000)}


class H2Setup:
    """Limits and sizes, times, and the fields that the server adds to each response."""

    __slots__ = ("ping_interval", "server_fields", "settings", "times", "turn")

    def __init__(self, config: Config, server_fields: ServerFields, turn: OutputTurn) -> None:
        self.settings = Settings(
            max_streams=config.h2_max_concurrent_streams,
            most_window=config.h2_max_window,
            line=config.limit_request_line,
            head=config.limit_request_head,
            fields=config.limit_request_fields,
            body=config.limit_request_body,
            underscores=Underscores(config.header_underscore),
            websocket=config.ws != "none",
        )
        self.times: Times = times_of(config)
        self.ping_interval: float = config.h2_ping_interval  # seconds
        self.server_fields = server_fields
        self.turn = turn

    def __repr__(self) -> str:
        return f"<H2Setup {self.server_fields}>"

    def response_fields(self, head: ResponseHead) -> Fields:
        """All fields of a final head, the pseudo-field first (RFC 9113 section 8.3.2)."""
        fields = head.fields
        if head.connection_fields:
            fields = [field for field in fields if field[0] not in CONNECTION_FIELDS]
        return [_STATUS[head.status], *self.server_fields.missing(head), *fields]
