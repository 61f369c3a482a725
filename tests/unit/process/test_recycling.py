"""When a worker that serves well is replaced."""

from asgiserver.config.fields import Config
from asgiserver.process.control import Beat
from asgiserver.process.recycling import Recycling


def limits(**options):
    return Recycling(Config("app:app", **options))


def test_without_limits_a_worker_serves_for_ever():
    assert limits().reason(Beat(rss=1 << 40, requests=1 << 40), 1e9) == ""


def test_by_requests_within_the_jitter():
    recycling = limits(limit_max_requests=100, limit_max_requests_jitter=50)
    assert not recycling.reason(Beat(requests=99), 1.0)
    assert recycling.reason(Beat(requests=150), 2.0) == "it has served 150 requests"


def test_by_age():
    recycling = limits(max_worker_age=60)
    assert not recycling.reason(Beat(), 59.0)
    assert recycling.reason(Beat(), 60.0) == "it is 60 s old"


def test_by_memory_that_stays_high():
    recycling = limits(max_worker_rss="1M")
    high, low = Beat(rss=2 << 20), Beat(rss=1 << 10)
    reasons = [recycling.reason(beat, 1.0) for beat in (high, high, low, high, high, high)]
    assert reasons == ["", "", "", "", "", "its memory is 2.0 MiB"]
