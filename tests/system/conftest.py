"""Makes the helpers of this directory importable, and makes the machines that some tests need."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hosts import Edge


@pytest.fixture
def edge():
    """The network of two hosts; the test runs on the machine in front of them."""
    with Edge() as edge:
        yield edge
