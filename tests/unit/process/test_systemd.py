import os
import socket
import subprocess
import sys

import pytest

from asgiserver.process.systemd import Notifier, inherited_sockets


@pytest.mark.parametrize("abstract", [False, True])
def test_notifies(tmp_path, monkeypatch, abstract):
    name = f"\0{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        monkeypatch.setenv("WATCHDOG_USEC", "3000000")
        notifier = Notifier()
        assert notifier.interval == 1.5
        notifier.ready("2 workers")
        assert systemd.recv(999) == f"READY=1\nMAINPID={os.getpid()}\nSTATUS=2 workers".encode()
        notifier.reloading()
        assert systemd.recv(999).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        notifier.alive()
        assert systemd.recv(999) == b"WATCHDOG=1"
    notifier.stopping()  # nobody listens: no matter


def test_without_systemd(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    notifier = Notifier()
    assert notifier.interval is None
    notifier.ready("")


def test_a_watchdog_of_another_process(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/nobody")
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert Notifier().interval is None


def test_sockets_for_somebody_else(monkeypatch):
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert inherited_sockets() == []
    assert os.environ["LISTEN_FDS"] == "1"


def test_sockets_for_this_process():
    program = """
import os
from asgiserver.process.systemd import inherited_sockets
os.environ["LISTEN_PID"] = str(os.getpid())
assert inherited_sockets() == [3, 4]
assert inherited_sockets() == []
"""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"},
            preexec_fn=lambda: (os.dup2(sock.fileno(), 3), os.dup2(sock.fileno(), 4)),
            close_fds=False,
            check=True,
        )
