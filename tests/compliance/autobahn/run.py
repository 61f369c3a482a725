"""Run Autobahn's fuzzing client against the echo example: ``make autobahn``.

The test suite needs Python 2.7. It is installed from PyPI into a directory of its own below
``build/``; without a Python 2.7 nothing is run, which is said and is no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build" / "autobahn"
sys.path.insert(0, str(ROOT))

from asgiserver import Config, Server  # noqa: E402
from examples.websocket_echo import app  # noqa: E402

CODECS = ("python", "wsproto", "websockets")
SLOW = ("9.*", "12.*", "13.*")  # large messages and compression: minutes instead of seconds
PASSED = {"OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED"}
WSTEST = """
import site, sys
site.addsitedir(sys.argv.pop(1))
from autobahntestsuite import wstest
wstest.run()
"""


def find_python27() -> str | None:
    """A Python 2.7: of the environment, on the path, or one of pyenv's."""
    named = os.environ.get("PYTHON27")
    if named:
        return named
    on_path = shutil.which("python2.7")
    if on_path and subprocess.run([on_path, "-c", ""], capture_output=True).returncode == 0:
        return on_path
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(versions.glob("2.7*/bin/python"))
    return str(found[-1]) if found else None


def install(python27: str, target: Path) -> None:
    """Install the test suite, once."""
    if (target / "autobahntestsuite").is_dir():
        return
    print(f"Installing autobahntestsuite into {target}", flush=True)
    command = [python27, "-m", "pip", "install", "--quiet", "--target", str(target)]
    done = subprocess.run(
        [*command, "autobahntestsuite==25.10.1"], stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"error: {' '.join(done.args)} failed:\n{done.stderr}")


async def run(python27: str, options: argparse.Namespace) -> dict[str, dict[str, dict[str, str]]]:
    """Serve with every codec, let the fuzzing client loose, and return its index."""
    report = Path(options.report)
    shutil.rmtree(report, ignore_errors=True)
    report.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        servers = []
        for codec in options.codec:
            config = Config(
                app,
                port=0,
                ws=codec,
                ws_compression=options.compression,
                lifespan="off",
                access_log=False,
                log_level="error",
            )
            server = await stack.enter_async_context(Server(config))
            url = server.addresses[0].replace("http", "ws", 1)
            servers.append({"agent": codec, "url": url})
        spec = {
            "outdir": str(report),
            "servers": servers,
            "cases": options.cases,
            "exclude-cases": list(SLOW) if options.quick else [],
            "exclude-agent-cases": {},
        }
        spec_file = report / "spec.json"
        spec_file.write_text(json.dumps(spec))
        process = await asyncio.create_subprocess_exec(
            *(python27, "-c", WSTEST, str(BUILD / "env")),
            *("--mode", "fuzzingclient", "--spec", str(spec_file)),
            stdout=None if options.verbose else subprocess.DEVNULL,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        if await process.wait():
            raise SystemExit(f"wstest failed with status {process.returncode}")
    return json.loads((report / "index.json").read_text())


def case_order(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


def summarize(index: dict[str, dict[str, dict[str, str]]]) -> int:
    """Print what came out, and name all that is not plainly OK; returns the number of failures."""
    failures = 0
    for agent, cases in index.items():
        behaviors = Counter(result["behavior"] for result in cases.values())
        counts = ", ".join(f"{number} {behavior}" for behavior, number in behaviors.items())
        print(f"{agent}: {len(cases)} cases, {counts}")
        for case in sorted(cases, key=case_order):
            behavior, close = cases[case]["behavior"], cases[case]["behaviorClose"]
            failed = behavior not in PASSED or close not in PASSED
            failures += failed
            if failed or behavior in ("NON-STRICT", "UNIMPLEMENTED"):
                print(f"  {'FAILED ' if failed else ''}{case}: {behavior}, closing {close}")
    return failures


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", action="append", choices=CODECS, help="default: all")
    parser.add_argument("--quick", action="store_true", help=f"leave out {' '.join(SLOW)}")
    parser.add_argument("--cases", action="append", help="such as 6.* (default: all)")
    parser.add_argument("--compression", default="full", choices=("off", "shared", "full"))
    parser.add_argument("--report", default=str(BUILD / "report"), help="directory of the report")
    parser.add_argument("--verbose", action="store_true", help="show each case as it runs")
    options = parser.parse_args()
    options.codec = options.codec or list(CODECS)
    options.cases = options.cases or ["*"]
    python27 = find_python27()
    if python27 is None:
        print("skipped: Autobahn's test suite needs Python 2.7 (set PYTHON27, or use pyenv)")
        return 0
    install(python27, BUILD / "env")
    failures = summarize(asyncio.run(run(python27, options)))
    print(f"{failures} failed; report: {Path(options.report) / 'index.html'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
