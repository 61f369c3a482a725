"""The workflow that releases: it can be read, tries what it builds, and needs no secret."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"


@pytest.fixture
def jobs() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    return loaded["jobs"]


def test_nothing_needs_a_secret(jobs: dict[str, Any]) -> None:
    assert "secrets." not in WORKFLOW.read_text()
    assert jobs["publish"]["permissions"] == {"id-token": "write"}


def test_nothing_is_published_that_was_not_tried(jobs: dict[str, Any]) -> None:
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    source = "\n".join(step.get("run", "") for step in jobs["source"]["steps"])
    assert source.count("smoke.py") == 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "smoke.py core" in project["tool"]["cibuildwheel"]["test-command"]


def test_the_smoke_test_serves_a_request() -> None:
    done = subprocess.run(
        [sys.executable, "tests/wheel/smoke.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "served a request" in done.stdout


def test_the_smoke_test_sees_the_wrong_core() -> None:
    done = subprocess.run(
        [sys.executable, "tests/wheel/smoke.py", "core"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={"ASGISERVER_SPEEDUPS": "0", "PATH": ""},
    )
    assert done.returncode == 1
    assert "off by ASGISERVER_SPEEDUPS=0" in done.stderr
