"""What `import asgiserver` offers, and what it must not import."""

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

import asgiserver
from asgiserver import errors
from asgiserver.config import fields as config

ROOT = Path(__file__).parents[2]

EXPENSIVE = (
    "asyncio",
    "click",
    "h11",
    "httptools",
    "uvloop",
    "wsproto",
    "ssl",
    "socket",
    "logging",
)


def loaded_by(statement):
    """Names of the modules that a fresh interpreter has after `statement`."""
    code = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        capture_output=True,
        check=True,
        text=True,
    )
    return set(json.loads(done.stdout))


def test_importing_it_is_cheap():
    assert not loaded_by("import asgiserver").intersection(EXPENSIVE)


def test_a_configuration_is_cheap_too():
    loaded = loaded_by("import asgiserver; asgiserver.Config('main:app', port=0)")
    assert not loaded.intersection(EXPENSIVE)


def test_public_names():
    names = ["Config", "Server", "__version__", "request_id", "run", "serve", "serve_in_thread"]
    assert asgiserver.__all__ == names
    assert asgiserver.Config is config.Config
    assert set(asgiserver.__all__) <= set(dir(asgiserver))


ERRORS = """
    StartupError ConfigError ApplicationLoadError LifespanFailed BindError WorkersFailed
    ApplicationError ClientDisconnected
"""


@pytest.mark.parametrize("name", ERRORS.split())
def test_errors_to_catch(name):
    assert getattr(asgiserver, name) is getattr(errors, name)
    assert name in dir(asgiserver)


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match="module 'asgiserver' has no attribute 'Nothing'"):
        _ = asgiserver.Nothing


class FakeServer:
    """Records what it is asked to serve."""

    served: list[config.Config]

    def __init__(self, config):
        self.config = config

    async def serve(self):
        self.served.append(self.config)


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Configurations that reached the runner or the server, both replaced by fakes."""
    configs = []
    runner = types.ModuleType("asgiserver.process.runner")
    vars(runner)["run_or_raise"] = lambda config, notes: configs.append((config, notes))
    server = types.ModuleType("asgiserver.server.server")
    vars(server)["Server"] = FakeServer
    monkeypatch.setattr(FakeServer, "served", configs, raising=False)
    monkeypatch.setitem(sys.modules, runner.__name__, runner)
    monkeypatch.setitem(sys.modules, server.__name__, server)
    monkeypatch.chdir(tmp_path)
    return configs


async def app(scope, receive, send):
    """Never called."""


def test_run_takes_options_from_keywords_and_environment(served, monkeypatch):
    monkeypatch.setenv("ASGISERVER_BACKLOG", "7")
    asgiserver.run("main:app", port=0, http="zttp")
    ((made, notes),) = served
    assert (made.app, made.port, made.backlog) == ("main:app", 0, 7)
    assert "http=zttp is not available here: auto is used" in notes


def test_run_without_environment(served, monkeypatch):
    monkeypatch.setenv("ASGISERVER_BACKLOG", "7")
    asgiserver.run(app, env=False)
    assert served == [(config.Config(app), [])]


def test_run_raises_what_is_wrong(served):
    with pytest.raises(asgiserver.ConfigError, match="did you mean 'port'"):
        asgiserver.run("main:app", prot=0)  # type: ignore[call-arg]
    assert served == []


def test_dir_shows_what_is_public():
    assert [name for name in dir(asgiserver) if name in ("importlib", "Any", "annotations")] == []


async def test_serve_belongs_to_its_process(served, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    monkeypatch.setenv("ASGISERVER_BACKLOG", "7")
    await asgiserver.serve(app, port=0)
    assert served == [config.Config(app, port=0, backlog=7)]
