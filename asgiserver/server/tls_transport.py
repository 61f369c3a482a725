"""TLS over a transport of the event loop, spoken by the standard library's `ssl.SSLObject`.

A `TLSTransport` is a protocol to the event loop, and a transport to the connection above it. It
knows nothing of the bytes it transports, and of certificates only the context it is given.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["TLSTransport"]

RECORD_SIZE = 16384
"""Bytes of a whole record (RFC 8446 section 5.1), so that one read takes all of a record."""

WHOLE_RECORD = RECORD_SIZE + 5 + 256
"""Bytes of the longest record, encrypted."""

# HOT 5 %: of a large upload.
RECORDS = 4
"""Records that are passed on in one call."""

# HOT 25 %: 1 MiB that is encrypted at once costs that much more.
PIECE_SIZE = 32768
"""Bytes encrypted at a time. OpenSSL's output buffer grows with it and never shrinks: 1 MiB that
was encrypted at once left 1.3 MiB allocated on every idle connection."""

ANSWERS_SIZE = 16384
"""Bytes of answers to key updates that a client may leave unread."""

NO_PROTOCOL = asyncio.Protocol()
"""Stands for the protocol until the handshake is complete, and after the connection is lost."""


class TLSTransport(asyncio.Transport, asyncio.Protocol):
    """One connection. After `handshake()`, the protocol that `make_protocol` makes serves it.

    `make_protocol` gets the name of the protocol that ALPN has chosen (RFC 7301), None without one.

    Closing sends what was written and our close_notify, and does not wait for the client's
    close_notify (RFC 8446 section 6.1).
    """

    __slots__ = (
        "_context",
        "_drops_input",
        "_handshake_end",
        "_incoming",
        "_loop",
        "_make_protocol",
        "_object",
        "_outgoing",
        "_paused",
        "_protocol",
        "_reading",
        "_transport",
        "_truncated",
        "_write_closed",
        "_write_paused",
    )

    _transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        make_protocol: Callable[[str | None], asyncio.BaseProtocol],
    ) -> None:
        super().__init__()
        self._loop = loop
        self._context = context
        self._make_protocol = make_protocol
        self._protocol: asyncio.Protocol = NO_PROTOCOL
        self._incoming = ssl.MemoryBIO()  # encrypted
        self._outgoing = ssl.MemoryBIO()  # encrypted
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._handshake_end: asyncio.Future[None] | None = loop.create_future()
        self._reading = False  # what arrives is passed on to the protocol
        self._paused = False  # the protocol has paused reading
        self._drops_input = False  # what arrives is dropped
        self._truncated = False  # the socket has ended without a close_notify
        self._write_paused = False
        self._write_closed = False  # our close_notify has been written

    def __repr__(self) -> str:
        flags = ("paused", "drops_input", "truncated", "write_paused", "write_closed")
        state = " ".join(flag for flag in flags if getattr(self, f"_{flag}"))
        return f"<TLSTransport {self._object.version()} {state} {self._protocol!r}>"

    async def handshake(self) -> None:
        """Return once the handshake is complete and the protocol has its connection.

        Raises `ssl.SSLError` when TLS fails, `ConnectionResetError` when the client leaves.
        """
        assert self._handshake_end is not None, "awaited once"
        try:
            await self._handshake_end
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._handshake_end = None  # its exception would keep this object alive

    # Called by the transport of the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and wait for the client, which speaks first."""
        self._transport = transport  # type: ignore[assignment] # always a stream transport

    def data_received(self, data: bytes) -> None:
        """Decrypt, and pass on to the protocol."""
        if self._drops_input:
            return
        self._incoming.write(data)
        if self._reading:
            self._read()
        elif self._is_shaking_hands:
            self._shake_hands()

    def eof_received(self) -> bool:
        """The socket has ended; True keeps our side open."""
        if self._drops_input:
            return not self._write_closed  # after close_notify the protocol may still answer
        # Without a close_notify the data is truncated, by whomever (RFC 8446 section 6.1). What
        # arrived before is still passed on.
        self._truncated = True
        return self._incoming.pending > 0 and not self._reading and not self._is_shaking_hands

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol, and let go of it."""
        self._stop_reading()
        self._write_closed = True
        self._give_up(exc or ConnectionResetError("closed during the handshake"))
        protocol, self._protocol = self._protocol, NO_PROTOCOL
        protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """The loop's transport has a full buffer."""
        self._write_paused = True
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The buffer has room again."""
        self._write_paused = False
        self._answer()
        self._protocol.resume_writing()

    # TLS

    @property
    def _is_shaking_hands(self) -> bool:
        return self._protocol is NO_PROTOCOL

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._answer()
        except ssl.SSLError as error:
            self._give_up(error)
            self._fail()
        else:
            self._answer()
            agreed = self._object.selected_alpn_protocol()
            self._protocol = protocol = self._make_protocol(agreed)  # type: ignore[assignment]
            self._reading = True
            if self._handshake_end is not None and not self._handshake_end.done():
                self._handshake_end.set_result(None)
            protocol.connection_made(self)
            if self._incoming.pending and self._reading:
                self._read()

    def _give_up(self, error: Exception) -> None:
        if self._handshake_end is not None and not self._handshake_end.done():
            self._handshake_end.set_exception(error)
            self._handshake_end.exception()  # retrieved: nobody may wait for it any more

    def _read(self) -> None:
        """Pass on all records that are complete, as long as the protocol wants them."""
        incoming, read = self._incoming, self._object.read
        try:
            while self._reading and incoming.pending:
                data = read(RECORD_SIZE)
                if not data:
                    self._end()
                    break
                if incoming.pending > WHOLE_RECORD:
                    data = self._read_on(data)
                self._protocol.data_received(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._fail()
            return
        if self._outgoing.pending:
            self._answer()
        if self._truncated and self._reading:
            self._transport.close()

    def _read_on(self, data: bytes) -> bytes:
        """Join the whole records that follow `data`, one record that has been read."""
        parts = [data]
        try:
            while self._incoming.pending > WHOLE_RECORD and len(parts) < RECORDS:
                parts.append(self._object.read(RECORD_SIZE))
        except ssl.SSLWantReadError:
            pass
        return b"".join(parts)

    def _read_rest(self) -> None:
        if self._reading:
            self._read()

    def _answer(self) -> None:
        """Send TLS's own messages; abort when a client that does not read makes them pile up."""
        size = self._outgoing.pending
        if size and not self._write_closed:
            if not self._write_paused:
                self._transport.write(self._outgoing.read())
            elif size > ANSWERS_SIZE:
                self.abort()

    def _end(self) -> None:
        """The client's close_notify has come."""
        self._stop_reading()
        if not self._protocol.eof_received():
            self.close()

    def _fail(self) -> None:
        """Send the alert that says what failed, and close."""
        self._stop_reading()
        self._answer()
        self._write_closed = True
        self._transport.close()

    def _stop_reading(self) -> None:
        self._reading = False
        self._drops_input = True

    def _close_writing(self) -> None:
        self._stop_reading()
        self._write_closed = True
        try:
            self._object.unwrap()
        except ssl.SSLError:
            pass  # the client's close_notify is still to come, or the connection is lost already
        rest = self._outgoing.read()
        if rest:
            self._transport.write(rest)

    # Called by the protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send `data`; it is dropped once the connection is closing."""
        if not data or self._write_closed:
            return
        try:
            if len(data) <= PIECE_SIZE:
                self._object.write(data)
                self._transport.write(self._outgoing.read())
            else:
                view = memoryview(data).cast("B")
                for start in range(0, len(view), PIECE_SIZE):
                    if self._transport.is_closing():
                        break  # the client has gone, and asyncio would warn of each write
                    self._object.write(view[start : start + PIECE_SIZE])
                    self._transport.write(self._outgoing.read())
        except ssl.SSLError:
            self.abort()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Write all pieces; small ones share a record."""
        small: list[bytes | bytearray | memoryview] = []
        size = 0
        for data in list_of_data:
            if size + len(data) > RECORD_SIZE:
                self.write(b"".join(small))
                small.clear()
                size = 0
            if len(data) < RECORD_SIZE:
                small.append(data)
                size += len(data)
            else:
                self.write(data)
        self.write(b"".join(small))

    def can_write_eof(self) -> bool:
        """Whether one side may close before the other: since TLS 1.3 (RFC 8446 section 6.1)."""
        return self._object.version() == "TLSv1.3"

    def write_eof(self) -> None:
        """Write no more, and drop what still arrives."""
        if not self._write_closed:
            self._close_writing()
            self._transport.write_eof()

    def close(self) -> None:
        """Send what was written, and close."""
        if not self._write_closed:
            self._close_writing()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._stop_reading()
        self._write_closed = True
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether the connection is closing or closed."""
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        """Whether what arrives is passed on."""
        return self._reading

    def pause_reading(self) -> None:
        """Pass nothing on until `resume_reading`."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Pass on what has arrived, and what arrives."""
        if not self._paused or self._transport.is_closing():
            return
        self._paused = False
        self._transport.resume_reading()
        if not self._drops_input:
            self._reading = True
            if self._incoming.pending or self._truncated:
                self._loop.call_soon(self._read_rest)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`ssl_object` and `sslcontext`, or what the loop's transport knows."""
        if name == "ssl_object":
            return self._object
        if name == "sslcontext":
            return self._context
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection over to `protocol`."""
        self._protocol = protocol  # type: ignore[assignment] # has to be a stream protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that has the connection."""
        return self._protocol

    def get_write_buffer_size(self) -> int:
        """Encrypted bytes that the system has not taken yet."""
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The numbers of bytes at which the protocol is resumed (low) and paused (high)."""
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport`."""
        self._transport.set_write_buffer_limits(high, low)
