"""The keywords of `run`, `serve`, `serve_in_thread` and `Config`, as type checkers see them."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asgiserver.config.fields import Config
from asgiserver.config.keyword_types import keywords_module
from asgiserver.errors import ConfigError

ROOT = Path(__file__).parents[3]

PROGRAM = """
import pathlib
import asgiserver
from asgiserver.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None: ...


asgiserver.run(app, env=False, port=8000, timeout_keep_alive="30s", reload_dirs=["a"], workers=None)
asgiserver.run("main:app", workers="auto", headers=[("a", "b")], ssl_keyfile=pathlib.Path("x"))
asgiserver.run("main:app", prot=8000)
asgiserver.Config(app, port=0, limit_request_body="16MiB", ws_ping_interval=None)
asgiserver.Config(app, prot=8000)
asgiserver.Config(app, http="h12")


async def main() -> None:
    await asgiserver.serve(app, http="h11")
    await asgiserver.serve(app, prot=8000)


with asgiserver.serve_in_thread(app, port=0):
    pass
with asgiserver.serve_in_thread(app, prot=0):
    pass
"""


def test_the_module_is_made_from_the_options():
    written = (ROOT / "asgiserver/config/keywords.py").read_text(encoding="utf-8")
    assert written == keywords_module(), (
        "run python -m asgiserver.options types > asgiserver/config/keywords.py"
    )


def test_mypy_refuses_a_keyword_that_does_not_exist(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", tmp_path / "program.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    found = re.findall(r"program\.py:(\d+): error: (.*)", done.stdout)
    lines = PROGRAM.splitlines()
    assert [lines[int(number) - 1].strip() for number, _ in found] == [
        line.strip() for line in lines if "prot=" in line or "h12" in line
    ], done.stdout + done.stderr
    assert all('"prot"' in text or '"http"' in text for _, text in found)


def test_config_names_the_closest_option():
    with pytest.raises(ConfigError, match="unknown option 'prot'; did you mean 'port'"):
        Config("main:app", prot=8000)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=r"unknown option .zzz.$"):
        Config("main:app", zzz=1)  # type: ignore[call-arg]


def test_config_can_still_be_copied_and_sent():
    config = Config("main:app", port=1)
    assert pickle.loads(pickle.dumps(config)) == config
