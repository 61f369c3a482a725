"""What the codec asks of HPACK (RFC 7541), whoever does it: the compiled core, or Python's `hpack`.

One pair serves one connection. Field names and values are bytes; pseudo-fields are fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asgiserver.types import Fields

TABLE_SIZE = 4096
"""Bytes of both dynamic tables: we announce no other size, and the encoder takes no more."""


class FieldsTooLarge(Exception):
    """A block has more fields or more bytes than the limits (431). The table is up to date."""


class CompressionFault(Exception):
    """A block cannot be decoded: the connection is lost (COMPRESSION_ERROR, RFC 7541 section 6).

    The text is one short line, without bytes of the peer.
    """


class HeaderDecoder(Protocol):
    """Decodes the header blocks of one connection, in their order."""

    def decode(self, block: bytes, most_fields: int, most_bytes: int) -> Fields:
        """The fields of a whole block, in order, repeated ones kept.

        Limits hold *while* decoding: `most_fields` fields, and `most_bytes` bytes by RFC 9113
        section 6.5.2 (name, value and 32 for each). After a limit is exceeded nothing more is
        made or kept, but the rest of the block is read for the dynamic table; then
        `FieldsTooLarge` is raised. Raises `CompressionFault` for all that RFC 7541 calls a
        decoding error, a dynamic table size above `TABLE_SIZE` or not at the begin among them.

        Neither names nor values are checked here, except that they are what was sent: upper case,
        blanks, CR and NUL come out as they are.
        """
        ...


class HeaderEncoder(Protocol):
    """Encodes the header blocks of one connection, in their order."""

    def encode(self, fields: Fields) -> bytes:
        """The whole block of `fields`, which begins with a table size update when one is due.

        Names are in lower case already. Fields that are secret or short-lived, such as
        `authorization` and `set-cookie`, do not enter the table (RFC 7541 section 7.1.3).
        """
        ...

    def resize(self, size: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE, in bytes; we use the lesser of that and ours.

        Of several calls between two blocks the least size is signalled, too (section 4.2).
        """
        ...
