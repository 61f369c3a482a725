"""Wrong options are one line and an exit code, and re-reading them never ends a service."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from process_server import DEADLINE, ServerProcess, replace

from asgiserver.config.options import FIELDS, flag_names
from asgiserver.config.values import LARGEST

ROOT = Path(__file__).parents[2]

# What is in a directory, and what a restart says to it.
MISTAKES = [
    ({"asgiserver.toml": "headers = {X-Version = 3}"}, r"headers: expected Name:Value"),
    ({"asgiserver.toml": "headers = 3"}, r"headers: expected a list of Name:Value, not 3"),
    ({"asgiserver.toml": "backlog = 2147483648"}, r"backlog: must be at most 2147483647"),
    ({"asgiserver.toml": "workers = 1e400"}, r"workers: expected a whole number or auto, not inf"),
    ({"asgiserver.toml": "app = {}"}, r"app: expected 'module:attribute', not \{\}"),
    ({"asgiserver.toml": "port = " + "9" * 5000}, r"asgiserver.toml: Exceeds the limit"),
    ({"asgiserver.toml": "log_config = [1]"}, r"log_config: expected the name of a file"),
    ({"asgiserver.toml": "log_config = 'log.json'", "log.json": "{"}, r"log_config|log-config"),
    ({"asgiserver.toml": "log_config = 'log.json'", "log.json": "[]"}, r"must hold a mapping"),
    ({"asgiserver.toml": "log_config = 'log.yaml'", "log.yaml": "{'"}, r"while scanning"),
    ({"asgiserver.toml": "log_config = 'log.py'", "log.py": "1 / 0"}, r"no section headers"),
    (
        {"asgiserver.toml": "env_file = '.env'", ".env": "A=\udcff"},
        r"env_file.*: '.env' is not UTF-8",
    ),
    (
        {"asgiserver.toml": "env_file = '.env'", ".env": "A=\0"},
        r"what no environment can hold",
    ),
    ({"pyproject.toml": "tool = 'asgiserver'"}, r"pyproject.toml: tool must be a table"),
]
HANDLER = "log_config = {version = 1, handlers = {h = {'()' = 'handler.make'}}}"
RAISING = ["ValueError", "KeyError", "RecursionError", "SystemExit", "GeneratorExit"]


def write(folder, files):
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")


def hang_up(server, pattern):
    """One line says why, and requests are answered."""
    since = len(server.lines)
    server.signal(signal.SIGHUP)
    server.see(f"The configuration is kept as it was, no restart: .*(?:{pattern})", since=since)
    assert server.get()["version"] == 1
    assert not [line for line in server.lines[since:] if "Traceback" in line]


def test_no_mistake_in_a_file_ends_a_service_at_its_restart(tmp_path):
    with ServerProcess(tmp_path, "--supervise").ready() as server:
        for files, pattern in MISTAKES:
            write(tmp_path, files)
            hang_up(server, pattern)
            for name in files:
                (tmp_path / name).unlink()
        (tmp_path / "asgiserver.toml").mkdir()
        (tmp_path / "asgiserver.toml").rmdir()
        server.restart()
        assert server.stop() == 0


def test_no_exception_of_a_log_configuration_ends_a_service_at_its_restart(tmp_path):
    (tmp_path / "handler.py").write_text(
        "import builtins, sys\n"
        "def make():\n"
        "    del sys.modules['handler']\n"
        "    raise getattr(builtins, open('kind').read())('made by a handler')\n"
    )
    write(tmp_path, {"asgiserver.toml": HANDLER, "kind": ""})
    (tmp_path / "asgiserver.toml").unlink()
    with ServerProcess(tmp_path, "--supervise").ready() as server:
        write(tmp_path, {"asgiserver.toml": HANDLER})
        for kind in RAISING:
            (tmp_path / "kind").write_text(kind)
            hang_up(server, "made by a handler")
        (tmp_path / "asgiserver.toml").unlink()
        server.restart()
        assert server.stop() == 0


def test_the_log_goes_on_when_its_file_is_broken_at_a_restart(tmp_path):
    settings = {
        "version": 1,
        "handlers": {"stream": {"class": "logging.StreamHandler", "formatter": "mine"}},
        "formatters": {"mine": {"format": "mine: %(message)s"}},
        "root": {"handlers": ["stream"], "level": "INFO"},
    }
    file = tmp_path / "log.json"
    file.write_text(json.dumps(settings))
    with ServerProcess(tmp_path, "--supervise", "--log-config", "log.json").ready() as server:
        server.see("^mine: Serving on")
        settings["handlers"]["stream"]["class"] = "no.such.Handler"
        for text in ("{", json.dumps(settings)):
            file.write_text(text)
            hang_up(server, "log.json")
        settings["handlers"]["stream"]["class"] = "logging.StreamHandler"
        file.write_text(json.dumps(settings))
        server.restart()
        server.see("^mine: Restart complete")
        assert server.stop() == 0


def test_a_worker_whose_log_configuration_is_broken_by_now_says_so_in_one_line(tmp_path):
    file = tmp_path / "log.json"
    file.write_text('{"version": 1}')
    options = ["--workers", "2", "--log-config", "log.json"]
    with ServerProcess(tmp_path, *options).ready() as server:
        file.write_text("{")
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        server.see("could not start: --log-config log.json: Expecting property name")
        file.write_text('{"version": 1}')
        server.see("is ready", 3)
        assert server.get()["version"] == 1
        assert server.stop() == 0
        assert "Traceback" not in server.log


@pytest.fixture
def release(tmp_path):
    """A directory that a deployment will remove; the application is elsewhere."""
    folder = tmp_path / "release"
    folder.mkdir()
    (tmp_path / "app.py").write_text("from process_server import APP\nexec(APP)\n")
    return folder


def in_release(release, *options):
    (release / "app.py").write_text("")
    server = ServerProcess(release, "--app-dir", str(release.parent), *options).ready()
    server.get()
    shutil.rmtree(release)
    return server


SERVES = "is ready|Restart complete"  # with --reload the supervisor says no more than the latter


@pytest.mark.parametrize("options", [["--workers", "2"], ["--preload"], ["--reload"]], ids=str)
def test_a_service_whose_directory_was_deleted_goes_on(release, options):
    with in_release(release, *options) as server:
        hang_up(server, "the current directory is gone")
        (pid, *_) = server.worker_pids()
        since = len(server.lines)
        os.kill(pid, signal.SIGKILL)
        server.see(SERVES, since=since)
        assert server.get()["version"] == 1
        server.signal(signal.SIGUSR2)
        server.see("The new supervisor .* failed, this one goes on", since=since)
        assert server.get()["version"] == 1
        if options == ["--reload"]:
            replace(release.parent / "app.py", "from process_server import APP\nexec(APP)\n\n")
            server.see("changed, reloading")
            server.see(SERVES, 2, since=since)
        else:
            server.signal(signal.SIGTTIN)
            server.see("Scaling to")
            server.see(SERVES, 2, since=since)
        assert server.get()["version"] == 1
        assert server.stop() == 0


def test_a_file_outside_a_deleted_directory_can_still_be_read(release):
    file = release.parent / "elsewhere.toml"
    file.write_text("workers = 1")
    with in_release(release, "--supervise", "--config", str(file)) as server:
        file.write_text("workers = 2")
        server.restart()
        server.see("is ready", 1 + 2)
        assert server.stop() == 0


def run(folder, *arguments, start=()):
    """The end of a command that serves nothing."""
    command = [*start, sys.executable, "-m", "asgiserver", *arguments]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=DEADLINE
    )


def assert_one_line(ended, code, pattern):
    assert (ended.returncode, ended.stdout) == (code, "")
    lines = [line for line in ended.stderr.splitlines() if " INFO " not in line]
    assert len(lines) == 1, ended.stderr
    assert re.fullmatch(f"asgiserver: error: .*{pattern}.*", lines[0]), ended.stderr


@pytest.mark.parametrize("options", [[], ["--workers", "2"], ["--reload"]], ids=str)
def test_a_start_in_a_deleted_directory_is_one_line(tmp_path, options):
    folder = tmp_path / "gone"
    folder.mkdir()
    start = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh"]
    ended = run(folder, "main:app", *options, start=start)
    assert_one_line(ended, 2, "the current directory is gone")


@pytest.mark.parametrize("options", [[], ["--reload"]], ids=str)
def test_nor_is_there_an_application_in_a_deleted_directory(tmp_path, options):
    folder = tmp_path / "gone"
    folder.mkdir()
    (tmp_path / "elsewhere.toml").write_text("port = 0")
    start = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh"]
    file = str(tmp_path / "elsewhere.toml")
    ended = run(folder, "main:app", "--config", file, *options, start=start)
    assert_one_line(ended, 2 if options else 3, "the current directory is gone")


WRONG = [
    (["--uds", ""], 2, "--uds: expected a name or a path"),
    (["--bind", ""], 2, "bind: expected host:port"),
    (["--bind", "127.0.0.1:" + "9" * 5000], 2, "has no port from 0 to 65535"),
    (["--host", "a..ü"], 4, "cannot resolve"),
    (["--fd", "2147483647"], 4, "file descriptor 2147483647"),
    (["--fd", "2147483648"], 2, "--fd: must be at most 2147483647"),
    (["--ready-fd", "2147483648"], 2, "--ready-fd: must be at most 2147483647"),
    (["--backlog", "2147483648"], 2, "--backlog: must be at most 2147483647"),
    (["--wsgi-threads", "9" * 30], 2, "--wsgi-threads: must be at most 2147483647"),
    (["--header", "X-Price: 5 €"], 2, "--header: expected Name:Value, a value of Latin-1"),
    (["--env-file", "latin.env"], 2, "--env-file: 'latin.env' is not UTF-8"),
    (
        ["--env-file", "nul.env"],
        2,
        "--env-file: 'nul.env' sets what no environment can hold, the variable 'A'",
    ),
    (["--env-file", "misspelt.env"], 2, "ASGISERVER_PROT in misspelt.env: unknown option"),
    (["--config", "headers.toml"], 2, "headers.toml: headers: expected Name:Value"),
    (["--config", "pyproject.toml"], 2, "pyproject.toml: tool must be a table"),
]


@pytest.mark.parametrize(("options", "code", "pattern"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_option_is_one_line_and_its_exit_code(tmp_path, options, code, pattern):
    (tmp_path / "main.py").write_text("async def app(scope, receive, send): ...")
    (tmp_path / "latin.env").write_bytes(b"NAME=J\xfcrgen")
    (tmp_path / "nul.env").write_bytes(b"A=\0")
    (tmp_path / "misspelt.env").write_text("ASGISERVER_PROT=1")
    (tmp_path / "headers.toml").write_text("headers = {a = 1}")
    (tmp_path / "pyproject.toml").write_text(
        "tool = 'asgiserver'" if "pyproject" in pattern else ""
    )
    assert_one_line(run(tmp_path, "main:app", *options), code, pattern)


NOT_AT_ONCE = {"workers", "port", "fd", "ready_fd", "drain_delay"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_largest_numbers_of_all_options_are_served_with(tmp_path, workers):
    options = []
    for name, (_, info) in FIELDS.items():
        if info.cli and info.kind in LARGEST and name not in NOT_AT_ONCE:
            number = int(min(LARGEST[info.kind], info.maximum))
            options += [flag_names(name)[0], str(number)]
    with ServerProcess(tmp_path, "--workers", workers, *options).ready() as server:
        assert server.get()["version"] == 1
        assert server.stop() == 0
        assert "Traceback" not in server.log


def test_the_supervisor_can_wait_for_months_for_a_worker_whose_loop_is_blocked(tmp_path):
    with ServerProcess(tmp_path, "--supervise", "--timeout-worker-stuck", "30d").ready() as server:
        assert server.get("/block/3.5")["version"] == 1
        assert server.stop() == 0


@pytest.mark.parametrize("options", [[], ["--supervise"]], ids=str)
def test_variables_of_a_kubernetes_service_are_noted_for_debugging(tmp_path, options):
    services = {"ASGISERVER_DB_PORT": "tcp://10.0.0.1:80", "PORT": "tcp://10.0.0.1:80"}
    options = ["--log-level", "debug", *options]
    with ServerProcess(tmp_path, *options, **services).ready() as server:
        server.see(
            "DEBUG +environment variables of services, not options: ASGISERVER_DB_PORT, PORT"
        )
        assert server.stop() == 0
        assert not [line for line in server.lines if " WARNING " in line]


def test_an_env_file_sets_options_as_the_environment_does(tmp_path):
    (tmp_path / ".env").write_text("WEB_CONCURRENCY=2\nASGISERVER_LOG_LEVEL=debug\n")
    with ServerProcess(tmp_path, "--env-file", ".env").ready() as server:
        assert len(server.worker_pids()) == 2
        assert server.stop() == 0
