"""Every row of the table of how an exchange ends, at every stage."""

from __future__ import annotations

from logging import DEBUG, ERROR, WARNING
from typing import get_args

import pytest

from asgiserver.asgi import ending
from asgiserver.asgi.ending import Act, Ending, Stage, Way, ending_of, way_of_cancelling
from asgiserver.types import Outcome

ANSWER, CUT, CLOSE, LOSE, NOTHING = Act.ANSWER, Act.CUT, Act.CLOSE, Act.LOSE, Act.NOTHING

UNSENT = {
    Way.GONE: Ending(LOSE, "client_gone", 499),
    Way.UNREAD: Ending(LOSE, "timeout", 499),
    Way.REFUSED: Ending(ANSWER, "refused"),
    Way.LATE: Ending(ANSWER, "timeout", 504, level=WARNING),
    Way.STOPPED: Ending(ANSWER, "shutdown", 503),
    Way.LEFT: Ending(CUT, "client_gone", 499, level=DEBUG),
    Way.DRAINED: Ending(CUT, "shutdown", 503, level=DEBUG),
    Way.FAILED: Ending(ANSWER, "app_error", 500, level=ERROR),
    Way.UNFINISHED: Ending(ANSWER, "app_error", 500, level=ERROR),
}
BEGUN = {
    Way.GONE: Ending(LOSE, "client_gone", 499),
    Way.UNREAD: Ending(LOSE, "timeout"),
    Way.REFUSED: Ending(CUT, "refused"),
    Way.LATE: Ending(CUT, "timeout", level=WARNING),
    Way.STOPPED: Ending(CUT, "shutdown"),
    Way.LEFT: Ending(CUT, "client_gone", 499, level=DEBUG),
    Way.DRAINED: Ending(CUT, "shutdown", level=DEBUG),
    Way.FAILED: Ending(CUT, "app_error", level=ERROR),
    Way.UNFINISHED: Ending(CUT, "app_error", level=ERROR),
}
OPEN = {
    Way.GONE: Ending(LOSE, "client_gone"),
    Way.UNREAD: Ending(LOSE, "timeout"),
    Way.REFUSED: Ending(NOTHING, "refused"),
    Way.LATE: Ending(CLOSE, "timeout", code=1011, level=WARNING),
    Way.STOPPED: Ending(CLOSE, "shutdown", code=1012),
    Way.LEFT: Ending(NOTHING, "client_gone", level=DEBUG),
    Way.DRAINED: Ending(NOTHING, "shutdown", level=DEBUG),
    Way.FAILED: Ending(CLOSE, "app_error", code=1011, level=ERROR),
    Way.UNFINISHED: Ending(CLOSE, "ok", code=1000),
}
OVER = {
    Way.GONE: Ending(NOTHING, "client_gone"),
    Way.UNREAD: Ending(NOTHING, "timeout"),
    Way.REFUSED: Ending(NOTHING, "refused"),
    Way.LATE: Ending(NOTHING, "timeout"),
    Way.STOPPED: Ending(NOTHING, "shutdown"),
    Way.LEFT: Ending(NOTHING, "client_gone", level=DEBUG),
    Way.DRAINED: Ending(NOTHING, "shutdown", level=DEBUG),
    Way.FAILED: Ending(NOTHING, "app_error", level=ERROR),
    Way.UNFINISHED: Ending(NOTHING, "app_error"),
}
CLOSING = OVER | {
    Way.GONE: Ending(LOSE, "client_gone"),
    Way.UNREAD: Ending(LOSE, "timeout"),
}
STAGES = {
    Stage.UNSENT: UNSENT,
    Stage.BEGUN: BEGUN,
    Stage.OPEN: OPEN,
    Stage.CLOSING: CLOSING,
    Stage.OVER: OVER,
}


@pytest.mark.parametrize("way", Way, ids=lambda way: way.name)
@pytest.mark.parametrize("stage", Stage, ids=lambda stage: stage.name)
def test_each_way_to_end_at_each_stage(way: Way, stage: Stage) -> None:
    assert ending_of(way, stage) == STAGES[stage][way]


def test_the_docstring_has_a_row_for_each_way() -> None:
    doc = ending.__doc__ or ""
    table = doc.split("\n\n")[1].splitlines()[3:-1]
    assert [line.split()[0] for line in table] == [way.name for way in Way]
    for line, way in zip(table, Way, strict=True):
        assert ending_of(way, Stage.UNSENT).outcome in line.split()


@pytest.mark.parametrize(
    ("reason", "way"),
    [("client_gone", Way.LEFT), ("timeout", Way.LATE), ("shutdown", Way.STOPPED)],
)
def test_why_an_application_was_cancelled(reason: Outcome, way: Way) -> None:
    assert way_of_cancelling(reason) is way
    assert ending_of(way, Stage.UNSENT).outcome == reason


def test_an_ending_has_a_known_outcome() -> None:
    found = {ending_of(way, stage).outcome for way in Way for stage in Stage}
    assert found == set(get_args(Outcome)) - {"protocol_error"}
