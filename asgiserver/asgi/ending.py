"""How an exchange ends early: one table, decided without I/O, for every kind of session.

==========  =========================================  ===========  ============  =========  =======
It ends as  when                                       outcome      nothing sent  tunnel     log
==========  =========================================  ===========  ============  =========  =======
GONE        the client is lost                         client_gone  lost, 499     lost       -
UNREAD      the client does not read what is sent      timeout      lost, 499     lost       -
REFUSED     the request is broken, or one too many     refused      its answer    -          [1]_
LATE        it lasts for --timeout-request             timeout      504           1011       warning
STOPPED     the server stops, and has cancelled it     shutdown     503           1012       -
LEFT        the application knew that the client left  client_gone  cut, 499      -          debug
DRAINED     the application knew of the server's stop  shutdown     cut, 503      -          debug
FAILED      the application has raised                 app_error    500           1011       error
UNFINISHED  the application has returned too early     app_error    500           1000 [2]_  error
==========  =========================================  ===========  ============  =========  =======

A number is the status of an answer in the application's place, or the code of a close frame. An
answer that has begun is cut (for GONE and UNREAD it is lost), and the access log has its status,
but 499 for GONE and LEFT. When a session is over, or closing, FAILED, LEFT and DRAINED are logged,
and nothing else happens, except that a closing tunnel can be lost.

.. [1] The access log has a line for it; without an access log, `log.refusals` has one.
.. [2] This end is in good order: the outcome is ``ok``, and nothing is logged.
"""

from __future__ import annotations

import enum
from logging import DEBUG, ERROR, WARNING
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asgiserver.types import Outcome

CLIENT_CLOSED_REQUEST = 499
"""The status that is logged for a request whose client left early; nginx introduced it."""


class Way(enum.Enum):
    """The ways in which an exchange ends early; see the table."""

    GONE = enum.auto()
    UNREAD = enum.auto()
    REFUSED = enum.auto()
    LATE = enum.auto()
    STOPPED = enum.auto()
    LEFT = enum.auto()
    DRAINED = enum.auto()
    FAILED = enum.auto()
    UNFINISHED = enum.auto()


class Stage(enum.Enum):
    """How far an exchange has come."""

    UNSENT = enum.auto()  # nothing of the answer is on the wire
    BEGUN = enum.auto()  # a part of the answer is on the wire, but not its end
    OPEN = enum.auto()  # a tunnel is open
    CLOSING = enum.auto()  # the tunnel is being closed
    OVER = enum.auto()


class Act(enum.Enum):
    """What a session has to do."""

    NOTHING = enum.auto()
    LOSE = enum.auto()  # end without a word, because the peer is gone
    ANSWER = enum.auto()  # send a short answer in the application's place
    CUT = enum.auto()  # break off, so that the client sees that the answer is not whole
    CLOSE = enum.auto()  # begin the closing handshake


class Ending(NamedTuple):
    """What happens when an exchange ends early."""

    act: Act
    outcome: Outcome
    status: int = 0  # of the answer, or for the access log; 0: the status that was sent
    code: int = 0  # of the close frame
    level: int = 0  # of the line in the server's log; 0: there is no line


class _Row(NamedTuple):
    outcome: Outcome
    unsent: tuple[Act, int]  # what to do at Stage.UNSENT, and the status
    code: int = 0  # of the close frame, when a tunnel is open
    level: int = 0
    begun: tuple[Act, int] = (Act.CUT, 0)


_LOST = Act.LOSE, CLIENT_CLOSED_REQUEST
_ROWS = {
    Way.GONE: _Row("client_gone", _LOST, begun=_LOST),
    Way.UNREAD: _Row("timeout", _LOST, begun=(Act.LOSE, 0)),
    Way.REFUSED: _Row("refused", (Act.ANSWER, 0)),
    Way.LATE: _Row("timeout", (Act.ANSWER, 504), 1011, WARNING),
    Way.STOPPED: _Row("shutdown", (Act.ANSWER, 503), 1012),
    Way.LEFT: _Row(
        "client_gone",
        (Act.CUT, CLIENT_CLOSED_REQUEST),
        level=DEBUG,
        begun=(Act.CUT, CLIENT_CLOSED_REQUEST),
    ),
    Way.DRAINED: _Row("shutdown", (Act.CUT, 503), level=DEBUG),
    Way.FAILED: _Row("app_error", (Act.ANSWER, 500), 1011, ERROR),
    Way.UNFINISHED: _Row("app_error", (Act.ANSWER, 500), 1000, ERROR),
}


def ending_of(way: Way, stage: Stage) -> Ending:
    """What happens to an exchange that ends in this `way` at this `stage`."""
    row = _ROWS[way]
    if stage is Stage.UNSENT or stage is Stage.BEGUN:
        act, status = row.unsent if stage is Stage.UNSENT else row.begun
        return Ending(act, row.outcome, status, level=row.level)
    if way in (Way.GONE, Way.UNREAD) and stage is not Stage.OVER:
        return Ending(Act.LOSE, row.outcome)
    if stage is Stage.OPEN and way is Way.UNFINISHED:
        return Ending(Act.CLOSE, "ok", code=row.code)
    if stage is Stage.OPEN and row.code:
        return Ending(Act.CLOSE, row.outcome, code=row.code, level=row.level)
    logged = way in (Way.FAILED, Way.LEFT, Way.DRAINED)
    return Ending(Act.NOTHING, row.outcome, level=row.level if logged else 0)


def way_of_cancelling(reason: Outcome) -> Way:
    """The way in which an exchange ends when the server has cancelled it for `reason`."""
    if reason == "client_gone":
        return Way.LEFT
    return Way.LATE if reason == "timeout" else Way.STOPPED
