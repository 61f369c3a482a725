"""A server that cannot start says why once: a short traceback, and one line that names the fix."""

import json
import re

import pytest
from program import run_program

LIFESPAN = """
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await connect()


async def connect():
    raise ConnectionError("database is down")
"""
STARLETTE = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette

@asynccontextmanager
async def lifespan(app):
    raise ConnectionError("database is down")
    yield

app = Starlette(lifespan=lifespan)
"""
REASON = "the application's start-up failed: ConnectionError: database is down"
WAYS = {"one process": (), "workers": ("--workers", "3"), "supervised": ("--supervise",)}


def start(folder, app, *options, **arguments):
    (folder / "main.py").write_text(app)
    words = ["-m", "asgiserver", "main:app", "--port", "0", *options]
    return run_program(folder, *words, **arguments)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("app", [LIFESPAN, STARLETTE], ids=["bare", "Starlette"])
def test_a_lifespan_that_fails_is_told_once_however_many_workers(tmp_path, app, way):
    if app is STARLETTE:
        pytest.importorskip("starlette")
    ended = start(tmp_path, app, *WAYS[way])
    assert ended.code == 3
    assert ended.output.count("Traceback") == 1
    assert ended.output.count(REASON) == 1
    assert set(re.findall(r'File ".*?([^/"]+)", line', ended.output)) == {"main.py"}


@pytest.mark.parametrize("way", WAYS)
def test_an_import_that_fails_is_told_once(tmp_path, way):
    ended = start(tmp_path, "def f():\n    raise LookupError('no key')\n\nf()\n", *WAYS[way])
    assert ended.code == 3
    assert ended.output.count("Traceback") == 1
    assert ended.output.count("importing 'main' failed: LookupError: no key") == 1
    assert set(re.findall(r'File ".*?([^/"]+)", line', ended.output)) == {"main.py"}


def test_a_syntax_error_shows_its_line_alone(tmp_path):
    ended = start(tmp_path, "app = (\n")
    assert ended.code == 3
    assert re.findall(r'File ".*?([^/"]+)", line', ended.output) == ["main.py"]
    assert ended.output.count("asgiserver: error: importing 'main' failed: SyntaxError") == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_container_that_logs_json_gets_nothing_else(tmp_path, way):
    """The stream of a container is of one kind, whatever goes wrong."""
    env = {"ASGISERVER_LOG_FORMAT": "json"}
    for app, options, code in [
        (LIFESPAN, (), 3),
        ("1 / 0", (), 3),
        (LIFESPAN, ("--prot", "1"), 2),
        (LIFESPAN, ("--static", "nothing"), 2),
        (LIFESPAN, ("--uds", "no/such/folder/s"), 4),
    ]:
        ended = start(tmp_path, app, *WAYS[way], *options, env=env)
        assert ended.code == code
        records = [json.loads(line) for line in ended.output.splitlines()]
        errors = [record for record in records if record["level"] == "ERROR"]
        assert len(errors) == 1, ended.output
        assert ("exception" in errors[0]) == (code == 3)


def test_the_program_s_own_log_has_it_too(tmp_path):
    """A handler for an error tracker, or --log-file."""
    app = (
        "import logging\nlogging.basicConfig(level='INFO', format='MINE %(message)s')\n" + LIFESPAN
    )
    ended = start(tmp_path, app)
    assert f"MINE {REASON}" in ended.output
    assert ended.output.count("Traceback") == 1
    assert ended.output.splitlines()[-1] == f"asgiserver: error: {REASON}"
    ended = start(tmp_path, LIFESPAN, "--log-file", "server.log")
    assert ended.output.splitlines()[-1] == f"asgiserver: error: {REASON}"
    assert REASON in (tmp_path / "server.log").read_text()


@pytest.mark.parametrize("typed", ["flag", "variable", "file"])
def test_an_error_found_late_names_what_was_typed(tmp_path, typed):
    options, env, spelling = (), {}, "pid in asgiserver.toml"
    if typed == "flag":
        options, spelling = ("--pid", "no/folder/pid"), "--pid"
    elif typed == "variable":
        env, spelling = {"ASGISERVER_PID": "no/folder/pid"}, "ASGISERVER_PID"
    else:
        (tmp_path / "asgiserver.toml").write_text("pid = 'no/folder/pid'")
    ended = start(tmp_path, LIFESPAN, *options, env=env)
    assert ended.code == 2
    assert ended.output.splitlines()[-1].startswith(f"asgiserver: error: {spelling}: /")
