"""HPACK (RFC 7541) in Python, where there is no compiled core. It knows no frames.

The tables and the Huffman code are those of `hpack`. Blocks are read and written here: limits hold
while a block is read, a block over a limit is read to its end, and what is indexed is chosen as the
core chooses it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hpack.exceptions import HPACKError
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable, table_entry_size

from asgiserver.h2.header_blocks import TABLE_SIZE
from asgiserver.h2.hpack_policy import MOST_CRUMBS, NEVER_INDEXED, error_of

if TYPE_CHECKING:
    from asgiserver.types import Fields

_ENDS, _INTEGER, _INDEX, _HUFFMAN, _LATE, _TABLE, _EARLIER, _MANY, _LARGE = range(1, 10)
_NOTHING = (b"", b"")


class _Fault(Exception):
    """A block cannot be decoded; the argument is the number of the error."""


class _Reader:
    """The integers and strings of a block, in turn. Raises `IndexError` after its end."""

    __slots__ = ("_block", "at")

    def __init__(self, block: bytes) -> None:
        self._block = block
        self.at = 0

    def integer(self, prefix: int) -> int:
        """An integer (section 5.1) in the last `prefix` bits, and in five more bytes at most."""
        block, at = self._block, self.at
        self.at += 1
        most = (1 << prefix) - 1
        number = block[at] & most
        if number < most:
            return number
        for i in range(5):
            byte = block[at + 1 + i]
            number += (byte & 0x7F) << 7 * i
            if byte < 0x80:
                self.at = at + 2 + i
                return number
        raise _Fault(_INTEGER)

    def string(self) -> tuple[bytes, bool]:
        """A string (section 5.2) as it was sent, and whether it is a Huffman code."""
        is_coded = self._block[self.at] >= 0x80
        size = self.integer(7)
        begin, self.at = self.at, self.at + size
        if self.at > len(self._block):
            raise _Fault(_ENDS)
        return self._block[begin : self.at], is_coded


def _text(string: tuple[bytes, bool]) -> bytes:
    text, is_coded = string
    if not is_coded:
        return text
    try:
        return decode_huffman(text)
    except HPACKError:
        raise _Fault(_HUFFMAN) from None


class _Kept:
    """The fields of a block; none once a limit has been passed, which `passed` tells."""

    __slots__ = ("bytes", "crumbs", "fields", "list", "met", "passed")

    def __init__(self, fields: int, crumbs: int, size: int) -> None:
        self.fields = fields
        self.crumbs = crumbs
        self.bytes = size
        self.list: Fields = []
        self.met = False  # a field, kept or not
        self.passed = 0

    def add(self, field: tuple[bytes, bytes]) -> None:
        self.met = True
        if self.passed:
            return
        if field[0] == b"cookie":
            self.crumbs -= 1
        else:
            self.fields -= 1
        self.bytes -= table_entry_size(*field)
        if self.crumbs < 0 or self.fields < 0:
            self.passed = _MANY
        elif self.bytes < 0:
            self.passed = _LARGE
        else:
            self.list.append(field)
            return
        self.list.clear()


class PythonDecoder:
    """A `HeaderDecoder`."""

    __slots__ = ("_is_lost", "_table")

    def __init__(self) -> None:
        self._table = HeaderTable()
        self._is_lost = False

    @property
    def table(self) -> Fields:
        """The fields of the dynamic table, the newest first."""
        return list(self._table.dynamic_entries)

    def decode(self, block: bytes, most_fields: int, most_bytes: int) -> Fields:
        """See `HeaderDecoder.decode`."""
        if self._is_lost:
            raise error_of(_EARLIER)
        kept = _Kept(most_fields, MOST_CRUMBS, most_bytes)
        self._is_lost = True
        try:
            reader = _Reader(block)
            while reader.at < len(block):
                self._follow(block[reader.at], reader, kept)
        except IndexError:
            raise error_of(_ENDS) from None
        except _Fault as fault:
            raise error_of(fault.args[0]) from None
        self._is_lost = False
        if kept.passed:
            raise error_of(kept.passed)
        return kept.list

    def _follow(self, first: int, reader: _Reader, kept: _Kept) -> None:
        """One representation (section 6)."""
        if first & 0x80:
            kept.add(self._entry(reader.integer(7)))
        elif first & 0x40:
            field = self._literal(reader, 6)
            self._table.add(*field)
            kept.add(field)
        elif first & 0x20:
            self._resize(reader.integer(5), kept)
        else:  # only a proxy would have to heed whether it may never be indexed
            kept.add(self._literal(reader, 4))

    def _resize(self, size: int, kept: _Kept) -> None:
        if kept.met:
            raise _Fault(_LATE)
        if size > TABLE_SIZE:
            raise _Fault(_TABLE)
        self._table.maxsize = size

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        try:
            return self._table.get_by_index(index)
        except HPACKError:
            raise _Fault(_INDEX) from None

    def _literal(self, reader: _Reader, prefix: int) -> tuple[bytes, bytes]:
        index = reader.integer(prefix)
        name = (b"", False) if index else reader.string()
        value = reader.string()
        return self._entry(index)[0] if index else _text(name), _text(value)


# The code of each byte, in digits of the base 2.
_CODES = [
    format(code, f"0{length}b")
    for code, length in zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)
]


def _encode_huffman(text: bytes) -> bytes:
    """The text as a Huffman code. (That of `hpack` takes a time that grows as a square.)"""
    bits = "".join([_CODES[byte] for byte in text])
    size = (len(bits) + 7) // 8
    return int(bits.ljust(size * 8, "1") or "0", 2).to_bytes(size, "big")


def _put_integer(block: bytearray, pattern: int, prefix: int, number: int) -> None:
    most = (1 << prefix) - 1
    if number < most:
        block.append(pattern | number)
        return
    block.append(pattern | most)
    number -= most
    while number >= 0x80:
        block.append(0x80 | number & 0x7F)
        number >>= 7
    block.append(number)


def _put_string(block: bytearray, text: bytes) -> None:
    """With the Huffman code when that is shorter."""
    coded = _encode_huffman(text)
    is_shorter = len(coded) < len(text)
    string = coded if is_shorter else text
    _put_integer(block, is_shorter << 7, 7, len(string))
    block += string


class PythonEncoder:
    """A `HeaderEncoder`. A field enters the table when it is met for the second time."""

    __slots__ = ("_least", "_met", "_table", "_told")

    def __init__(self) -> None:
        self._table = HeaderTable()
        self._least = TABLE_SIZE  # the least size since the peer was told one
        self._told = TABLE_SIZE  # the size that the peer knows
        # Fields that were sent and were in no table, by their hash: the last ones.
        self._met = deque([0] * 32, maxlen=32)

    @property
    def table(self) -> Fields:
        """The fields of the dynamic table, the newest first."""
        return list(self._table.dynamic_entries)

    def resize(self, size: int) -> None:
        """See `HeaderEncoder.resize`."""
        self._table.maxsize = min(size, TABLE_SIZE)
        self._least = min(self._least, self._table.maxsize)

    def encode(self, fields: Fields) -> bytes:
        """See `HeaderEncoder.encode`."""
        block = bytearray()
        self._put_sizes(block)
        for field in fields:
            self._put_field(block, field)
        return bytes(block)

    def _put_sizes(self, block: bytearray) -> None:
        most = self._table.maxsize
        if self._least < most and self._least < self._told:
            self._told = self._least
            _put_integer(block, 0x20, 5, self._told)
        if most != self._told:
            _put_integer(block, 0x20, 5, most)
        self._least = self._told = most

    def _put_field(self, block: bytearray, field: tuple[bytes, bytes]) -> None:
        name, value = field
        index, _, whole = self._table.search(name, value) or (0, name, None)
        if whole is not None:
            _put_integer(block, 0x80, 7, index)
            return
        if name in NEVER_INDEXED:
            _put_integer(block, 0x10, 4, index)
        elif table_entry_size(name, value) <= self._table.maxsize and self._was_met(field):
            self._table.add(name, value)
            _put_integer(block, 0x40, 6, index)
        else:
            _put_integer(block, 0, 4, index)
        if not index:
            _put_string(block, name)
        _put_string(block, value)

    def _was_met(self, field: tuple[bytes, bytes]) -> bool:
        number = hash(field)
        if number in self._met:
            return True
        self._met.append(number)
        return False
