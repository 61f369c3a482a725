"""What the HTTP/1 connections of one server share, made from its configuration."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from asgiserver import speedups
from asgiserver.h1.encoder import HeadEncoder
from asgiserver.h1.head_reader import HeadReader, Limits, make_head_parser
from asgiserver.wire.waiting import times_of

if TYPE_CHECKING:
    from asgiserver.config.fields import Config
    from asgiserver.wire.choose import MakeConnection
    from asgiserver.wire.output import OutputTurn
    from asgiserver.wire.server_fields import ServerFields
    from asgiserver.wire.waiting import Times

logger = logging.getLogger("asgiserver")


class H1Codecs:
    """What reads request heads, what encodes response heads, and the times of a connection.

    `turn` gathers the output of all connections of the loop. `http2` makes the connection of a
    client that speaks HTTP/2 from its first byte, without TLS; when it is None, such a client is
    refused.
    """

    __slots__ = ("encoder", "http2", "reader", "times", "turn")

    def __init__(
        self,
        reader: HeadReader,
        encoder: HeadEncoder,
        times: Times,
        turn: OutputTurn,
        http2: MakeConnection | None = None,
    ) -> None:
        self.reader = reader
        self.encoder = encoder
        self.times = times
        self.turn = turn
        self.http2 = http2

    def __repr__(self) -> str:
        return f"<H1Codecs {self.reader} {self.encoder}>"


def make_codecs(
    config: Config, fields: ServerFields, turn: OutputTurn, http2: MakeConnection | None = None
) -> H1Codecs:
    """The codecs of a server. Its clock has to call `HeadEncoder.renew`, after `fields` change."""
    limits = Limits(
        config.limit_request_line,
        config.limit_request_head,
        config.limit_request_fields,
        config.limit_request_body,
    )
    reader = make_head_reader(config.http, limits, config.header_underscore)
    return H1Codecs(reader, HeadEncoder(fields), times_of(config), turn, http2)


def make_head_reader(name: str, limits: Limits, underscores: str = "drop") -> HeadReader:
    """The head reader called `name`: httptools or h11; or auto, the compiled core if it is used."""
    if name == "auto" and speedups.is_used:
        from asgiserver.h1.core_reader import CoreReader

        return CoreReader(make_head_parser("auto"), limits, underscores)
    if name == "auto" and speedups.is_stale:
        logger.warning("The compiled core is not used: %s", speedups.about)
    return HeadReader(make_head_parser(name), limits, underscores)
