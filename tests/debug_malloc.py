"""Runs scripts in a process whose allocator checks how its memory is used."""

import os
import subprocess
import sys


def printed_by(script):
    """What `script` prints; the modules of the tests can be imported in it."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONMALLOC": "debug", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    return done.stdout + done.stderr
