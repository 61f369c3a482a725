"""The wires that a server speaks. Only this module knows all of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from asgiserver.h1.codecs import make_codecs
from asgiserver.h1.connection import H1Connection
from asgiserver.wire.choose import Wires

if TYPE_CHECKING:
    from asgiserver.config.fields import Config
    from asgiserver.wire.clock import CoarseClock


def make_wires(config: Config, clock: CoarseClock) -> Wires:
    """The wires of a server, by their names in ALPN, what it likes best first."""
    codecs = make_codecs(config)
    clock.call_each_tick(lambda: codecs.encoder.set_date(clock.date))
    return Wires({"http/1.1": functools.partial(H1Connection, codecs)})
