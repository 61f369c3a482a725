"""A terminal window that is closed while a server runs in it."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from pki import Authority
from process_server import DEADLINE, wait_until_gone

APP = """
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    open("shutdowns", "a").write("x")
    await send({"type": "lifespan.shutdown.complete"})
"""

# What an interactive shell does: it has the terminal, gives the server a process group of its own,
# and passes a hang-up on.
SHELL = """
import fcntl, os, signal, subprocess, sys, termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
job = subprocess.Popen(sys.argv[1:], process_group=0)
signal.signal(signal.SIGHUP, lambda *_: (os.killpg(job.pid, signal.SIGHUP), os._exit(0)))
print(job.pid, flush=True)
signal.pause()
"""


class Window:
    """A terminal with a server in it."""

    def __init__(self, folder, *options, nohup=False):
        (folder / "app.py").write_text(APP)
        self._text = b""
        self.master, slave = pty.openpty()
        command = [sys.executable, "-m", "asgiserver", "app:app", "--port", "0", *options]
        if nohup:
            command = ["nohup", *command]
        self._shell = subprocess.Popen(
            [sys.executable, "-c", SHELL, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.job = int(self.see(rb"(\d+)\r\n")[1])

    def see(self, pattern):
        """Wait until something is on the screen."""
        end = time.monotonic() + DEADLINE
        while not (found := re.search(pattern, self._text)):
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, self._text
            self._text += os.read(self.master, 65536)
        self._text = self._text[found.end() :]
        return found

    def close(self):
        """What ends the shell, and what it started."""
        os.close(self.master)
        self.master = -1
        self._shell.wait(DEADLINE)

    def clean_up(self):
        """Whatever has come of it."""
        if self.master >= 0:
            os.close(self.master)
        self._shell.kill()
        self._shell.wait()


@contextmanager
def window(folder, *options, **arguments):
    window = Window(folder, *options, **arguments)
    try:
        yield window
    finally:
        window.clean_up()
        try:
            os.killpg(window.job, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.mark.parametrize("mode", ["reload", "one process", "one process with TLS"])
def test_it_ends_with_its_terminal(tmp_path, mode):
    options = ["--reload"] if mode == "reload" else []
    if mode == "one process with TLS":
        certificate, key = Authority().issue("localhost").write(tmp_path, "server")
        options = ["--ssl-certfile", certificate, "--ssl-keyfile", key]
    with window(tmp_path, *options) as terminal:
        terminal.see(rb"Serving on")
        terminal.close()
        wait_until_gone([terminal.job])
    assert (tmp_path / "shutdowns").read_text() == "x"


def test_reload_restarts_on_sighup_while_the_terminal_is_there(tmp_path):
    with window(tmp_path, "--reload") as terminal:
        terminal.see(rb"Serving on")
        os.kill(terminal.job, signal.SIGHUP)
        terminal.see(rb"Restart complete")
        terminal.close()
        wait_until_gone([terminal.job])


@pytest.mark.parametrize("options", [(), ("--uds", "s.sock")], ids=["a port", "a path"])
def test_one_process_serves_on_after_sighup(tmp_path, options):
    with window(tmp_path, *options) as terminal:
        terminal.see(rb"Serving on")
        os.kill(terminal.job, signal.SIGHUP)
        terminal.see(rb"SIGHUP: nothing is read again")
        os.kill(terminal.job, signal.SIGTERM)
        wait_until_gone([terminal.job])
    assert (tmp_path / "shutdowns").read_text() == "x"


def test_reload_outlives_its_terminal_under_nohup(tmp_path):
    with window(tmp_path, "--reload", nohup=True) as terminal:
        wait_for_text(tmp_path / "nohup.out", "Serving on")
        terminal.close()
        wait_for_text(tmp_path / "nohup.out", "Restart complete")
        os.kill(terminal.job, signal.SIGTERM)
        wait_until_gone([terminal.job])
    assert (tmp_path / "shutdowns").read_text() == "xx"


def wait_for_text(path, text):
    end = time.monotonic() + DEADLINE
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
