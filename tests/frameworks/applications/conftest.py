"""Large applications, which `make test-applications` installs into an environment of their own.

In an environment without them, these tests are not collected.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "browser"))

if importlib.util.find_spec("gradio_client") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from chromium import Browser, chromium

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 240  # seconds for a test; the import of an application is slow on a busy machine
PAGE_SHOWN_IN = 60  # seconds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder more time than others have."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(PATIENCE))


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A headless Chromium; without a browser the test is skipped."""
    async with chromium(tmp_path / "profile", PAGE_SHOWN_IN) as browser:
        yield browser
