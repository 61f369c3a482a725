"""Readiness: written whole or not at all, and taken back."""

import json
import os

import pytest

from asgiserver import Config, StartupError
from asgiserver.server.readiness import announce_ready, withdraw_ready

ADDRESSES = ("http://127.0.0.1:8000", "unix:/run/s")
EXPECTED = {"addresses": list(ADDRESSES), "pid": os.getpid()}


def test_file(tmp_path):
    path = tmp_path / "ready"
    path.write_text("of another run")
    config = Config(ready_file=str(path))
    announce_ready(config, ADDRESSES)
    assert json.loads(path.read_text()) == EXPECTED
    assert os.listdir(tmp_path) == ["ready"]
    withdraw_ready(config)
    withdraw_ready(config)
    assert os.listdir(tmp_path) == []


def test_descriptor():
    read_end, write_end = os.pipe()
    with open(read_end) as reader:
        announce_ready(Config(ready_fd=write_end), ADDRESSES)
        assert json.loads(reader.read()) == EXPECTED  # it has been closed: the read ends
    withdraw_ready(Config())


@pytest.mark.parametrize("options", [{"ready_file": "/no/such/directory/x"}, {"ready_fd": 987}])
def test_what_cannot_be_written_is_a_start_error(options):
    with pytest.raises(StartupError, match="readiness"):
        announce_ready(Config(**options), ADDRESSES)
