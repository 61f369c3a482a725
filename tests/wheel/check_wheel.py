"""Builds the wheel, installs it into an empty environment and serves a request from it.

`make wheel` runs it. The other tests run on an editable install, which has every file of the
repository: they cannot see a module, a dependency or a py.typed that the wheel lacks.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
WAIT = 60.0
"""Seconds for what takes one when all is well."""

APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"from the wheel"})
"""


def run(*command: str | Path, cwd: Path, timeout: float = 300.0, **variables: str) -> str:
    """The output of a command; the script ends when it fails."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ |= variables
    done = subprocess.run(
        command, cwd=cwd, env=environ, timeout=timeout, text=True, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def source_of(folder: Path) -> Path:
    """This revision's files that git knows: what is left over in the tree cannot help."""
    source = folder / "source"
    source.mkdir()
    for name in run("git", "ls-files", "-z", cwd=ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    return source


def build(source: Path, name: str, **variables: str) -> Path:
    """A wheel of `source`, in a folder called `name` beside it."""
    folder = source.parent / name
    shutil.rmtree(source / "build", ignore_errors=True)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, source, cwd=source, **variables)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, home: Path) -> Path:
    """An environment with nothing but the wheel and what that needs; its programs."""
    venv.create(home, with_pip=True)
    run(home / "bin" / "python", "-m", "pip", "--quiet", "install", wheel, cwd=home)
    return home / "bin"


def check_builds(source: Path, bin_: Path) -> None:
    """There is always a wheel: for every system when asked for, and without a compiler."""
    pure = build(source, "pure", ASGISERVER_SPEEDUPS="0")
    assert pure.name.endswith("-py3-none-any.whl"), pure.name
    check_content(pure)
    without = build(source, "without", CC="/no/such/compiler", CXX="/no/such/compiler")
    with zipfile.ZipFile(without) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".so", ".c", ".h"))]
    code = "from asgiserver import speedups; print(speedups.about)"
    assert run(bin_ / "python", "-c", code, cwd=source.parent) == "in use\n"
    anew = ("--quiet", "--no-deps", "--force-reinstall")
    run(bin_ / "python", "-m", "pip", "install", *anew, without, cwd=source.parent)
    assert run(bin_ / "python", "-c", code, cwd=source.parent) == "not built\n"


def check_content(wheel: Path) -> None:
    """Every module of the package, py.typed, the licence, the compiled core, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    version = wheel.name.split("-")[1]
    about = f"asgiserver_py-{version}.dist-info/"
    inside = {name for name in names if not name.startswith(about)}
    known = run("git", "ls-files", "asgiserver", cwd=ROOT).split()
    expected = {name for name in known if name.endswith((".py", ".pyi", "py.typed"))}
    if not wheel.name.endswith("-none-any.whl"):
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        expected.add(f"asgiserver/speedups/_core{suffix}")
    assert inside == expected, f"in one of the two only: {sorted(inside ^ expected)}"
    assert "asgiserver/py.typed" in inside
    assert about + "licenses/LICENSE" in names


@contextlib.contextmanager
def serving(command: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a user starts it, and its address."""
    (folder / "main.py").write_text(APP)
    ready, write_end = os.pipe()
    arguments = ["main:app", "--port", "0", "--ready-fd", str(write_end)]
    process = subprocess.Popen(
        [command, *arguments],
        cwd=folder,
        pass_fds=(write_end,),
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    os.close(write_end)
    try:
        with open(ready, "rb") as pipe:
            said = pipe.read()
        assert said, f"it did not start: {process.communicate(timeout=WAIT)[1]}"
        yield process, json.loads(said)["addresses"][0]
    finally:
        process.kill()
        process.communicate()


def check_serving(bin_: Path, version: str, folder: Path) -> None:
    """It is the one installed, knows its version, serves a request and stops."""
    assert re.search(
        rf"\b{re.escape(version)}\b", run(bin_ / "asgiserver", "--version", cwd=folder)
    )
    code = "import asgiserver; print(asgiserver.__file__)"
    place = run(bin_ / "python", "-c", code, cwd=folder)
    assert bin_.parent in Path(place.strip()).parents, f"not the one installed: {place}"
    with serving(bin_ / "asgiserver", folder) as (process, address):
        with urllib.request.urlopen(address, timeout=WAIT) as answer:
            assert (answer.status, answer.read()) == (200, b"from the wheel")
            assert answer.headers["server"] == "asgiserver"
        process.terminate()
        assert process.wait(WAIT) == 0, process.communicate(timeout=WAIT)[1]


def main() -> None:
    """Build, install, look, serve."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = source_of(folder)
        wheel = build(source, "usual")
        check_content(wheel)
        bin_ = install(wheel, folder / "environment")
        run(bin_ / "python", "-m", "pip", "check", cwd=folder)
        check_serving(bin_, wheel.name.split("-")[1], folder)
        check_builds(source, bin_)
        print(f"{wheel.name}: built, installed alone, served a request; built without a compiler")


if __name__ == "__main__":
    main()
