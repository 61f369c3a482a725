"""An HTTP/2 connection without I/O (RFC 9113): bytes in, calls on a sink; calls in, bytes out."""

from __future__ import annotations

from typing import TypeVar

from asgiserver.h2 import budgets, frames
from asgiserver.h2.faults import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    ConnectionFault,
    StreamFault,
)
from asgiserver.h2.frames import (
    ACK,
    CONTINUATION,
    FRAME_SIZE,
    HEAD_SIZE,
    HEADERS,
    LARGEST_WINDOW,
    LAST_ID,
    READ_HEAD,
    WHOLE,
)
from asgiserver.h2.inflow import TUNING
from asgiserver.h2.priority import read_priority
from asgiserver.h2.receiving import Receiver
from asgiserver.h2.streams import IGNORE, TAKE, Stream

S = TypeVar("S", bound=Stream)

MOST_UNREAD = 65_536
"""Bytes of answers to control frames that may wait for the client to read."""

TINY = 64
"""Bytes of a window that are too few to be worth a frame of ours, when there is more to send."""

DRAIN = b"\0drain\0\0"
"""The payload of the PING after which no client can have missed the first GOAWAY."""

_PREFACE, _OPEN, _FAILED = range(3)


class H2Codec(Receiver[S]):
    """One connection, as the server sees it.

    `write` gets all bytes that leave, in order (such as `list.append`); whoever joins and sends
    them calls `pump` then. `make_stream` gives a new stream: see `Receiver`.
    """

    _rest = b""  # the begin of a frame
    _phase = _PREFACE

    def __repr__(self) -> str:
        return f"<H2Codec {self.ids} streams={len(self.streams)} {self.budgets}>"

    @property
    def begun(self) -> bool:
        """Whether the rest of something is owed: of the preface, a frame or a header block."""
        return self._phase == _PREFACE or self._rest != b"" or self._block is not None

    @property
    def takes_streams(self) -> bool:
        """Whether new streams are taken: false after the last GOAWAY."""
        return self.ids.accepted > LAST_ID

    def start(self) -> None:
        """Write the server's preface (section 3.4): SETTINGS, and the connection's window."""
        more = self.inflow.size - frames.DEFAULT_WINDOW
        self._write(frames.settings(self.settings.announced()) + frames.window_update(0, more))

    def tick(self, seconds: int = 1) -> None:
        """Some seconds have passed: the budgets against floods fill again."""
        self.budgets.tick(seconds)

    def drain(self) -> None:
        """Announce the end: GOAWAY, and when a PING is answered, GOAWAY with the last stream.

        Until then streams are taken, because the client may have opened them without knowing
        (section 6.8). `close` does the second step at once.
        """
        if self.takes_streams:
            self._write(frames.goaway(LAST_ID, NO_ERROR))
            self.ping(DRAIN)

    def close(self, code: int = NO_ERROR, reason: str = "") -> None:
        """GOAWAY with the last stream id; streams that are opened later are ignored."""
        self.ids.close()
        self._write(frames.goaway(self.ids.accepted, code, reason.encode()))

    def abandon(self) -> None:
        """The connection is lost: let go of the sink, so that no circle of references is left.

        `reset`, `release` and `consumed` do nothing after that for any stream.
        """
        self._phase = _FAILED
        for stream in list(self.streams.values()):
            self._forget(stream)
        del self._sink, self._make_stream

    def feed(self, data: bytes) -> None:
        """Bytes from the client, its preface first.

        Raises `ConnectionFault`, after GOAWAY has been written; then and ever after data is
        dropped. The sink ends the streams that there are.
        """
        if self._phase == _FAILED:
            return
        if self._rest:
            data = self._rest + data
            self._rest = b""
        try:
            begin = 0 if self._phase else self._begin(data)
            end = self._read_frames(data, begin)
            if end < len(data):
                self._rest = data[end:]
            if self.turns.count and self.room > 0:
                self._take_turns()
            if self._unread > MOST_UNREAD:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "answers are not read", budgets.UNREAD)
        except ConnectionFault as fault:
            self._phase = _FAILED
            self._rest = b""
            self._block = None
            self.close(fault.code, fault.reason)
            raise

    def _begin(self, data: bytes) -> int:
        """Where the first frame begins: when all of the preface is there, and the frame's head."""
        size = len(frames.PREFACE)
        if data[:size] != frames.PREFACE[: len(data)]:
            raise ConnectionFault(PROTOCOL_ERROR, "not the preface of HTTP/2")
        if len(data) < size + HEAD_SIZE:
            self._rest = data
            return len(data)
        if data[size + 3] != frames.SETTINGS or data[size + 4] & ACK:
            raise ConnectionFault(PROTOCOL_ERROR, "the first frame is not SETTINGS")
        self._phase = _OPEN
        return size

    def _read_frames(self, data: bytes, pos: int) -> int:
        """Act on all complete frames from `pos` on; where the first incomplete one begins."""
        end = len(data)
        while end - pos >= HEAD_SIZE:
            high, low, kind, flags, stream_id = READ_HEAD(data, pos)
            size = high * 256 + low
            if size > FRAME_SIZE:
                raise ConnectionFault(FRAME_SIZE_ERROR, "frame too large")
            start = pos + HEAD_SIZE
            pos = start + size
            if pos > end:
                return start - HEAD_SIZE
            if stream_id < 0:
                stream_id &= LAST_ID
            if self._block is not None and kind != CONTINUATION:
                raise ConnectionFault(PROTOCOL_ERROR, "a header block is not continued")
            try:
                if kind == HEADERS and flags == WHOLE:  # HOT 2 %: most requests are this
                    self._on_block(stream_id, True, data[start:pos])
                elif kind <= CONTINUATION:
                    _ON_FRAME[kind](self, flags, stream_id, data, start, pos)
                elif kind == frames.PRIORITY_UPDATE:
                    self._on_priority_update(stream_id, data[start:pos])
                else:  # section 4.1: ignored
                    self.budgets.spend(budgets.UNKNOWN_FRAMES)
            except StreamFault as fault:
                self._on_fault(stream_id, fault)
        return pos

    # Frames that carry no request.

    def _on_priority(self, flags: int, stream_id: int, data: bytes, start: int, stop: int) -> None:
        """PRIORITY (section 6.3) means nothing any more."""
        self._verdict(frames.PRIORITY, stream_id)
        self.budgets.spend(budgets.PRIORITIES)
        if stop - start != 5:
            raise StreamFault(FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
        frames.after_priority(data, start, stop, stream_id)

    def _on_priority_update(self, stream_id: int, payload: bytes) -> None:
        """PRIORITY_UPDATE (RFC 9218 section 7.1), which may come before its request."""
        self.budgets.spend(budgets.PRIORITIES)
        if len(payload) < 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "PRIORITY_UPDATE of a wrong size")
        prioritized = int.from_bytes(payload[:4]) & LAST_ID
        if stream_id or not prioritized & 1:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY_UPDATE of no request")
        priority = read_priority(payload[4:])
        if priority is None:
            return
        stream = self.streams.get(prioritized)
        if stream is not None:
            self.turns.change(stream, *priority)
        elif prioritized > self.ids.last:
            self.turns.keep(prioritized, priority)

    def _on_rst_stream(
        self, flags: int, stream_id: int, data: bytes, start: int, stop: int
    ) -> None:
        if stop - start != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "RST_STREAM of a wrong size")
        self.budgets.spend(budgets.RESETS)
        if self._verdict(frames.RST_STREAM, stream_id) is IGNORE:
            return
        stream = self.streams[stream_id]
        self._forget(stream)
        self._linger(stream)
        self._sink.on_reset(stream, int.from_bytes(data[start:stop]), "")

    def _on_settings(self, flags: int, stream_id: int, data: bytes, start: int, stop: int) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS of a stream")
        self.budgets.spend(budgets.SETTINGS, 1 + (stop - start) // 192)  # 32 settings
        if flags & ACK:
            if stop - start:
                raise ConnectionFault(FRAME_SIZE_ERROR, "an acknowledgement with SETTINGS")
            return
        values = frames.read_settings(data[start:stop])
        sizes = [value for name, value in values if name == frames.HEADER_TABLE_SIZE]
        if sizes:  # the least of them has to be signalled, then the last (RFC 7541 section 4.2)
            self._encoder.resize(min(sizes))
            self._encoder.resize(sizes[-1])
        windows = [value for name, value in values if name == frames.INITIAL_WINDOW_SIZE]
        if windows:
            self._change_windows(windows[-1])
        self._answer(frames.SETTINGS_ACK)

    def _change_windows(self, size: int) -> None:
        """The client gives another window to all streams, those that are open too (6.9.2)."""
        more = size - self._stream_window
        self._stream_window = size
        for stream in list(self.streams.values()):
            stream.window += more
            if stream.window > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "the window of a stream is too large")
            self._window_changed(stream)

    def _on_push_promise(
        self, flags: int, stream_id: int, data: bytes, start: int, stop: int
    ) -> None:
        raise ConnectionFault(PROTOCOL_ERROR, "PUSH_PROMISE of a client")

    def _on_ping(self, flags: int, stream_id: int, data: bytes, start: int, stop: int) -> None:
        if stop - start != 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "PING of a wrong size")
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "PING of a stream")
        self.budgets.spend(budgets.PINGS)
        payload = data[start:stop]
        if not flags & ACK:
            self._answer(frames.frame(frames.PING, ACK, 0, payload))
        elif payload == TUNING:
            if output := self.inflow.measured():
                self._write(output)
        elif payload != DRAIN:
            self._sink.on_ping_ack(payload)
        elif self.takes_streams:
            self.close()

    def _on_goaway(self, flags: int, stream_id: int, data: bytes, start: int, stop: int) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY of a stream")
        if stop - start < 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self.budgets.spend(budgets.SETTINGS)
        self._sink.on_goaway(int.from_bytes(data[start + 4 : start + 8]))

    def _on_window_update(
        self, flags: int, stream_id: int, data: bytes, start: int, stop: int
    ) -> None:
        if stop - start != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")
        self.budgets.spend(budgets.WINDOW_UPDATES)
        more = int.from_bytes(data[start:stop]) & LAST_ID
        if stream_id:
            if self._verdict(frames.WINDOW_UPDATE, stream_id) is TAKE:
                self._widen(self.streams[stream_id], more)
            return
        self.window += more
        if not more:
            raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        if self.window > LARGEST_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "the window of the connection is too large")
        if 0 < self.window < TINY and self.turns.count:
            self.budgets.spend(budgets.TINY_WINDOWS)

    def _widen(self, stream: S, more: int) -> None:
        if not more:
            raise StreamFault(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        stream.window += more
        if stream.window > LARGEST_WINDOW:
            raise StreamFault(FLOW_CONTROL_ERROR, "the window of the stream is too large")
        if 0 < stream.window < min(TINY, stream.pending):
            self.budgets.spend(budgets.TINY_WINDOWS)
        self._window_changed(stream)


# By type of frame (RFC 9113 section 6).
_ON_FRAME = (
    H2Codec._on_data,
    H2Codec._on_headers,
    H2Codec._on_priority,
    H2Codec._on_rst_stream,
    H2Codec._on_settings,
    H2Codec._on_push_promise,
    H2Codec._on_ping,
    H2Codec._on_goaway,
    H2Codec._on_window_update,
    H2Codec._on_continuation,
)
