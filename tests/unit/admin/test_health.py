"""When a server counts as alive, started and ready."""

from __future__ import annotations

import math

import pytest
from states import server, worker

from asgiserver.admin.health import live, ready, started


@pytest.mark.parametrize(
    ("state", "verdicts"),
    [
        pytest.param(server(worker()), (True, True, True), id="all is well"),
        pytest.param(
            server(worker(silence=1.9)), (True, True, True), id="a loop that is only busy"
        ),
        pytest.param(
            server(worker(silence=4)), (True, True, False), id="blocked, but not for long"
        ),
        pytest.param(server(worker(silence=11)), (False, True, False), id="wedged"),
        pytest.param(
            server(worker(silence=11), worker(1)),
            (True, True, True),
            id="one of two is wedged, and is replaced",
        ),
        pytest.param(
            server(worker(silence=71), worker(1)),
            (False, True, True),
            id="one of two is wedged, and was not replaced",
        ),
        pytest.param(
            server(worker(silence=11), worker(1), stuck_after=math.inf),
            (False, True, True),
            id="one of two is wedged, and nobody replaces it",
        ),
        pytest.param(
            server(worker(silence=11), worker(1, silence=12)),
            (False, True, False),
            id="all are wedged",
        ),
        pytest.param(
            server(worker(silence=4), stuck_after=3.0, replaces=False),
            (False, True, False),
            id="--timeout-worker-stuck says when a loop is wedged",
        ),
        pytest.param(
            server(worker(phase="starting"), started=False), (True, False, False), id="starting"
        ),
        pytest.param(
            server(worker(phase="starting")), (True, True, False), id="the only worker is replaced"
        ),
        pytest.param(server(worker(), stopping=True), (True, True, False), id="draining"),
        pytest.param(server(), (True, True, False), id="every worker has crashed"),
    ],
)
def test_verdicts(state, verdicts):
    assert (live(state).passed, started(state).passed, ready(state).passed) == verdicts


def test_the_reason_is_always_said():
    assert ready(server(worker(), stopping=True)).text(verbose=False) == "stopping\n"
    assert ready(server(worker())).text(verbose=False) == "ready\n"


def test_verbose_names_each_worker():
    state = server(
        worker(), worker(1, silence=12.34), worker(2, phase="draining", reason="it is 60 s old")
    )
    assert live(state).text(verbose=True).splitlines() == [
        "[+] live",
        "[+] worker 0 (pid 100): ready",
        "[-] worker 1 (pid 101): its event loop has not turned for 12.3 s",
        "[-] worker 2 (pid 102): draining: it is 60 s old",
    ]
