"""Which requests the access log leaves out."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from asgiserver.config.fields import Config
from asgiserver.log import thinning
from asgiserver.log.access import LoggerAccessLog, taker_of
from asgiserver.log.record import AccessRecord
from asgiserver.log.thinning import Thinning


def record(target: bytes = b"/", status: int = 200, **changes: Any) -> AccessRecord:
    duration, outcome = changes.get("duration", 0.1), changes.get("outcome", "ok")
    return AccessRecord(None, "GET", target, "1.1", status, 0, duration, outcome, [])


def kept(records: list[AccessRecord], **options: Any) -> list[AccessRecord]:
    found: list[AccessRecord] = []
    thinned = Thinning(found.append, Config(**options))
    for one in records:
        thinned.log(one)
    return found


def websocket(event: Any) -> AccessRecord:
    made = record(b"/ws", 101)
    made.event = event
    return made


def test_without_these_options_nothing_stands_in_between() -> None:
    log = LoggerAccessLog(logging.getLogger("tests.thinning"))
    assert taker_of(log, Config()) == log.log
    for options in ({"access_log_skip": "/x"}, {"access_log_sample": 0.5}, {"access_log_slow": 1}):
        assert taker_of(log, Config(**options)) != log.log


def test_paths_are_skipped_by_patterns_of_a_shell() -> None:
    health = [record(b"/healthz"), record(b"/health/db?verbose=1"), record(b"/live")]
    others = [record(b"/"), record(b"/api/health"), record(b"/live/stream"), record(b"/?/live")]
    assert kept([*health, *others], access_log_skip=("/health*", "/live")) == others


FAILED = [
    record(b"/live", 503),
    record(b"/live", 500, outcome="app_error"),
    record(b"/live", 499, outcome="client_gone"),
    record(b"/live", 413, outcome="refused"),
]


@pytest.mark.parametrize(
    "options",
    [{"access_log_skip": "/live"}, {"access_log_sample": 0}, {"access_log_slow": "10s"}],
)
def test_what_failed_is_always_logged(options: dict[str, Any]) -> None:
    assert kept([record(b"/live"), *FAILED, record(b"/live", 404)], **options) == FAILED


def test_only_slow_requests() -> None:
    slow = record(duration=1.0)
    assert kept([record(duration=0.99), slow], access_log_slow="1s") == [slow]


def test_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([0.05, 0.5, 0.0999, 0.1])
    monkeypatch.setattr(thinning.random, "random", lambda: next(numbers))
    four = [record(b"/%d" % n) for n in range(4)]
    assert kept(four, access_log_sample="10%") == [four[0], four[2]]


def test_both_lines_of_a_websocket_or_none() -> None:
    both = [websocket("websocket_open"), websocket("websocket_close")]
    assert kept(both, access_log_sample=0, access_log_slow=5) == both
    assert kept(both, access_log_skip="/ws") == []
