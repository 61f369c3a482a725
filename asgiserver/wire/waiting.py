"""For whom a connection waits, and until when: one table, decided without I/O and without a clock.

=============  ==========================================  =========================  ==============
It waits for   when                                        for at most                and then
=============  ==========================================  =========================  ==============
HEAD           a request head has begun, or none ever did  --timeout-request-head     408, or close
IDLE           everything is answered                      --timeout-keep-alive       LAST
LAST           it was idle and has been told to end        0.5 s                      close, LINGER
BODY           more of a request body has to come          --timeout-request-body     408
APPLICATION    a session runs, or a body waits for it      the next tick              tick it, again
HALF_CLOSED    the same, and the client sends no more      the next tick              hang up, again
ANSWER         the same, and no answer has begun           1 to 2 s                   hang up, again
READER         the client has to read, to unblock writing  --timeout-write            cut, or again
TUNNEL_READER  the same, through a tunnel                  --ws-send-timeout          cut, or again
LINGER         answered; what still arrives is dropped     2 s                        END
END            closed; the client may read what is left    --timeout-write            cut, or again
NOBODY         the connection is lost                      for ever                   -
=============  ==========================================  =========================  ==============

A deadline is set when the row is entered and stays as long as the row does: whoever sends a byte
now and then wins no time. *Again* enters the row anew; a reader gets that only when it has read
something since. The one exception is BODY, where each byte that arrives is a credit.

Every row but NOBODY has a deadline, so nothing that a peer can delay lasts for ever (unless its
option is off). What acts at a deadline is the connection: `wire.connection` and its subclasses.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from asgiserver.config.fields import Config

LINGER_TIME = 2.0
"""Seconds that a client may go on sending after an answer that ends the connection. Closing at once
would reset it, which can destroy the answer (RFC 9112 section 9.6)."""

LAST_TIME = 0.5
"""Seconds that a connection without any request so far has for its first one when the server stops:
it may have been accepted a moment ago."""

ANSWER_TIME = 2.0
"""Seconds from the last tick until a client that sends no more is taken for gone, while its answer
has not begun: a whole second, as the clock may be one behind."""

MIN_BODY_RATE = 240
"""Bytes a second at which a client has to send a body, on average over --timeout-request-body: each
byte extends the deadline by 1/240 s, up to the whole timeout from now. So one byte now and then
holds a connection no longer than silence does."""


class Reading(enum.IntEnum):
    """What the bytes are that arrive."""

    REQUESTS = 0
    BODY = 1  # the rest of a request
    TUNNEL = 2  # another protocol's
    DROPPED = 3  # the connection lingers
    NOTHING = 4  # the connection is closed


class Waiting(enum.IntEnum):
    """For whom a connection waits; see the table."""

    NOBODY = 0
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
    NOBODY, HEAD, IDLE, LAST, BODY, APPLICATION, HALF_CLOSED, ANSWER, READER, TUNNEL_READER, LINGER,
    END,
) = Waiting  # fmt: skip

Times: TypeAlias = "tuple[float, ...]"
"""Seconds from the entry into each row to its deadline, by the number of the row."""


def times_of(config: Config) -> Times:
    """What a configuration says, and what is always so."""
    seconds = {
        NOBODY: math.inf,
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
    """For whom an open connection waits now; `before` is for whom it did until now.

    `running`: a session is not at its end. `blocked`: nothing can be written until the client
    reads. `owed`: the rest of the body waits for the application, or for a 100 (Continue). `ended`:
    the client sends no more, but it may still read. `unsent`: nothing of the answer has left.
    `begun`: a part of the next head has come. `leaving`: it has just been told to end when it is
    idle.
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
    if begun or (before is NOBODY and not leaving):
        return HEAD
    if leaving or before is LAST:
        return LAST
    return HEAD if before is HEAD else IDLE  # an empty line is no request, and wins no time


def credited(deadline: float, received: int, now: float, times: Times) -> float:
    """The deadline of BODY, with the credit for `received` bytes; seconds of the clock."""
    return min(deadline + received / MIN_BODY_RATE, now + times[BODY])
