"""The wires that a server speaks. Only this module knows all of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from asgiserver.h1.codecs import make_codecs
from asgiserver.h1.connection import H1Connection
from asgiserver.wire.choose import HTTP_1, HTTP_2, Wires
from asgiserver.wire.output import OutputTurn
from asgiserver.wire.server_fields import make_server_fields

if TYPE_CHECKING:
    import asyncio

    from asgiserver.config.fields import Config
    from asgiserver.wire.choose import MakeConnection
    from asgiserver.wire.clock import CoarseClock
    from asgiserver.wire.server_fields import ServerFields


def _http2(config: Config, fields: ServerFields, turn: OutputTurn) -> MakeConnection:
    """HTTP/2, which is imported only where it is spoken, and before anything is served: an import
    would block the loop for as long as a hundred requests take."""
    from asgiserver.h2.connection import H2Connection
    from asgiserver.h2.setup import H2Setup

    return functools.partial(H2Connection, H2Setup(config, fields, turn))


def make_wires(config: Config, clock: CoarseClock, loop: asyncio.AbstractEventLoop) -> Wires:
    """The wires of a server, by their names in ALPN, what it likes best first."""
    fields = make_server_fields(config)
    clock.call_each_tick(lambda: fields.set_date(clock.date))
    turn = OutputTurn(loop)
    makers: dict[str, MakeConnection] = {}
    if config.http2:
        makers[HTTP_2] = _http2(config, fields, turn)
    codecs = make_codecs(config, fields, turn, makers.get(HTTP_2))
    clock.call_each_tick(codecs.encoder.renew)
    makers[HTTP_1] = functools.partial(H1Connection, codecs)
    return Wires(makers)
