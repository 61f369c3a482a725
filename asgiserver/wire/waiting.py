"""For whom a connection waits, and until when: one table, which needs no I/O and no clock.

=============  ==========================================  =========================  ==============
It waits for   when                                        for at most                and then
=============  ==========================================  =========================  ==============
HEAD           a request head has begun, or none ever did  --timeout-request-head     408, or close
IDLE           all requests are answered                   --timeout-keep-alive       LAST
LAST           it was idle and the server told it to end   0.5 s                      close, LINGER
BODY           more of a request body has to come          --timeout-request-body     408
APPLICATION    a session runs, or has to take a body       the next tick              tick it, again
HALF_CLOSED    the same, and the client sends no more      the next tick              hang up, again
ANSWER         the same, and the answer has not begun      1 to 2 s                   hang up, again
READER         the client has to read, to unblock writing  --timeout-write            cut, or again
TUNNEL_READER  the same, through a tunnel                  --ws-send-timeout          cut, or again
LINGER         answered; what still arrives is dropped     2 s                        END
END            closed; the client may read what is left    --timeout-write            cut, or again
NOT_OPEN       the connection is not made yet, or is lost  for ever                   -
=============  ==========================================  =========================  ==============

The deadline is set when a row is entered, and does not move while the connection stays in that row:
a client that sends a byte now and then wins no time. *Again* enters the row anew; for a reader that
happens only when it has read something since. The one exception is BODY, where each byte that
arrives extends the deadline.

Every row but NOT_OPEN has a deadline, so nothing that a peer can delay lasts for ever (unless its
option is off). The connection acts at the deadline: `wire.connection` and its subclasses.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from asgiserver.config.fields import Config

LINGER_TIME = 2.0
"""Seconds that a client may go on sending after an answer that ends the connection. To close at
once would reset the connection, which can destroy the answer (RFC 9112 section 9.6)."""

LAST_TIME = 0.5
"""Seconds that a connection has for its first request when the server stops: the connection may
have been accepted a moment ago."""

ANSWER_TIME = 2.0
"""Seconds from the last tick until a client that sends no more is taken for gone, while its answer
has not begun. The client has at least one whole second, as the last tick may be a second ago."""

MIN_BODY_RATE = 240
"""Bytes a second at which a client has to send a body, on average over --timeout-request-body. Each
byte extends the deadline by 1/240 s, but never to more than the whole timeout from now, so one byte
now and then holds a connection no longer than silence does."""


class Reading(enum.IntEnum):
    """What the arriving bytes are."""

    REQUESTS = 0
    BODY = 1  # the rest of a request
    TUNNEL = 2  # of another protocol
    DROPPED = 3  # the connection lingers
    NOTHING = 4  # the connection is closed


class Waiting(enum.IntEnum):
    """For whom a connection waits; see the table."""

    NOT_OPEN = 0
    HEAD = 1
    IDLE = 2
    LAST = 3
    BODY = 4
    APPLICATION = 5
    HALF_CLOSED = 6
    ANSWER = 7
    READER = 8
    TUNNEL_READER = 9
    LINGER = 10
    END = 11


REQUESTS, BODY_BYTES, TUNNEL, DROPPED, NOTHING = Reading
(
    NOT_OPEN, HEAD, IDLE, LAST, BODY, APPLICATION, HALF_CLOSED, ANSWER, READER, TUNNEL_READER,
    LINGER, END,
) = Waiting  # fmt: skip

Times: TypeAlias = "tuple[float, ...]"
"""Seconds from entering a row to its deadline, indexed by the number of the row."""


def times_of(config: Config) -> Times:
    """The times of all rows: those that `config` sets, and those that are constant."""
    seconds = {
        NOT_OPEN: math.inf,
        HEAD: config.timeout_request_head,
        IDLE: config.timeout_keep_alive,
        LAST: LAST_TIME,
        BODY: config.timeout_request_body,
        APPLICATION: 0.0,
        HALF_CLOSED: 0.0,
        ANSWER: ANSWER_TIME,
        READER: config.timeout_write,
        TUNNEL_READER: config.ws_send_timeout,
        LINGER: LINGER_TIME,
        END: config.timeout_write,
    }
    return tuple(seconds[waiting] for waiting in Waiting)


def for_whom(
    before: Waiting,
    reading: Reading,
    *,
    running: bool = False,
    blocked: bool = False,
    owed: bool = False,
    ended: bool = False,
    unsent: bool = False,
    begun: bool = False,
    leaving: bool = False,
) -> Waiting:
    """For whom an open connection waits now; `before` is for whom it waited until now.

    `running`: a session has not ended. `blocked`: nothing can be written until the client reads.
    `owed`: the client cannot send the rest of the body before the application takes what has come,
    or sends a 100 (Continue). `ended`: the client sends no more, but it may still read. `unsent`:
    nothing of the answer has been sent. `begun`: a part of the next head has come. `leaving`: the
    server has just told the connection to end when it is idle.
    """
    if reading is NOTHING:
        return END
    if blocked:
        return TUNNEL_READER if reading is TUNNEL else READER
    if reading is BODY_BYTES and not owed:
        return BODY
    if running:
        if ended:
            return ANSWER if unsent else HALF_CLOSED
        return APPLICATION
    if reading is DROPPED:
        return LINGER
    return _between_requests(before, begun, leaving)


def _between_requests(before: Waiting, begun: bool, leaving: bool) -> Waiting:
    if begun or (before is NOT_OPEN and not leaving):
        return HEAD
    if leaving or before is LAST:
        return LAST
    return HEAD if before is HEAD else IDLE  # an empty line does not restart the deadline of HEAD


def credited(deadline: float, received: int, now: float, times: Times) -> float:
    """The deadline of BODY in clock seconds, extended by what `received` bytes are worth."""
    return min(deadline + received / MIN_BODY_RATE, now + times[BODY])
