"""The sending half of an HTTP/2 connection: heads, bodies within their windows, fair turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from asgiserver.h2.budgets import Budgets
from asgiserver.h2.faults import NO_ERROR
from asgiserver.h2.frames import (
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE,
    HEADERS,
    PACK_HEAD,
    PING,
    frame,
    frame_head,
    header_frames,
    rst_stream,
)
from asgiserver.h2.inflow import Inflow
from asgiserver.h2.priority import LONG, Turns
from asgiserver.h2.streams import Stream, StreamIds

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.h2.header_blocks import HeaderEncoder
    from asgiserver.h2.settings import Settings
    from asgiserver.h2.sink import Sink
    from asgiserver.types import Fields

S = TypeVar("S", bound=Stream)

ROOM = 65_536
"""Bytes that are a good `room` for `Sender.pump`: a small answer waits for no more than these."""

SMALL_REST = 65_536
"""Bytes of a request body that are awaited and dropped after the answer is complete. A client that
has more to send is told to stop (section 8.1); some take that for a failed request."""

WORTHY = 1024
"""Bytes of a DATA frame that is useful work for the budgets even if a window has cut it short."""


class Sender(Generic[S]):
    """What leaves on one connection, in order, through `write`."""

    def __init__(
        self,
        sink: Sink[S],
        write: Callable[[bytes], object],
        settings: Settings,
        encoder: HeaderEncoder,
    ) -> None:
        self._sink = sink
        self._write = write
        self._encoder = encoder
        self.streams: dict[int, S] = {}
        self.ids = StreamIds()
        self.budgets = Budgets()
        self.inflow = Inflow(settings)
        self.turns: Turns[S] = Turns()
        self.window = DEFAULT_WINDOW  # of the connection, for what we send
        self.room = ROOM
        self._unread = 0  # bytes of answers to frames since the last `pump` with room
        self._lingering = 0  # streams that were reset, and whose tasks run on

    def send_head(self, stream: S, fields: Fields, data: bytes, end: bool) -> bool:
        """A final head with the first bytes of its body; `end` with the whole response.

        `fields` begin with `:status`. Returns as `send_data` does.
        """
        if not stream.local_open:
            return True
        block = self._encoder.encode(fields)
        block_size, size = len(block), len(data)
        if (
            not 0 < size <= FRAME_SIZE
            or size > stream.window
            or size > self.window
            or size > self.room
            or block_size > FRAME_SIZE
        ):
            only_head = end and not size
            self._write(header_frames(stream.id, block, only_head))
            if not only_head:
                return self.send_data(stream, data, end)
            self._end(stream)
            return True
        stream_id = stream.id
        self._write(
            b"".join(
                (
                    PACK_HEAD(block_size * 256 + HEADERS, END_HEADERS, stream_id),
                    block,
                    PACK_HEAD(size * 256 + DATA, end, stream_id),
                    data,
                )
            )
        )
        self.window -= size
        self.room -= size
        if not end:
            stream.window -= size
        else:
            if stream.remote_open or stream.credit_size:
                self._end(stream)
            else:  # HOT 1 %: this is what `_end` does with a request without a body
                stream.local_open = False
                del self.streams[stream_id]
                self.budgets.work += 1
        return True

    def send_informational(self, stream: S, fields: Fields) -> None:
        """A head with a 1xx status."""
        if stream.local_open:
            self._write(header_frames(stream.id, self._encoder.encode(fields), False))

    def send_data(self, stream: S, data: bytes, end: bool) -> bool:
        """More of the body, of any size.

        False when some of it waits for a window, for `pump`, or for streams that go first: send
        more after `Sink.on_drained`. When the end has been written and the request has ended, the
        stream is gone from `streams`. When the request has not ended, RST_STREAM with NO_ERROR
        tells the client to stop (section 8.1), unless only little is to come.
        """
        if not stream.local_open:
            return True
        size = len(data)
        if (
            0 < size <= FRAME_SIZE
            and not stream.pending
            and size <= stream.window
            and size <= self.window
            and size <= self.room
        ):
            self._write(PACK_HEAD(size * 256 + DATA, end, stream.id))
            self._write(data)
            stream.window -= size
            self.window -= size
            self.room -= size
            self.budgets.work += 1
            if end:
                self._end(stream)
            return True
        stream.ends = end
        if stream.pending:
            stream.rest = stream.rest[stream.at :] + data
            stream.at = 0
            stream.pending += size
            return False
        stream.rest = data
        stream.at = 0
        stream.pending = size
        if stream.pending <= FRAME_SIZE or not self.turns.count:
            while stream.pending and stream.window > 0 and self.window > 0 and self.room > 0:
                self._write_frame(stream)
        return self._is_done(stream)

    def send_trailers(self, stream: S, fields: Fields) -> None:
        """The end of the response, after all that is pending."""
        if stream.local_open:
            stream.trailers = fields
            self._is_done(stream)

    def _write_frame(self, stream: S) -> None:
        """Write a frame of what is pending, as large as it may be."""
        size = min(stream.pending, FRAME_SIZE, stream.window, self.window)
        stream.window -= size
        self.window -= size
        self.room -= size
        stream.pending -= size
        if size >= WORTHY or not stream.pending:
            self.budgets.work += 1
        end = stream.ends and not stream.pending and stream.trailers is None
        self._write(frame_head(size, DATA, end, stream.id))
        at = stream.at
        stream.at = at + size
        if not at and size == len(stream.rest):
            self._write(stream.rest)
        else:
            self._write(stream.rest[at : stream.at])
        if end:
            stream.ends = False
            self._end(stream)

    def _is_done(self, stream: S) -> bool:
        """Whether nothing of `stream` waits: then the response may end, else it has a turn."""
        if stream.pending:
            if stream.window > 0:
                self.turns.add(stream)
            return False
        stream.rest = b""
        if stream.trailers is not None:
            block = self._encoder.encode(stream.trailers)
            stream.trailers = None
            self._write(header_frames(stream.id, block, True))
            self._end(stream)
        elif stream.ends:  # and the last frame has not said so
            self._write(frame_head(0, DATA, END_STREAM, stream.id))
            self._end(stream)
        return True

    def pump(self, room: int) -> bool:
        """Write pending bodies, about `room` bytes of them; true when more could be written.

        Until the next call, `room` is also what `send_head` and `send_data` may write of bodies:
        call it after each flush, with 0 while the transport is paused, else with `ROOM`.
        """
        self.room = room
        if room > 0:
            self._unread = 0
            if self.turns.count:
                self._take_turns()
        return self.turns.count > 0 and self.window > 0

    @property
    def held(self) -> int:
        """Bytes of bodies that wait here, and that no application keeps in a `send` that waits."""
        return sum([stream.held for stream in self.streams.values()])

    def _take_turns(self) -> None:
        turns = self.turns
        while turns.count and self.window > 0 and self.room > 0:
            stream = turns.first()
            before = stream.pending
            self._write_frame(stream)
            if not stream.pending:
                turns.remove(stream)
                self._is_done(stream)
                self._sink.on_drained(stream)
            elif stream.window <= 0:
                turns.remove(stream)
            else:
                turns.sent(stream)
                stream.turns_taken += before - stream.pending
                if not stream.incremental and stream.turns_taken >= LONG:
                    turns.change(stream, stream.urgency, True)

    def _window_changed(self, stream: S) -> None:
        """The window of `stream` has changed."""
        if stream.pending and stream.window > 0:
            self.turns.add(stream)
        else:
            self.turns.remove(stream)

    # How streams end.

    def _end(self, stream: S) -> None:
        """END_STREAM has been written."""
        stream.local_open = False
        if not stream.remote_open:
            self._forget(stream)
            self.budgets.work += 1
            return
        if stream.is_tunnel or (stream.has_length and stream.body_left <= SMALL_REST):
            if not stream.has_length:
                stream.body_left = SMALL_REST
            stream.is_deaf = True
            self._drop(stream, stream.unconsumed)
        else:
            self._cut(stream, NO_ERROR)
            self.budgets.work += 1

    def _drop(self, stream: S, size: int) -> None:
        """`size` bytes of `stream` that nobody will consume."""
        if output := self.inflow.consumed(stream, size):
            self._write(output)

    def _cut(self, stream: S, code: int) -> None:
        """Write RST_STREAM, and forget the stream."""
        self.ids.cut(stream.id)
        self._answer(rst_stream(stream.id, code))
        self._sink.on_cut(code)
        self._forget(stream)

    def _forget(self, stream: S) -> None:
        """The stream is closed."""
        stream.local_open = stream.remote_open = False
        del self.streams[stream.id]
        if stream.pending:
            self.turns.remove(stream)
            stream.pending = 0
            stream.rest = b""
        if stream.credit_size and (output := self.inflow.close(stream)):
            self._write(output)

    def _linger(self, stream: S) -> None:
        stream.lingers = True
        self._lingering += 1

    def reset(self, stream: S, code: int) -> None:
        """Write RST_STREAM and drop what is pending; nothing when the stream is gone already.

        `Sink.on_reset` is not called. The stream counts as a concurrent one until `release`.
        """
        if stream.local_open or stream.remote_open:
            self._cut(stream, code)
            self._linger(stream)

    def release(self, stream: S) -> None:
        """The task of a stream that was reset, by either side, has ended.

        Until then such a stream counts against SETTINGS_MAX_CONCURRENT_STREAMS, because what it
        costs goes on (CVE-2023-44487). Harmless for any other stream.
        """
        if stream.lingers:
            stream.lingers = False
            self._lingering -= 1

    def consumed(self, stream: S, size: int) -> None:
        """The application has taken `size` bytes of the body; harmless when the stream is gone."""
        if output := self.inflow.consumed(stream, size):
            self._write(output)

    def ping(self, payload: bytes) -> None:
        """PING with 8 bytes; `Sink.on_ping_ack` tells of the answer."""
        self._write(frame(PING, 0, 0, payload))

    def _answer(self, output: bytes) -> None:
        """Write an answer to a frame; `feed` asks how much of such answers is unread."""
        self._write(output)
        self._unread += len(output)
