"""The states of a stream (RFC 9113 section 5.1) and what a stream has for the codec."""

from __future__ import annotations

from collections import deque

from asgiserver.h2.faults import PROTOCOL_ERROR, STREAM_CLOSED
from asgiserver.h2.frames import (
    DATA,
    HEADERS,
    LAST_ID,
    PRIORITY,
    RST_STREAM,
    WINDOW_UPDATE,
)

# The states of section 5.1 of the streams that clients open, as the server sees them. No stream is
# reserved, because nothing is pushed. "Closed" is three states, as the section tells them apart:
# we have reset the stream (or ignore it after GOAWAY), so frames may be under way; it was closed in
# another way; it was never opened, but one with a higher id was (section 5.1.1).
IDLE, OPEN, HALF_CLOSED_LOCAL, HALF_CLOSED_REMOTE, CUT, CLOSED, SKIPPED = range(7)

TAKE = "take"
"""The frame has its usual meaning."""

IGNORE = "ignore"
"""The frame means nothing any more."""

DROP = "drop"
"""The frame counts for the connection (its window, the table of HPACK) and means nothing else."""


class Fault(tuple[bool, int, str]):
    """A frame that may not come: whether it ends the connection, with which code, and why."""

    __slots__ = ()


def _connection(code: int, reason: str) -> Fault:
    return Fault((True, code, reason))


_NEVER_OPENED = _connection(PROTOCOL_ERROR, "a frame on an idle stream")
_OVER = _connection(STREAM_CLOSED, "a frame on a closed stream")
_REUSED = _connection(PROTOCOL_ERROR, "a stream id that is not higher than those before")
_HAS_ENDED = Fault((False, STREAM_CLOSED, "a frame after END_STREAM"))

Verdict = str | Fault

# One column for each state, in their order.
RECEIVED: dict[int, tuple[Verdict, ...]] = {
    DATA: (_NEVER_OPENED, TAKE, TAKE, _HAS_ENDED, DROP, _OVER, _OVER),
    HEADERS: (TAKE, TAKE, TAKE, _HAS_ENDED, DROP, _OVER, _REUSED),
    PRIORITY: (IGNORE,) * 7,
    RST_STREAM: (_NEVER_OPENED, TAKE, TAKE, TAKE, IGNORE, IGNORE, IGNORE),
    WINDOW_UPDATE: (_NEVER_OPENED, TAKE, IGNORE, TAKE, IGNORE, IGNORE, IGNORE),
}
"""What becomes of a frame from the client. CONTINUATION follows a HEADERS frame or is a fault of
the connection, PUSH_PROMISE always is one, and the other types belong to no stream."""


class Stream:
    """One stream that is neither idle nor closed. A wire derives its own class from this.

    The attributes are the codec's; a wire reads some of them and writes none. There are no
    `__slots__`: the defaults of what few streams change stand in the class. What each stream
    changes has none there, because CPython is slow with an attribute that has one and is set.
    """

    window: int
    """Bytes that we may send; below zero after SETTINGS have made the window smaller."""

    local_open: bool
    """Whether we have not sent END_STREAM (or RST_STREAM) yet."""

    remote_open: bool
    """Whether the client has not sent END_STREAM (or RST_STREAM) yet."""

    # What is to be sent.
    urgency = 3
    incremental = True
    has_turn = False  # whether it waits in `Turns`
    turns_taken = 0  # bytes that were sent there
    rest = b""  # the body that waits, from `at` on
    at = 0
    pending = 0
    """Bytes of the body, given to `H2Codec.send_data`, that wait for a window or for their turn."""
    ends = False  # whether the response ends with `rest`
    trailers: list[tuple[bytes, bytes]] | None = None  # they follow on `rest`
    held = 0  # bytes of `rest` that the wire alone keeps: no application waits for them to leave

    # What is received.
    credit = 0  # bytes that the client may send
    credit_size = 0  # `credit`, when everything that was received is consumed and credited
    due = 0  # bytes that are consumed and not credited yet
    unconsumed = 0
    """Bytes of request body that were given to `Sink.on_data` and are not consumed."""
    body_left: float = 0  # bytes that may still come, by Content-Length or by the limit
    has_length = False  # whether that is by Content-Length
    is_deaf = False  # whether what comes of the request is dropped: it is answered, or refused
    is_tunnel = False  # whether this is an extended CONNECT (RFC 8441)

    lingers = False  # whether it was reset, and its task may run on

    def __init__(self, sink: object, stream_id: int, window: int, remote_open: bool) -> None:
        """See `Receiver`; a class of a wire may keep the sink, for which this one has no use."""
        self.id = stream_id
        self.window = window
        self.local_open = True
        self.remote_open = remote_open

    @property
    def state(self) -> int:
        """The state by section 5.1; CLOSED when the codec does not know the stream any more."""
        if self.local_open:
            return OPEN if self.remote_open else HALF_CLOSED_REMOTE
        return HALF_CLOSED_LOCAL if self.remote_open else CLOSED

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} state={self.state} pending={self.pending}>"


MOST_CUT = 4096
MOST_SKIPPED = 256


class StreamIds:
    """Which ids clients have used, so that the state of a stream is known after it is forgotten.

    What was reset, and what was left out, is kept for a bounded number of streams. A stream that
    has fallen out of these is closed.
    """

    __slots__ = ("_cut", "_left_out", "_skipped", "accepted", "last", "next")

    def __init__(self) -> None:
        self.last = 0  # the highest id that has been used
        self.next = 1  # the lowest that opens a stream; -1: none does
        # Streams above are ignored, once GOAWAY has said so (section 6.8).
        self.accepted = LAST_ID + 1
        self._cut: dict[int, None] = {}
        self._skipped: deque[range] | tuple[()] = ()  # a deque from the first on
        self._left_out = 0  # how many ids were left out

    def __repr__(self) -> str:
        return f"<StreamIds last={self.last} accepted={self.accepted} cut={len(self._cut)}>"

    @property
    def opened(self) -> int:
        """How many streams have been opened so far."""
        return (self.last + 1) // 2 - self._left_out

    def open(self, stream_id: int) -> None:
        """A stream begins; its id is odd and above `last`."""
        begin = self.last + 2 if self.last else 1
        if begin < stream_id:
            self._left_out += (stream_id - begin) // 2
            if not self._skipped:
                self._skipped = deque(maxlen=MOST_SKIPPED)
            self._skipped.append(range(begin, stream_id, 2))
        self.last = stream_id
        self.next = stream_id + 2

    def close(self) -> None:
        """Streams above `last` are not taken any more."""
        self.accepted = min(self.accepted, self.last)
        self.next = -1

    def cut(self, stream_id: int) -> None:
        """We have reset the stream."""
        if len(self._cut) >= MOST_CUT:
            del self._cut[next(iter(self._cut))]
        self._cut[stream_id] = None

    def state_of(self, stream_id: int) -> int:
        """The state of a stream that is not open."""
        if stream_id > self.accepted:
            return CUT
        if stream_id > self.last or not stream_id & 1:
            return IDLE
        if stream_id in self._cut:
            return CUT
        if any(stream_id in ids for ids in self._skipped):
            return SKIPPED
        return CLOSED
