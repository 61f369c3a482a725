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


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        PidFile(str(tmp_path / "nowhere" / "server.pid")).open()
