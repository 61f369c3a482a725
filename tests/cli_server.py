"""The command in a process of its own, as a user starts it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
WAIT = 60.0
"""Seconds after which a test gives up waiting for the process."""


class Command:
    """``python -m asgiserver ...`` in `folder`; the server prints to the file `output`.

    The descriptors `stdout` and `stderr`, where given, are used instead.
    """

    def __init__(self, folder, *args, env=None, pass_fds=(), ready=True, stdout=None, stderr=None):
        self.output_path = folder / "output"
        self._ready, write_end = os.pipe()
        flags = ["--ready-fd", str(write_end)] if ready else []
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ASGISERVER_", "UVICORN_", "PYTHON"))
        }
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(env or {})}
        with open(self.output_path, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "asgiserver", *args, *flags],
                cwd=folder,
                env=environment,
                stdout=output if stdout is None else stdout,
                stderr=output if stderr is None else stderr,
                pass_fds=(write_end, *pass_fds),
            )
        os.close(write_end)
        self.ready = None

    def close(self):
        os.close(self._ready)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def output(self):
        return self.output_path.read_text()

    def wait_ready(self):
        """Wait until requests are served, and return the addresses."""
        data = b""
        while part := os.read(self._ready, 4096):
            data += part
        assert data, f"did not start: {self.output}"
        self.ready = json.loads(data)
        assert self.ready["pid"] == self.process.pid
        return self.ready["addresses"]

    def wait_output(self, text):
        """Wait until `text` is in the output."""
        self.wait_matches(re.escape(text), 1)

    def wait_matches(self, pattern, count):
        """Wait until `pattern` is `count` times in the output, whose lines are looked at alone."""
        expression = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + WAIT
        while True:
            has_ended = self.process.poll() is not None  # first: what it prints last comes before
            if len(expression.findall(self.output)) >= count:
                return
            assert not has_ended, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.01)

    def kill(self, number=signal.SIGINT):
        self.process.send_signal(number)

    def wait(self):
        """Wait for the end of the process, and return its exit code."""
        return self.process.wait(WAIT)

    def connect(self, address=None):
        address = address or self.ready["addresses"][0]
        if address.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(WAIT)
            sock.connect(address[5:])
            return sock
        host, port = re.fullmatch(r"http://\[?(.*?)\]?:(\d+)", address).groups()
        return socket.create_connection((host, int(port)), WAIT)

    def get(self, path="/", address=None):
        """The whole response to a GET."""
        with self.connect(address) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            data = b""
            while part := sock.recv(65536):
                data += part
        return data
