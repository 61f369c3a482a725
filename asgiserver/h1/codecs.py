"""What the HTTP/1 connections of one server share, made from its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.h1.encoder import HeadEncoder, default_fields
from asgiserver.h1.head_reader import HeadReader, Limits, make_head_parser
from asgiserver.wire.waiting import times_of

if TYPE_CHECKING:
    from asgiserver.config.fields import Config
    from asgiserver.wire.waiting import Times


class H1Codecs:
    """What reads request heads, what encodes response heads, and the times of a connection."""

    __slots__ = ("encoder", "reader", "times")

    def __init__(self, reader: HeadReader, encoder: HeadEncoder, times: Times) -> None:
        self.reader = reader
        self.encoder = encoder
        self.times = times

    def __repr__(self) -> str:
        return f"<H1Codecs {self.reader} {self.encoder}>"


def make_codecs(config: Config) -> H1Codecs:
    """The codecs of a server. Its clock has to call `H1Codecs.encoder.set_date`."""
    encoder = HeadEncoder(
        server=b"asgiserver" if config.server_header else b"",
        send_date=config.date_header,
        defaults=default_fields(config.headers),
    )
    limits = Limits(
        config.limit_request_line,
        config.limit_request_head,
        config.limit_request_fields,
        config.limit_request_body,
    )
    reader = HeadReader(make_head_parser(config.http), limits, config.header_underscore)
    return H1Codecs(reader, encoder, times_of(config))
