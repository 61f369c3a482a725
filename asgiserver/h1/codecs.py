"""What the HTTP/1 connections of one server share, made from its configuration."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from asgiserver import speedups
from asgiserver.h1.encoder import HeadEncoder, default_fields
from asgiserver.h1.head_reader import HeadReader, Limits, make_head_parser
from asgiserver.wire.waiting import times_of

if TYPE_CHECKING:
    from asgiserver.config.fields import Config
    from asgiserver.wire.waiting import Times

logger = logging.getLogger("asgiserver")


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
    reader = make_head_reader(config.http, limits, config.header_underscore)
    return H1Codecs(reader, encoder, times_of(config))


def make_head_reader(name: str, limits: Limits, underscores: str = "drop") -> HeadReader:
    """The head reader called `name`: httptools or h11; or auto, the compiled core if it is used."""
    if name == "auto" and speedups.is_used:
        from asgiserver.h1.core_reader import CoreReader

        return CoreReader(make_head_parser("auto"), limits, underscores)
    if name == "auto" and speedups.is_stale:
        logger.warning("The compiled core is not used: %s", speedups.about)
    return HeadReader(make_head_parser(name), limits, underscores)
