"""Runs programs that start a server to their end, in a process group that ends with the test."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[1]
WAIT = 100.0
"""Seconds after which a test gives up waiting for a program."""


class Ended:
    """The end of a program: its exit code, and all that the program and its children printed."""

    def __init__(self, code, output):
        self.code = code
        self.output = output


def run_program(folder, *words, python=(), env=None, stop_at=None):
    """Run ``python WORDS`` in `folder` to its end; `python` are flags of the interpreter.

    The program gets SIGTERM once it has printed `stop_at`.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ASGISERVER_", "UVICORN_", "PYTHON"))
    }
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(env or {})}
    process = subprocess.Popen(
        [sys.executable, *python, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    too_late = threading.Timer(WAIT, os.killpg, (process.pid, signal.SIGKILL))
    too_late.start()
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if stop_at is not None and stop_at in line:
                process.terminate()
        process.wait()
    finally:
        too_late.cancel()
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        process.stdout.close()
    output = "".join(lines)
    assert process.returncode != -signal.SIGKILL, f"the program does not end: {output}"
    return Ended(process.returncode, output)
