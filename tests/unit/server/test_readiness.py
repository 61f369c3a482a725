"""Readiness: written whole or not at all, taken back, never in place of somebody else's file."""

import json
import os
import socket

import pytest

from asgiserver import Config, ConfigError
from asgiserver.server.readiness import Readiness

ADDRESSES = ("http://127.0.0.1:8000", "unix:/run/s")
EXPECTED = {"addresses": list(ADDRESSES), "pid": os.getpid()}


@pytest.mark.parametrize("before", [None, "", '{"addresses": [], "pid": 1}\n'])
def test_file(tmp_path, before):
    path = tmp_path / "ready"
    if before is not None:
        path.write_text(before)
    readiness = Readiness(Config(ready_file=str(path)))
    readiness.check()
    assert path.exists() is (before is not None)
    readiness.announce(ADDRESSES)
    assert json.loads(path.read_text()) == EXPECTED
    assert os.listdir(tmp_path) == ["ready"]
    readiness.withdraw()
    readiness.withdraw()
    assert os.listdir(tmp_path) == []


def test_the_file_of_another_server_stays(tmp_path):
    path = tmp_path / "ready"
    first, second = (Readiness(Config(ready_file=str(path))) for _ in range(2))
    first.announce(ADDRESSES)
    second.announce(ADDRESSES[:1])
    first.withdraw()
    assert json.loads(path.read_text())["addresses"] == list(ADDRESSES[:1])
    second.withdraw()
    assert not path.exists()


def make_fifo(path):
    os.mkfifo(path)


def make_link(path):
    path.with_suffix(".target").write_text("{}")
    path.symlink_to(path.with_suffix(".target"))


def make_dangling_link(path):
    path.symlink_to(path.with_suffix(".target"))


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def make_file(path):
    path.write_text("precious")


KINDS = [make_fifo, make_link, make_dangling_link, make_socket, make_file, os.mkdir]


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_what_the_server_did_not_make_is_kept(tmp_path, make):
    path = tmp_path / "ready"
    make(path)
    before = os.lstat(path)
    names = sorted(os.listdir(tmp_path))
    readiness = Readiness(Config(ready_file=str(path)))
    for say in (readiness.check, lambda: readiness.announce(ADDRESSES)):
        with pytest.raises(ConfigError, match=r"ready_file: .*remove it, or name another"):
            say()
    readiness.withdraw()
    assert os.path.samestat(os.lstat(path), before)
    assert sorted(os.listdir(tmp_path)) == names


def test_descriptor():
    read_end, write_end = os.pipe()
    readiness = Readiness(Config(ready_fd=write_end))
    readiness.check()
    with open(read_end) as reader:
        readiness.announce(ADDRESSES)
        assert json.loads(reader.read()) == EXPECTED  # it has been closed: the read ends
    readiness.announce(ADDRESSES)  # not into what has got that number since


def test_a_descriptor_that_is_none():
    with pytest.raises(ConfigError, match="ready_fd: 987: Bad file descriptor"):
        Readiness(Config(ready_fd=987)).check()


def test_a_descriptor_for_reading():
    read_end, write_end = os.pipe()
    readiness = Readiness(Config(ready_fd=read_end))
    with open(read_end), open(write_end, "w"), pytest.raises(ConfigError, match="for writing"):
        readiness.check()


def test_a_reader_that_has_left():
    read_end, write_end = os.pipe()
    os.close(read_end)
    with pytest.raises(ConfigError, match=r"ready_fd: .*Broken pipe"):
        Readiness(Config(ready_fd=write_end)).announce(ADDRESSES)


def test_a_folder_that_is_missing():
    readiness = Readiness(Config(ready_file="/no/such/directory/x"))
    for say in (readiness.check, lambda: readiness.announce(ADDRESSES)):
        with pytest.raises(ConfigError, match=r"ready_file: .*No such file"):
            say()
