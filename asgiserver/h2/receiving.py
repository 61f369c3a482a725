"""The receiving half of an HTTP/2 connection: requests out of HEADERS, CONTINUATION and DATA."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from asgiserver.errors import PeerError
from asgiserver.h2 import budgets, frames
from asgiserver.h2.core_request import read_request
from asgiserver.h2.faults import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    ConnectionFault,
    StreamFault,
)
from asgiserver.h2.frames import END_HEADERS, END_STREAM, HAS_PRIORITY, PADDED
from asgiserver.h2.header_blocks import CompressionFault, FieldsTooLarge
from asgiserver.h2.request_head import H2RequestHead, check_trailers
from asgiserver.h2.sending import WORTHY, Sender
from asgiserver.h2.streams import DROP, RECEIVED, Fault, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.h2.header_blocks import HeaderDecoder, HeaderEncoder
    from asgiserver.h2.settings import Settings
    from asgiserver.h2.sink import Sink
    from asgiserver.types import Fields

S = TypeVar("S", bound=Stream)


class OpenBlock:
    """A header block whose CONTINUATION frames are yet to come (section 6.10)."""

    __slots__ = ("end", "parts", "size", "stream_id")

    def __init__(self, stream_id: int, end: bool, part: bytes) -> None:
        self.stream_id = stream_id
        self.end = end
        self.parts = [part]
        self.size = len(part)


class Receiver(Sender[S]):
    """Acts on the frames that carry requests; `feed` of the codec gives them.

    `make_stream` gives a new stream. Its arguments are the sink, the id, the window for what we
    send, and whether more of the request follows.
    """

    def __init__(
        self,
        sink: Sink[S],
        write: Callable[[bytes], object],
        make_stream: Callable[[Any, int, int, bool], S],
        settings: Settings,
        decoder: HeaderDecoder,
        encoder: HeaderEncoder,
    ) -> None:
        super().__init__(sink, write, settings, encoder)
        self.settings = settings
        self._make_stream = make_stream
        self._decoder = decoder
        self._stream_window = frames.DEFAULT_WINDOW  # that the client gives to each stream
        self._block: OpenBlock | None = None

    def _on_fault(self, stream_id: int, fault: StreamFault) -> None:
        """Reset a stream by the client's fault."""
        stream = self.streams.get(stream_id)
        if stream is None and stream_id > self.ids.last:  # an idle stream cannot be reset
            raise ConnectionFault(fault.code, fault.reason)
        self.budgets.spend(budgets.FAULTS)
        if stream is None:
            self._refuse(stream_id, fault.code)
            self._sink.on_fault(fault.reason)
        else:
            self._cut(stream, fault.code)
            self._linger(stream)
            self._sink.on_reset(stream, fault.code, fault.reason)

    def _refuse(self, stream_id: int, code: int) -> None:
        """Reset a stream that the sink never knew."""
        self.ids.cut(stream_id)
        self._answer(frames.rst_stream(stream_id, code))
        self._sink.on_cut(code)

    def _verdict(self, kind: int, stream_id: int) -> str:
        """What becomes of a frame by the state of its stream: `TAKE`, `DROP` or `IGNORE`.

        Raises `ConnectionFault` and `StreamFault`.
        """
        if stream_id == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "a frame without its stream")
        stream = self.streams.get(stream_id)
        state = self.ids.state_of(stream_id) if stream is None else stream.state
        verdict = RECEIVED[kind][state]
        if not isinstance(verdict, Fault):
            return verdict
        of_connection, code, reason = verdict
        raise (ConnectionFault if of_connection else StreamFault)(code, reason)

    # Header blocks.

    def _on_headers(self, flags: int, stream_id: int, data: bytes, start: int, stop: int) -> None:
        if flags & PADDED:
            start, stop = frames.without_padding(data, start, stop)
        if flags & HAS_PRIORITY:
            start = frames.after_priority(data, start, stop, stream_id)
        if flags & END_HEADERS:
            self._on_block(stream_id, flags & END_STREAM > 0, data[start:stop])
        else:
            self._block = OpenBlock(stream_id, flags & END_STREAM > 0, data[start:stop])

    def _on_continuation(
        self, flags: int, stream_id: int, data: bytes, start: int, stop: int
    ) -> None:
        block = self._block
        if block is None or block.stream_id != stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION of no header block")
        self.budgets.spend(budgets.CONTINUATIONS)
        block.parts.append(data[start:stop])
        block.size += stop - start
        if block.size > self.settings.head:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "header block too large", "header blocks")
        if flags & END_HEADERS:
            self._block = None
            self._on_block(stream_id, block.end, b"".join(block.parts))

    def _on_block(self, stream_id: int, end: bool, block: bytes) -> None:
        """A header block is complete. Whatever becomes of it, it counts for the table of HPACK."""
        ids = self.ids
        follows = stream_id == ids.next
        if not follows and not stream_id & 1:
            raise ConnectionFault(PROTOCOL_ERROR, "a stream of a client has an odd id")
        settings = self.settings
        fields: Fields | None = None
        refusal = ""
        try:
            fields = self._decoder.decode(block, settings.all_fields, settings.head)
        except FieldsTooLarge as error:
            refusal = str(error)
        except CompressionFault as error:
            raise ConnectionFault(COMPRESSION_ERROR, str(error)) from None
        if not follows and not ids.last < stream_id <= ids.accepted:
            self._on_later_block(stream_id, end, fields)
        else:
            if follows:  # HOT 1 %: this is what `open` does with it
                ids.last = stream_id
                ids.next = stream_id + 2
            else:
                ids.open(stream_id)
            if len(self.streams) + self._lingering >= settings.max_streams:
                self.budgets.spend(budgets.REFUSED)
                self._refuse(stream_id, REFUSED_STREAM)
            elif fields is None:
                self._open(stream_id, end, None, PeerError(431, refusal))
            else:
                try:
                    head = read_request(fields, end, settings)
                except PeerError as error:
                    self._open(stream_id, end, None, error)
                else:
                    self._open(stream_id, end, head, None)

    def _open(
        self, stream_id: int, end: bool, head: H2RequestHead | None, error: PeerError | None
    ) -> None:
        """A stream begins, with a request or with one that is refused."""
        stream = self._make_stream(self._sink, stream_id, self._stream_window, not end)
        self.streams[stream_id] = stream
        if not end:
            error = self._expect_body(stream, head) or error
        if head is not None:
            priority = head.priority
            if self.turns.early:
                priority = self.turns.early.pop(stream_id, priority)
            if priority is not None:
                stream.urgency, stream.incremental = priority
            if error is None:
                try:
                    self._sink.on_request(stream, head, end)
                except PeerError as refusal:
                    error = refusal
        if error is not None:
            stream.is_deaf = True
            self._sink.on_refused(stream, error, head, end)

    def _expect_body(self, stream: S, head: H2RequestHead | None) -> PeerError | None:
        """A request with a body begins; the error when its length is above the limit."""
        self.inflow.open(stream)
        stream.body_left = most = self.settings.body
        if head is None:
            return None
        framing = head.framing
        if framing.upgrade:
            stream.is_tunnel = True
            stream.body_left = math.inf
        elif framing.content_length is not None:
            stream.has_length = True
            stream.body_left = framing.content_length
            if stream.body_left > most:
                return PeerError(413, "request body too large")
        return None

    def _on_later_block(self, stream_id: int, end: bool, fields: Fields | None) -> None:
        """A header block that opens no stream: trailers (section 8.1), or one that is too late."""
        if self._verdict(frames.HEADERS, stream_id) is DROP:
            self.budgets.spend(budgets.LATE_FRAMES)
            return
        if not end:
            raise StreamFault(PROTOCOL_ERROR, "a second head, or trailers without END_STREAM")
        if fields is None:
            raise StreamFault(ENHANCE_YOUR_CALM, "trailers too large")
        check_trailers(fields)
        self._end_of_request(self.streams[stream_id])

    # Bodies.

    def _on_data(self, flags: int, stream_id: int, data: bytes, start: int, stop: int) -> None:
        inflow = self.inflow
        size = stop - start  # padding counts for the windows (section 6.9.1)
        inflow.left -= size
        if inflow.left < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "more than the window of the connection")
        stream = self.streams.get(stream_id)
        if stream is None or not stream.remote_open:
            self._on_late_data(stream_id, size)
            return
        stream.unconsumed += size
        stream.credit -= size
        if stream.credit < 0:
            raise StreamFault(FLOW_CONTROL_ERROR, "more than the window of the stream")
        if flags & PADDED:
            start, stop = frames.without_padding(data, start, stop)
            padding = size - (stop - start)
            self._drop(stream, padding)
            size -= padding
            if padding > size:
                self.budgets.spend(budgets.PADDING)
        if not size and not flags & END_STREAM:
            self.budgets.spend(budgets.EMPTY_FRAMES)
        stream.body_left -= size
        if stream.body_left < 0:
            self._on_too_much(stream)
        if stream.is_deaf:
            self._drop(stream, size)
        elif size:
            self._sink.on_data(stream, data[start:stop])
        if flags & END_STREAM and stream.remote_open:
            self._end_of_request(stream)

    def _on_late_data(self, stream_id: int, size: int) -> None:
        """DATA for a stream that takes none: it counts for the connection's window."""
        if output := self.inflow.dropped(size):
            self._write(output)
        if self._verdict(frames.DATA, stream_id) is DROP and size < WORTHY:
            self.budgets.spend(budgets.LATE_FRAMES)

    def _on_too_much(self, stream: S) -> None:
        """A body is longer than its Content-Length, or than the limit."""
        if stream.has_length:
            raise StreamFault(PROTOCOL_ERROR, "more body than Content-Length says")
        if not stream.local_open:  # answered long ago
            self._cut(stream, NO_ERROR)
        elif not stream.is_deaf:
            stream.is_deaf = True
            self._sink.on_refused(stream, PeerError(413, "request body too large"), None, False)

    def _end_of_request(self, stream: S) -> None:
        if stream.has_length and stream.body_left:
            raise StreamFault(PROTOCOL_ERROR, "less body than Content-Length says")
        stream.remote_open = False
        if not stream.local_open:
            self._forget(stream)
        elif not stream.is_deaf:
            self._sink.on_end(stream)
