"""The wires that the suite runs on. A new one adds a client of its own here and passes the suite.

A client speaks of methods, targets, fields, bodies and messages; only its module knows bytes. What
a test may ask of it is what `h1_wire.H1Wire` and the classes that it returns offer.
"""

import pytest
from h1_wire import H1Wire

WIRES = {"h1-httptools": lambda: H1Wire("httptools"), "h1-h11": lambda: H1Wire("h11")}


@pytest.fixture(params=WIRES)
async def wire(request, task_start):
    """A client of one wire; applications start in both ways."""
    wire = WIRES[request.param]()
    yield wire
    for server in wire.servers:
        await server.finish()
