"""The wires that the suite runs on. A new wire adds its client here, and then passes the suite.

A client speaks of methods, targets, fields, bodies and messages; only its module knows bytes. The
tests use the methods of `h1_wire.H1Wire` and of the classes that it returns.
"""

import pytest
from h1_wire import H1Wire
from h2_wire import H2Wire

from asgiserver import speedups

WIRES = {"h1-httptools": lambda: H1Wire("httptools"), "h1-h11": lambda: H1Wire("h11"), "h2": H2Wire}
if speedups.is_used:
    WIRES = {"h1-core": lambda: H1Wire("auto"), **WIRES}


@pytest.fixture(params=WIRES)
async def wire(request, task_start):
    """A client of each wire, with both ways to start an application."""
    wire = WIRES[request.param]()
    yield wire
    for server in wire.servers:
        await server.finish()
