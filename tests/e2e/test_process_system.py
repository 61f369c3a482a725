"""What the system sees of the processes: process 1, titles, users, memory."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import h11
import pytest
from process_server import APP, DEADLINE, ServerProcess, child_pids, wait_until_gone

import asgiserver
from asgiserver.server.memory import own_and_shared_bytes, size_text

# Process 1 ------------------------------------------------------------------------------------

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
THROUGH_UNSHARE = f"""
import os, sys
os.execvp("unshare", [*{UNSHARE!r}, sys.executable, *sys.argv[1:]])
"""

# The shell ends at once: what it has started is process 1's from then on, until a line comes.
LEAVE_AN_ORPHAN = """
import subprocess

def run():
    subprocess.run("(read line) < gate & ", shell=True, check=True)
"""


@pytest.fixture
def _may_unshare():
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no process namespaces here: {tried.stderr.strip()}")


@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is not installed")
@pytest.mark.usefixtures("_may_unshare")
def test_as_process_1_it_buries_strangers_and_counts_only_workers(tmp_path):
    os.mkfifo(tmp_path / "gate")
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    (tmp_path / "orphan.py").write_text(LEAVE_AN_ORPHAN)
    options = ("--workers", "2", "--run-once", "orphan:run")
    with ServerProcess(tmp_path, *options, through=THROUGH_UNSHARE) as server:
        server.see(r"Supervisor started \(pid 1\)")
        server.ready()
        (first,) = child_pids(server.process.pid)
        children = child_pids(first)
        assert len(children) == 3
        (orphan,) = [pid for pid in children if b"asgiserver" not in command_line(pid)]
        os.write(gate, b"end\n")
        wait_until_gone([orphan])
        worker = next(pid for pid in children if pid != orphan)
        os.kill(worker, signal.SIGKILL)
        server.see("is ready", 3)
        children = child_pids(first)
        assert len(children) == 2  # the orphan is no zombie either
        assert server.log.count(" died: ") == 1
        assert server.get()["version"] == 1

        os.kill(first, signal.SIGUSR2)
        server.see("process 1 cannot be succeeded")
        os.kill(first, signal.SIGTERM)
        assert server.wait() == 0
        wait_until_gone([first, *children])
    os.close(gate)


# Titles ---------------------------------------------------------------------------------------


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes().strip(b"\0")


def test_process_titles(tmp_path):
    pytest.importorskip("setproctitle")
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        assert command_line(server.process.pid) == b"asgiserver: supervisor [app:app]"
        assert {command_line(pid) for pid in server.worker_pids()} == {
            b"asgiserver: worker 0 [app:app]",
            b"asgiserver: worker 1 [app:app]",
        }
        assert server.stop() == 0


# Users ----------------------------------------------------------------------------------------

NOBODY = "nobody"


@pytest.fixture
def public_folder():
    """A folder that everybody can read, with the application and what the server consists of."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    for package in (asgiserver, click, h11):
        source = Path(package.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / source.name, ignore=ignored)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def public_python(public_folder):
    """An interpreter that everybody can execute."""
    for python in (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin")):
        if python is None:
            continue
        environ = {"PYTHONPATH": str(public_folder), "PYTHONDONTWRITEBYTECODE": "1"}
        tried = [
            python,
            "-c",
            "import sys, asgiserver.cli.main; sys.exit(sys.version_info < (3, 11))",
        ]
        try:
            subprocess.run(
                tried, env=environ, cwd="/", user=NOBODY, check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    return pytest.skip("no interpreter here that the user nobody can execute")


def identity(pid: int) -> tuple[list[str], list[str], list[str]]:
    """Its users, its groups (real, effective, saved, of files), and its supplementary groups."""
    text = Path(f"/proc/{pid}/status").read_text()
    uid, gid, groups = (re.search(rf"^{k}:(.*)$", text, re.M) for k in ("Uid", "Gid", "Groups"))
    return uid[1].split(), gid[1].split(), groups[1].split()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_becomes_another_user_once_it_is_bound(public_folder, public_python):
    (public_folder / "app.py").write_text(APP)
    (public_folder / "app.py").chmod(0o644)
    become = f"""
import os, sys
os.execv({public_python!r}, [{public_python!r}, *sys.argv[1:]])
"""
    options = ("--workers", "2", "--user", NOBODY, "--lifespan", "off")
    environ = {"PYTHONPATH": str(public_folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with ServerProcess(
        public_folder, *options, "--http", "h11", "--loop", "asyncio", through=become, **environ
    ) as server:
        server.ready()
        entry = pwd.getpwnam(NOBODY)
        expected = ([str(entry.pw_uid)] * 4, [str(entry.pw_gid)] * 4)
        for pid in (server.process.pid, *server.worker_pids()):
            users, groups, others = identity(pid)
            assert (users, groups) == expected
            assert "0" not in others
        server.restart()
        server.see("has ended", 2)
        assert server.get()["pid"] in server.worker_pids()

        server.signal(signal.SIGUSR2)
        new = int(server.see(r"The new supervisor \(pid (\d+)\) (?:serves|failed)")[1])
        assert server.process.wait(DEADLINE) == 0, server.log
        assert identity(new)[:2] == expected
        os.kill(new, signal.SIGTERM)
        wait_until_gone([new])


# Memory ---------------------------------------------------------------------------------------

FASTAPI = APP.replace("import asyncio", "import fastapi, asyncio", 1)


def proportional_bytes(pid: int) -> int:
    """Its memory, with what it shares divided among those who share it."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss: +(\d+) kB", text, re.M)[1]) * 1024


@pytest.mark.soak
def test_preload_saves_memory(tmp_path, capsys):
    """Prints what docs/processes.md says."""
    pytest.importorskip("fastapi")
    (tmp_path / "app.py").write_text(FASTAPI)
    own, everything = {}, {}
    for how, options in {"without": (), "with": ("--preload",)}.items():
        with ServerProcess(tmp_path, "--workers", "4", *options) as server:
            server.ready()
            for _ in range(400):
                server.get()
            workers = server.worker_pids()
            sizes = [own_and_shared_bytes(pid) for pid in workers]
            everything[how] = sum(map(proportional_bytes, [server.process.pid, *workers]))
            assert server.stop() == 0
        own[how], shared = (sum(size) / len(sizes) for size in zip(*sizes, strict=True))
        with capsys.disabled():
            texts = map(size_text, (own[how], shared, everything[how]))
            print("\n{} preload: own {}, shared {}; all processes {}".format(how, *texts))
    assert own["with"] < own["without"] / 2
    assert everything["with"] < everything["without"] / 1.5
