"""permessage-deflate (RFC 7692): negotiation, and compression whose output is bounded.

This module knows messages and zlib, not frames. With ``shared`` nothing is kept between messages:
every connection uses the one compressor of its thread, and a decompressor for the time of a
message. With ``full`` each connection keeps both of its windows, which are small, for better
compression.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence

from asgiserver.ws.protocol import ProtocolViolation

__all__ = ["MINIMUM_SIZE", "Deflate", "negotiate"]

# Messages of fewer bytes are sent as they are: deflate's overhead eats what it saves.
MINIMUM_SIZE = 128

# The end of a sync flush, which neither side sends (RFC 7692 section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"

# `full` asks for 4 KiB windows: compression takes 32 KiB a connection instead of zlib's 256 KiB.
_FULL_WINDOW_BITS = 12
_MEMORY_LEVEL = 5

Offers = Sequence[tuple[str, Sequence[tuple[str, str | None]]]]


class Deflate:
    """The agreed extension of one connection; `answer` is its Sec-WebSocket-Extensions value.

    A side without context takeover forgets its window after each message.
    """

    __slots__ = (
        "answer",
        "client_bits",
        "client_takeover",
        "compressor",
        "decompressor",
        "ended",
        "server_bits",
        "server_takeover",
    )

    def __init__(
        self, client_takeover: bool, server_takeover: bool, client_bits: int, server_bits: int
    ) -> None:
        self.client_takeover = client_takeover
        self.server_takeover = server_takeover
        self.client_bits = client_bits
        self.server_bits = server_bits
        self.answer = b"permessage-deflate"
        self.compressor: zlib._Compress | None = None
        self.decompressor: zlib._Decompress | None = None
        self.ended = False  # whether the message in progress already had a final block

    def __repr__(self) -> str:
        return f"<Deflate {self.answer.decode()}>"

    def deflate(self, payload: bytes) -> bytes | None:
        """`payload` compressed; None when compression would not make it smaller."""
        if len(payload) < MINIMUM_SIZE:
            return None
        if self.server_takeover:
            if self.compressor is None:
                self.compressor = _new_compressor(self.server_bits)
            compressor, flush = self.compressor, zlib.Z_SYNC_FLUSH
        else:
            # A full flush makes zlib forget this message, so that no other message refers to it.
            compressor, flush = _shared_compressor(self.server_bits), zlib.Z_FULL_FLUSH
        data = (compressor.compress(payload) + compressor.flush(flush))[:-4]
        # When the window is kept, the peer must receive all that went through the compressor.
        return data if self.server_takeover or len(data) < len(payload) else None

    def inflate(self, payload: bytes, limit: float, final: bool) -> bytes:
        """The inflated next piece of a compressed message; `final` marks its last piece.

        Raises `ProtocolViolation` 1009 before more than `limit` bytes are inflated, and 1007
        when the bytes are not deflate data.
        """
        if self.decompressor is None:
            self.decompressor = zlib.decompressobj(-self.client_bits)
        try:
            data = self._inflated(payload, limit)
            if final:
                data += self._inflated(_TAIL, limit - len(data))
        except zlib.error:
            raise ProtocolViolation(1007, "compressed data is invalid") from None
        if final:
            if self.ended or not self.client_takeover:
                self.decompressor = None
            self.ended = False
        return data

    def _inflated(self, payload: bytes, limit: float) -> bytes:
        assert self.decompressor is not None
        # One byte more than the limit shows that it is passed. For zlib 0 means no limit.
        bound = 0 if limit == float("inf") else int(limit) + 1
        data = self.decompressor.decompress(payload, bound)
        if len(data) > limit:
            raise ProtocolViolation(1009, "message too big when inflated")
        if not self.decompressor.eof:
            return data
        # A block with BFINAL ended the stream inside the message (RFC 7692 section 7.2.3.4).
        # Compressors do that once; a peer that may repeat it could make the server create a
        # decompressor every two bytes.
        rest = self.decompressor.unused_data
        if self.ended and rest:
            raise ProtocolViolation(1007, "compressed data is invalid")
        self.ended = True
        self.decompressor = zlib.decompressobj(-self.client_bits)
        return data + self._inflated(rest, limit - len(data)) if rest else data


class _Compressors(threading.local):
    """One thread's compressors by window bits, for connections without context takeover."""

    def __init__(self) -> None:
        self.by_bits: dict[int, zlib._Compress] = {}


_compressors = _Compressors()


def _shared_compressor(bits: int) -> zlib._Compress:
    compressor = _compressors.by_bits.get(bits)
    if compressor is None:
        compressor = _compressors.by_bits[bits] = _new_compressor(bits)
    return compressor


def _new_compressor(bits: int) -> zlib._Compress:
    return zlib.compressobj(wbits=-bits, memLevel=_MEMORY_LEVEL)


def negotiate(offers: Offers, mode: str) -> Deflate | None:
    """Accept the first acceptable offer of permessage-deflate; None when no offer is acceptable.

    `mode` is off, shared or full. An offer with an unknown, repeated or invalid parameter is
    declined (RFC 7692 section 5.1) without an error, because the next offer may be a fall-back.
    """
    if mode != "off":
        for name, parameters in offers:
            if name.lower() == "permessage-deflate":
                accepted = _accepted(parameters, mode == "full")
                if accepted is not None:
                    return accepted
    return None


def _accepted(parameters: Sequence[tuple[str, str | None]], full: bool) -> Deflate | None:
    """The answer to one offer (RFC 7692 section 7.1)."""
    offered: dict[str, str | None] = {}
    for name, value in parameters:
        if name in offered or not _is_valid(name, value):
            return None
        offered[name] = value
    client_takeover = full and "client_no_context_takeover" not in offered
    server_takeover = full and "server_no_context_takeover" not in offered
    server_bits = int(offered.get("server_max_window_bits") or 15)
    client_bits = 15
    if server_bits == 8:
        return None  # zlib cannot compress with such a window
    if full:
        server_bits = min(server_bits, _FULL_WINDOW_BITS)
        if "client_max_window_bits" in offered:  # else the answer must not have the parameter
            client_bits = min(int(offered["client_max_window_bits"] or 15), _FULL_WINDOW_BITS)
    accepted = Deflate(client_takeover, server_takeover, client_bits, server_bits)
    if not server_takeover:
        accepted.answer += b"; server_no_context_takeover"
    if not client_takeover:
        accepted.answer += b"; client_no_context_takeover"
    if server_bits < 15:
        accepted.answer += b"; server_max_window_bits=%d" % server_bits
    if client_bits < 15:
        accepted.answer += b"; client_max_window_bits=%d" % client_bits
    return accepted


_WINDOW_BITS = frozenset(str(bits) for bits in range(8, 16))


def _is_valid(name: str, value: str | None) -> bool:
    if name in ("client_no_context_takeover", "server_no_context_takeover"):
        return value is None
    if name == "client_max_window_bits":
        return value is None or value in _WINDOW_BITS
    return name == "server_max_window_bits" and value in _WINDOW_BITS
