"""HPACK (RFC 7541) for one connection: the compiled core's, or Python's. It knows no frames.

Both do the same to the byte. The core gives fields or the number of a fault; what that is called,
`hpack_policy` says for both (docs/adr/0024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver import speedups
from asgiserver.h2.header_blocks import TABLE_SIZE
from asgiserver.h2.hpack_policy import MOST_CRUMBS, NEVER_INDEXED, error_of

if TYPE_CHECKING:
    from asgiserver.h2.header_blocks import HeaderDecoder, HeaderEncoder
    from asgiserver.speedups import _core
    from asgiserver.types import Fields

_Decoder: type[_core.Decoder] = speedups.choose("Decoder", None)
_Encoder: type[_core.Encoder] = speedups.choose("Encoder", None)


def make_decoder() -> HeaderDecoder:
    """The decoder of one connection."""
    if speedups.is_used:
        return CoreDecoder()
    from asgiserver.h2.python_hpack import PythonDecoder

    return PythonDecoder()


def make_encoder() -> HeaderEncoder:
    """The encoder of one connection."""
    if speedups.is_used:
        return CoreEncoder()
    from asgiserver.h2.python_hpack import PythonEncoder

    return PythonEncoder()


class CoreDecoder:
    """A `HeaderDecoder` that is the compiled core's."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder = _Decoder(TABLE_SIZE)

    def decode(self, block: bytes, most_fields: int, most_bytes: int) -> Fields:
        """See `HeaderDecoder.decode`."""
        found = self._decoder.decode(block, most_fields, MOST_CRUMBS, most_bytes)
        if isinstance(found, int):
            raise error_of(found)
        return found

    @property
    def table(self) -> Fields:
        """The fields of the dynamic table, the newest first."""
        return self._decoder.table


class CoreEncoder:
    """A `HeaderEncoder` that is the compiled core's."""

    __slots__ = ("_encoder", "encode")

    def __init__(self) -> None:
        self._encoder = _Encoder(TABLE_SIZE, NEVER_INDEXED)
        self.encode = self._encoder.encode

    def resize(self, size: int) -> None:
        """See `HeaderEncoder.resize`."""
        self._encoder.resize(min(size, TABLE_SIZE))

    @property
    def table(self) -> Fields:
        """The fields of the dynamic table, the newest first."""
        return self._encoder.table
