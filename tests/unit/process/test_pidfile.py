import os
import subprocess
import sys

import pytest

from asgiserver.errors import ConfigError
from asgiserver.process.pidfile import PidFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "server.pid"


def test_lives_as_long_as_the_server(path):
    pidfile = PidFile(str(path))
    pidfile.open()
    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.close()
    assert not path.exists()
    pidfile.close()


def test_a_stale_one_is_replaced_even_if_its_number_is_in_use(path):
    path.write_text(f"{os.getppid()}\n")
    pidfile = PidFile(str(path))
    pidfile.open()
    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.close()


def test_a_living_one_is_respected(path):
    program = f"""
import sys
from asgiserver.process.pidfile import PidFile
PidFile({str(path)!r}).open()
print("open", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(ConfigError, match=f"running server .pid {other.pid}"):
            PidFile(str(path)).open()
        successor = PidFile(str(path))
        successor.open(predecessor=other.pid)
        assert path.read_text() == f"{os.getpid()}\n"
        other.stdin.close()
        other.wait()
    assert path.exists()  # the other one left it alone
    successor.close()
    assert not path.exists()


def test_only_one_takes_a_file_that_is_left_over(path):
    program = f"""
import sys
from asgiserver.errors import ConfigError
from asgiserver.process.pidfile import PidFile
sys.stdin.readline()
try:
    PidFile({str(path)!r}).open()
    print("open", flush=True)
except ConfigError as exc:
    print(exc, flush=True)
sys.stdin.read()
"""
    for left_over in (True, False):
        if left_over:
            path.write_text("1\n")
        others = [
            subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for _ in range(4)
        ]
        for other in others:
            other.stdin.write(b"\n")
            other.stdin.flush()
        lines = [other.stdout.readline() for other in others]
        (winner,) = [other for other, line in zip(others, lines, strict=True) if line == b"open\n"]
        assert path.read_text() == f"{winner.pid}\n"
        for other in others:
            other.communicate()
        assert os.listdir(path.parent) == [path.name]
        path.unlink()


def make_fifo(path):
    os.mkfifo(path)


def make_link(path):
    path.with_suffix(".target").write_text("1\n")
    path.symlink_to(path.with_suffix(".target"))


def make_file(path):
    path.write_text("precious")


@pytest.mark.parametrize(
    "make", [make_fifo, make_link, make_file, os.mkdir], ids=lambda make: make.__name__
)
def test_what_is_no_pid_file_is_kept(path, make):
    make(path)
    before = os.lstat(path)
    pidfile = PidFile(str(path))
    with pytest.raises(ConfigError, match=r"pid: .*remove it, or name another"):
        pidfile.open()
    pidfile.close()
    assert os.path.samestat(os.lstat(path), before)


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        PidFile(str(tmp_path / "nowhere" / "server.pid")).open()
