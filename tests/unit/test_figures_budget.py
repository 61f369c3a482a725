"""What it costs to count a request, for --admin."""

from __future__ import annotations

import sys

import pytest

import asgiserver
from asgiserver import speedups
from benchmarks.budget import Bench, count_bytecodes, no_time_between_outputs
from benchmarks.scenarios import SCENARIOS

MOST = 40 if speedups.is_used else 150  # beside the 800 or 1,000 of a plain GET
"""Bytecodes for each request. Lower it with every gain, raise it only with a reason."""


class MeasuredBench(Bench):
    """A bench whose server counts outcomes and durations, as with --admin."""

    @staticmethod
    async def _start(config):
        server = asgiserver.Server(config)
        server.measure()
        await server.start()
        return server


@pytest.mark.skipif(sys.version_info < (3, 12), reason="bytecodes are counted from 3.12 on")
def test_a_request_is_counted_with_few_bytecodes():
    executed = []
    with no_time_between_outputs():
        for kind in (Bench, MeasuredBench):
            bench = kind(SCENARIOS["get"])
            for _ in range(50):
                bench.request()
            # The least counts, because a tick of the clock may come in between.
            executed.append(min(count_bytecodes(bench) for _ in range(3)))
            bench.close()
    plain, measured = executed
    assert 0 < measured - plain <= MOST
