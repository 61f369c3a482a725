"""The command line: what it hands to the runner, what it prints, what it exits with."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiserver import speedups
from asgiserver._version import __version__
from asgiserver.cli import command
from asgiserver.cli import main as cli
from asgiserver.config.fields import Config
from asgiserver.config.options import FIELDS, flag_names
from asgiserver.errors import ApplicationLoadError, BindError, LifespanFailed
from asgiserver.server.loading import load_application

ROOT = Path(__file__).parents[3]


class FakeRunner:
    """Records what it is asked to serve; raises, or exits with, what it is told to."""

    def __init__(self):
        self.config = None
        self.notes = None
        self.reread = None
        self.result = 0

    def __call__(self, resolved, reread):
        self.config = resolved.config
        self.notes = resolved.notes
        self.reread = reread
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def runner():
    return FakeRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty directory, and no variable that sets an option."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("ASGISERVER_", "UVICORN_")):
            monkeypatch.delenv(name)
    for name in ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_flags_reach_the_runner(runner):
    line = (
        "main:app --port 0 -b [::]:1 --bind unix:/s --no-access-log --reload --no-http2"
        " --timeout-keep-alive 1m --limit-request-body 1MiB --ws-per-message-deflate false"
        " --ssl-cert-reqs 0 --log-level DEBUG --use-colors"
    )
    assert cli.main([*line.split(), "--header", "X-A: 1", "--header", "X-B: 2, 3"], run=runner) == 0
    assert runner.config == Config(
        "main:app",
        port=0,
        bind=("[::]:1", "unix:/s"),
        access_log=False,
        reload=True,
        http2=False,
        timeout_keep_alive=60.0,
        limit_request_body=2**20,
        ws_per_message_deflate=False,
        log_level="debug",
        use_colors=True,
        headers=("X-A:1", "X-B:2, 3"),
    )


def test_without_options_everything_is_the_default(runner):
    assert cli.main(["main:app"], run=runner) == 0
    assert runner.config == Config("main:app")
    assert runner.notes == []


def test_run_is_what_is_meant_without_a_command(runner):
    assert cli.main(["run", "main:app", "--port", "1"], run=runner) == 0
    assert runner.config == Config("main:app", port=1)


def test_environment_and_files_reach_the_runner(runner, folder, monkeypatch):
    monkeypatch.setenv("ASGISERVER_PORT", "1")
    (folder / "asgiserver.toml").write_text("app = 'file:app'\nport = 2\nbacklog = 2")
    assert cli.main([], run=runner) == 0
    assert runner.config == Config("file:app", port=1, backlog=2)
    (folder / "other.toml").write_text("backlog = 3")
    assert cli.main(["main:app", "-c", "other.toml"], run=runner) == 0
    assert runner.config == Config("main:app", port=1, backlog=3)


def test_options_can_be_read_again(runner, folder):
    (folder / "asgiserver.toml").write_text("backlog = 2")
    assert cli.main(["main:app", "--port", "1"], run=runner) == 0
    (folder / "asgiserver.toml").write_text("backlog = 3\nport = 4")
    assert runner.reread().config == Config("main:app", port=1, backlog=3)


def test_the_exit_code_of_the_runner(runner):
    runner.result = 5
    assert cli.main(["main:app"], run=runner) == 5
    runner.result = KeyboardInterrupt()
    assert cli.main(["main:app"], run=runner) == 130


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["main:app", "--prot", "1"], "there is no option --prot; did you mean --port?"),
        (["main:app", "--port"], "--port"),
        (["main:app", "other"], "'other' is too much: give one application"),
        (["main:app", "--port", "x"], "--port: expected a whole number, not 'x'"),
        (["main:app", "--http", "h12"], "--http: expected auto, httptools, h11, not 'h12'"),
        (["main:app", "--config", "x.toml"], "config: no file 'x.toml'"),
        (["main:app", "--uds", "/s", "--fd", "3"], "--uds and --fd are both given; use --bind"),
        ([], "APP is missing: write asgiserver module:attribute"),
    ],
)
def test_wrong_use_is_one_line_and_2(args, text, runner, capsys):
    assert cli.main(args, run=runner) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("asgiserver: error: ")
    assert text in captured.err
    assert captured.err.count("\n") == 1
    assert runner.config is None


@pytest.mark.parametrize(
    ("error", "code"), [(BindError("in use\nreally"), 4), (LifespanFailed("in use really"), 3)]
)
def test_start_errors_are_one_line(error, code, runner, capsys):
    runner.result = error
    assert cli.main(["main:app"], run=runner) == code
    assert capsys.readouterr().err == "asgiserver: error: in use really\n"


def test_an_application_that_raises_shows_its_own_traceback_once(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (folder / "cli_raises.py").write_text(
        "def connect():\n    raise OSError('no database')\nconnect()"
    )

    def run(resolved, reread):
        load_application(resolved.config.app)

    assert cli.main(["cli_raises:app"], run=run) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "cli_raises.py" in lines[1]
    assert lines[-2] == "OSError: no database"
    assert lines[-1] == ("asgiserver: error: importing 'cli_raises' failed: OSError: no database")
    assert not [line for line in lines if "loading.py" in line or "importlib" in line]


def test_an_application_that_is_not_found_shows_no_traceback(runner, capsys):
    runner.result = ApplicationLoadError("no module 'x'")
    assert cli.main(["x:app"], run=runner) == 3
    assert capsys.readouterr().err == "asgiserver: error: no module 'x'\n"


def test_print_config_shows_origins_and_serves_nothing(runner, capsys, monkeypatch):
    monkeypatch.setenv("PORT", "80")
    assert cli.main(["main:app", "--no-date-header", "--print-config"], run=runner) == 0
    lines = dict(
        line.rsplit(" # ", 1) for line in capsys.readouterr().out.splitlines() if "#" in line
    )
    lines = {assignment.strip(): origin for assignment, origin in lines.items()}
    assert lines['app = "main:app"'] == "argument APP"
    assert lines["port = 80"] == "PORT"
    assert lines["date_header = false"] == "flag --no-date-header"
    assert lines["backlog = 2048"] == "default"
    assert lines[f"# compiled core: {speedups.about}"] == "--http auto"
    assert runner.config is None


def test_print_config_needs_no_application(capsys):
    assert cli.main(["--print-config"]) == 0
    assert "# app =" in capsys.readouterr().out


def test_version_names_what_it_runs_on(capsys):
    assert cli.main(["--version"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"asgiserver {__version__} (")
    for word in (sys.version.split()[0], sys.implementation.name, "uvloop", "httptools", "h11"):
        assert word.lower() in out.lower()
    assert f"; compiled core {speedups.about}, uvloop" in out


def test_version_without_a_dependency(monkeypatch):
    monkeypatch.setattr(command, "DEPENDENCIES", ("no-such-distribution-here",))
    assert "no no-such-distribution-here" in command.version_line()


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_begins_with_examples_and_what_most_need(flag, capsys):
    assert cli.main([flag]) == 0
    out = capsys.readouterr().out
    assert out.index("\nExamples:") < out.index("\nThe options that most people need:")
    for name in command.FIRST_OPTIONS:
        assert flag_names(name)[0] in out
    assert "--help-all" in out
    assert "--h11-max-incomplete-event-size" not in out
    assert len(out.splitlines()) < 50


def test_every_example_of_the_help_is_understood(runner):
    for line, _ in command.EXAMPLES:
        assert cli.main(line.split()[1:], run=runner) == 0, line


def test_workers_and_port_have_the_short_flags_of_gunicorn(runner):
    assert cli.main(["main:app", "-w", "3", "-p", "81"], run=runner) == 0
    assert runner.config == Config("main:app", workers=3, port=81)


def test_help_all_has_every_flag_in_its_group(capsys):
    assert cli.main(["--help-all"]) == 0
    out = capsys.readouterr().out
    for name, (_, info) in FIELDS.items():
        if info.cli:
            assert f"\n{info.group}:\n" in out
            assert flag_names(name)[0] in out
    assert out.index("\nOptions:") < out.index("\nApplication:") < out.index("\nLogging:")
    assert "--callback-notify" not in out


def test_every_flag_of_one_value_parses(runner):
    for name, (field, info) in FIELDS.items():
        if info.cli and info.kind != "bool" and isinstance(field.default, str | int | float):
            value = "off" if field.default == float("inf") else str(field.default)
            assert cli.main(["main:app", flag_names(name)[0], value], run=runner) == 0, name
            assert runner.config == Config("main:app"), name


def test_python_dash_m():
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "asgiserver", "--port", "x"], capture_output=True, text=True, env=env
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "asgiserver: error: --port: expected a whole number, not 'x'\n"


FLAGS = sorted(
    {flag for name, (_, info) in FIELDS.items() if info.cli for flag in flag_names(name)}
)
SWITCHES = [f"--no-{flag[2:]}" for flag in FLAGS if flag.startswith("--")]
WORDS = st.one_of(
    st.sampled_from([*FLAGS, *SWITCHES, "--config", "-c", "--print-config"]),
    st.sampled_from(
        ["main:app", "1", "", "-", "--", "=", "-1", "a b", "--prot", "-b=x", "-bx", "x"]
    ),
    st.builds("{}={}".format, st.sampled_from(FLAGS), st.sampled_from(["", "1", "-1", "a=b", "x"])),
)


@given(st.lists(WORDS, max_size=6))
def test_what_is_read_without_click_is_what_click_reads(args):
    plain = cli.read_plain(args)
    if plain is not None:
        found = command.read(args)
        assert isinstance(found, dict)
        not_given = {name: value for name, value in found.items() if name not in plain}
        assert {name: found[name] for name in plain} == plain
        assert not any(value not in (None, (), False) for value in not_given.values())


def test_every_flag_is_plain():
    for name, (_, info) in FIELDS.items():
        if info.cli:
            flag = flag_names(name)[-1]
            switch = info.kind == "bool" and not info.choices
            assert cli.read_plain(["main:app", flag, *([] if switch else ["1"])]) is not None, name


@pytest.mark.parametrize(
    "line", ["--help", "-h", "--version", "a:b c:d", "--prot 1", "--port", "-bx"]
)
def test_what_is_not_plain_is_left_to_click(line):
    assert cli.read_plain(line.split()) is None


def test_completion_for_a_shell_is_left_to_click(monkeypatch):
    monkeypatch.setenv("_ASGISERVER_COMPLETE", "bash_complete")
    assert cli.read_plain(["main:app"]) is None


def test_an_abort_is_an_interrupt(monkeypatch, runner):
    def abort(args):
        raise click.Abort

    monkeypatch.setattr(command, "_command", lambda: Fake(abort))
    assert cli.main(["--prot"], run=runner) == 130


class Fake:
    """A command whose `main` is a function."""

    def __init__(self, function):
        self.main = lambda args, **options: function(args)
