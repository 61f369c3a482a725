"""The ground of a run: the pinned environment, the tools, the certificate and the machine.

It knows nothing of cases or servers.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VERSION = "3.13"  # the targets are stated for this Python


class BenchmarkError(Exception):
    """The benchmark cannot run; the message is one line that names the fix."""


@dataclass(frozen=True)
class Environment:
    """The interpreter with all peers, and the directory for built and generated files."""

    python: Path

    @property
    def directory(self) -> Path:
        return self.python.parent.parent

    def tool(self, name: str) -> str:
        """The path of a command that a peer installed."""
        return str(self.python.parent / name)

    def certificate(self) -> tuple[Path, Path]:
        """A self-signed certificate for 127.0.0.1 and its PKCS#8 key, made on first use."""
        cert, key = self.directory / "cert.pem", self.directory / "key.pem"
        if not cert.exists():
            require("openssl", "openssl")
            command = (
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
                " -days 3650 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
            )
            run([*command.split(), "-keyout", str(key), "-out", str(cert)])
        return cert, key

    def made_file(self, name: str, content: bytes) -> Path:
        """A file with this content."""
        path = self.directory / name
        path.write_bytes(content)
        return path

    def websocket_load(self) -> str:
        """The WebSocket load generator, compiled when it is missing or older than its source."""
        source, program = HERE / "load" / "ws_load.c", self.directory / "ws_load"
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            require("cc", "gcc")
            run(["cc", "-O2", "-o", str(program), str(source)])
        return str(program)


Found = TypeVar("Found")


def find(registry: dict[str, Found], name: str) -> Found:
    """The entry of this name. Raises `BenchmarkError` naming the closest one."""
    if name in registry:
        return registry[name]
    close = difflib.get_close_matches(name, registry, 1)
    hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(registry)}"
    raise BenchmarkError(f"unknown name {name!r}: {hint}")


def require(tool: str, package: str) -> str:
    """The path of a system command. Raises `BenchmarkError` naming its Debian package."""
    path = shutil.which(tool)
    if path is None:
        raise BenchmarkError(f"{tool} is missing: apt-get install {package}")
    return path


def run(command: list[str], directory: Path | None = None) -> str:
    """The output of a command that must succeed. Raises `BenchmarkError` with its last line."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=directory)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise BenchmarkError(f"{Path(command[0]).name} failed: {lines[-1]}")
    return result.stdout


def find_python(version: str) -> str:
    """An interpreter of this version: the running one, on PATH, or one that pyenv installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [sys.executable, shutil.which(f"python{version}"), shutil.which("python3")]
    candidates += sorted(map(str, pyenv.glob(f"{version}*/bin/python")), reverse=True)
    probe = "import sys; print('%d.%d' % sys.version_info[:2])"
    for python in filter(None, candidates):
        found = subprocess.run([python, "-c", probe], capture_output=True, text=True)
        if found.stdout.strip() == version:
            return python
    raise BenchmarkError(f"no Python {version} found: install it, or choose with --python VERSION")


def prepare(version: str = VERSION) -> Environment:
    """The environment with the pinned peers for this Python, made or updated when needed."""
    directory = HERE / f".env-{version}"
    environment = Environment(directory / "bin" / "python")
    pinned = (HERE / "requirements.txt").read_text()
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    stamp = hashlib.sha256((pinned + repr(own)).encode()).hexdigest()
    marker = directory / "installed"
    if marker.exists() and marker.read_text() == stamp:
        build_core(ROOT, environment)
        return environment
    print(f"making {directory.relative_to(ROOT)} with the pinned peers ...", file=sys.stderr)
    run([find_python(version), "-m", "venv", "--clear", str(directory)])
    pip = [str(environment.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, "-r", str(HERE / "requirements.txt"), *own])
    marker.write_text(stamp)
    build_core(ROOT, environment)
    return environment


def build_core(source: Path, environment: Environment) -> None:
    """Build the compiled core of a source tree in its place, where the tree has one.

    Without a compiler nothing is built; the results say whether the core was in use.
    """
    if (source / "setup.py").exists():
        build = [
            "-q",
            "build_ext",
            "--inplace",
            "--build-temp",
            str(environment.directory / "core"),
        ]
        run([str(environment.python), "setup.py", *build], source)


def versions(environment: Environment) -> dict[str, str]:
    """Versions of Python, the pinned packages, the load generators and asgiserver's revision."""
    probe = (
        "import importlib.metadata as m, json, platform; print(json.dumps({'python':"
        " platform.python_version(), **{d.name.lower(): d.version for d in m.distributions()}}))"
    )
    installed = json.loads(run([str(environment.python), "-c", probe]))
    pinned = re.findall(r"^[\w-]+", (HERE / "requirements.txt").read_text(), re.MULTILINE)
    found = {name: installed.get(name, "missing") for name in ("python", *pinned)}
    revision = run_quietly("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    found["asgiserver"] = f"{revision} (compiled core {core(environment)})"
    for tool, option in (("wrk", "-v"), ("h2load", "--version")):
        output = run_quietly(tool, option).partition("\n")[0]
        found[tool] = output.partition("[")[0].split("/")[-1].removeprefix("wrk ").strip()
    return found


def core(environment: Environment) -> str:
    """Whether the compiled core of the working tree is in use, in words."""
    probe = "from asgiserver.speedups import about; print(about)"
    return run([str(environment.python), "-c", probe], ROOT).strip()


def run_quietly(*command: str) -> str:
    """The output of a command, whatever its exit code; "missing" when there is no such command."""
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return "missing"


def machine() -> dict[str, object]:
    """The machine, on which the numbers depend too: processor, cores, kernel, load."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": model,
        "cores": len(ALL_CORES),
        "kernel": f"{platform.system()} {platform.release()}",
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


# The cores are read before the benchmark pins itself to the load generator's core.
ALL_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def cores() -> tuple[int, int]:
    """One core for the server and another for the load generator (the same when there is one)."""
    return ALL_CORES[0], ALL_CORES[-1]


def pin_load() -> None:
    """Move this process, and the load generators that it starts, off the server's core."""
    os.sched_setaffinity(0, {cores()[1]})
