"""Command lines of other servers, and what they become."""

import shlex
import subprocess
import sys

import click
import pytest

from asgiserver.cli.main import main as cli
from asgiserver.cli.migrate import Unusable, migrate
from asgiserver.cli.migrate_tables import SERVERS

VALUES = {
    "--header-map": "drop",  # by what it is called here, or there; anything else takes "7"
    "--loop": "asyncio",
    "--http": "auto",
    "--ws": "wsproto",
    "--ws-compression": "true",
    "--ws-per-message-deflate": "true",
    "--lifespan": "on",
    "--interface": "wsgi",
    "--log-level": "debug",
    "--asgi-loop": "uvloop",
    "--asgi-lifespan": "off",
    "--http-parser": "fast",
    "--cert-reqs": "2",
    "--verify-mode": "CERT_REQUIRED",
    "--header": "a:b",
    "--proxy-protocol": "v1",
    "--ssl-protocol-min": "tls1.2",
    "--verbosity": "2",
    "--umask": "007",
    "--uds-permissions": "660",
    "--fd": "3",
    "--env": "NAME=value",
    "--bind": "127.0.0.1:7",
    "--forwarded-allow-ips": "10.0.0.0/8",
    "--root-path": "/x",
    "--url-path-prefix": "/x",
    "--reload-tick": "70",
    "--proxy-allow-from": "10.0.0.1",
    "--worker-class": "uvloop",
    "--ssl-cert-reqs": "2",
}
NEEDS = {  # what an option is refused without
    "--ssl-keyfile": "--ssl-certfile c",
    "--ssl-keyfile-password": "--ssl-certfile c",
    "--ssl-cert-reqs": "--ssl-certfile c --ssl-ca-certs a",
}


def accepted(command, capsys):
    """Read a command line of ours as the program does; whether it is one."""
    words = shlex.split(command)
    words = words[words.index("asgiserver") + 1 :]
    for option, others in NEEDS.items():
        if option in words:
            words += others.split()
    code = cli(words, run=lambda resolved, reread: 0)
    assert code == 0, capsys.readouterr().err
    return True


def lines_of(text, *, command=False):
    found = migrate([text]).text().splitlines()
    return found[0] if command else found[1:]


EVERY = [
    pytest.param(name, flag, called, id=f"{name} {called}")
    for name, peer in SERVERS.items()
    for flag in peer.flags
    for called in flag.names
    if called not in ("--version", "-v", "--print-config") or flag.takes
]


@pytest.mark.parametrize(("name", "flag", "called"), EVERY)
def test_each_option_becomes_one_of_ours_or_a_note(
    name, flag, called, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "7").touch()  # files of variables are read at once
    value = next((VALUES[n] for n in flag.names if n in VALUES), "7") if flag.takes else ""
    if name == "gunicorn" and "-k" in flag.names:
        value = "uvicorn.workers.UvicornWorker"
    if name == "granian" and called == "--http":
        value = "2"
    verb = "run " if name == "fastapi" else ""
    found = migrate([f"{name} {verb}main:app {called} {value}"])
    assert accepted(found.command(), capsys)
    said = any(note.startswith(f"{called} ") for note in found.notes)
    assert said == bool(flag.note), found.text()
    one_word = "".join(found.text().splitlines())
    assert "{}" not in one_word


COMMANDS = """
uvicorn main:app                          -> asgiserver main:app
uvicorn main:app --workers=4 --port $PORT -> asgiserver main:app --workers 4 --port "$PORT"
python -m uvicorn main:create --factory   -> python -m asgiserver main:create --factory
uv run uvicorn main:app --http h11        -> uv run asgiserver main:app --http h11
/opt/x/bin/uvicorn a:b --ws-per-message-deflate 0 -> asgiserver a:b --ws-compression off
uvicorn a:b --header "X-A: b c"           -> asgiserver a:b --header 'X-A: b c'
uvicorn a:b --http zttp --loop zuvloop    -> asgiserver a:b --http auto --loop auto
A=1 gunicorn -k uvicorn.workers.UvicornWorker -w4 a:b -> A=1 asgiserver a:b --workers 4
gunicorn shop.wsgi         -> asgiserver shop.wsgi:application --interface wsgi --wsgi-threads 1
gunicorn a:b -k gthread --threads 8       -> asgiserver a:b --interface wsgi --wsgi-threads 8
gunicorn a:b -k gevent                    -> asgiserver a:b --interface wsgi
gunicorn a:b -k asgi -b :80 -b unix:/x    -> asgiserver a:b --bind :80 --bind unix:/x
gunicorn a:b -k asgi --max-req 9 --keep 2 -> asgiserver a:b --timeout-keep-alive 2
gunicorn a:b -k asgi --max-requests 0     -> asgiserver a:b
gunicorn a:b -k asgi -e A=b               -> A=b asgiserver a:b
gunicorn -k asgi --proxy-protocol a:b     -> asgiserver a:b --proxy-protocol auto
gunicorn -k uvicorn.workers.UvicornH11Worker a:b -> asgiserver a:b --loop asyncio --http h11
hypercorn asgi:main                       -> asgiserver main:app
hypercorn wsgi:main:app -k uvloop         -> asgiserver main:app --loop uvloop --interface wsgi
hypercorn --verify-mode CERT_REQUIRED a:b -> asgiserver a:b --ssl-cert-reqs 2
granian --interface asgi a:b --workers 2  -> asgiserver a:b --workers 2 --interface asgi3
granian --interface asginl a:b            -> asgiserver a:b --interface asgi3 --lifespan off
granian a:b --http1-header-read-timeout 5 -> asgiserver a:b --timeout-request-head 5ms
granian a:b --static-path-mount ./s       -> asgiserver a:b --static /static=./s
daphne -b ::1 -p 80 shop.asgi             -> asgiserver shop.asgi:application --host ::1 --port 80
daphne -s Shop a:b                        -> asgiserver a:b --header Server:Shop
"""


@pytest.mark.parametrize("line", COMMANDS.strip().splitlines())
def test_commands(line):
    theirs, ours = (side.strip() for side in line.split("->"))
    assert lines_of(theirs, command=True) == ours


def test_what_differs_is_said():
    notes = "\n".join(lines_of("uvicorn main:app"))
    assert "# --timeout-keep-alive is 75s by default; uvicorn's default is 5s" in notes
    stop = "# --timeout-graceful-shutdown is 25s by default; uvicorn's default is no limit"
    assert stop in notes
    assert "exit code after SIGTERM or Ctrl-C is 0" in notes


def test_what_was_given_is_no_difference():
    assert "--timeout-keep-alive" not in "".join(lines_of("uvicorn a:b --timeout-keep-alive 5"))
    assert "--access-log" not in "".join(lines_of("granian a:b --no-access-log"))


@pytest.mark.parametrize(
    ("command", "note"),
    [
        ("uvicorn a:b --wrokers 4", "--wrokers: uvicorn has no such option; it is left out; did"),
        ("uvicorn --nonsense a:b", "--nonsense: uvicorn has no such option; it is left out"),
        ("gunicorn -c conf.py a:b", "-c names a Python file: translate its settings by hand"),
        ("gunicorn -c conf.py", "APP is named in the configuration file, or missing"),
        ("gunicorn a:b", "--wsgi-threads 1 runs one request at a time"),
        ("gunicorn a:b", 'pip install "asgiserver-py[wsgi]"'),
        ("gunicorn a:b -k gevent", "no green threads"),
        ("gunicorn a:b -k tornado", "-k tornado is unknown"),
        ("gunicorn 'a:make(1)'", "a factory is called without arguments here"),
        ("GUNICORN_CMD_ARGS=-w4 gunicorn a:b", "GUNICORN_CMD_ARGS is not read"),
        ("hypercorn a:b -k trio", "must run on asyncio"),
        ("hypercorn a:b -c x.toml", "translate it by hand"),
        ("granian a:b", "RSGI is granian's own"),
        ("daphne a:b --proxy-headers", "name yours with --forwarded-allow-ips"),
    ],
)
def test_notes(command, note):
    assert note in "\n".join(lines_of(command))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Usage"),
        (["nginx -c x"], "names no known server (uvicorn, gunicorn"),
        (["main:app"], "names no known server"),
        (["uvicorn"], "the application is missing"),
        (["uvicorn a:b c:d"], "'a:b' and 'c:d' both look like the application"),
        (["uvicorn 'a:b"], "cannot be split into words"),
        (["uvicorn a:b && echo"], "'&&' is a shell operator"),
        (["uvicorn a:b 2>&1"], "'2>&1' is a shell operator"),
        (["uvicorn a:b --port"], "--port needs a value"),
    ],
)
def test_what_cannot_be_used(words, said, capsys):
    assert cli(["migrate", *words]) == 2
    written = capsys.readouterr()
    assert said in written.err + written.out
    if words:
        with pytest.raises(Unusable):
            migrate(words)


def test_the_command(capsys):
    assert cli(["migrate", "uvicorn a:b --port 80"]) == 0
    assert capsys.readouterr().out.startswith("asgiserver a:b --port 80\n# ")
    assert cli(["migrate", "uvicorn", "a:b", "--port", "80"]) == 0
    assert capsys.readouterr().out.startswith("asgiserver a:b --port 80\n# ")
    assert cli(["migrate", "--help"]) == 0
    assert "uvicorn" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        "uvicorn main:app --workers 4",
        "gunicorn main:app -k uvicorn.workers.UvicornWorker -w 4",
        "hypercorn main:app --workers 4",
        "granian main:app --interface asgi --workers 4",
        "daphne main:app",
    ],
)
def test_the_program(command):
    program = [sys.executable, "-m", "asgiserver", "migrate", command]
    done = subprocess.run(program, capture_output=True, text=True, timeout=110, check=True)
    line, *notes = done.stdout.splitlines()
    assert line.startswith("asgiserver main:app")
    assert ("--workers 4" in line) == ("4" in command)
    assert notes
    assert all(note.startswith("# ") for note in notes)
    assert not done.stderr


def test_uvicorns_options_are_all_there():
    uvicorn = pytest.importorskip("uvicorn.main")
    known = {name: flag for flag in SERVERS["uvicorn"].flags for name in flag.names}
    for parameter in uvicorn.main.params:
        if isinstance(parameter, click.Option):
            for name in (*parameter.opts, *parameter.secondary_opts):
                assert name in known, name
                takes = not (parameter.is_flag or parameter.name == "version")
                assert known[name].takes == takes, name


def test_gunicorns_options_are_all_there():
    config = pytest.importorskip("gunicorn.config")
    known = {name: flag for flag in SERVERS["gunicorn"].flags for name in flag.names}
    for setting in config.KNOWN_SETTINGS:
        for name in setting.cli or ():
            assert name in known, name
            assert known[name].takes == (not (setting.action or "").startswith("store")), name


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("fastapi run main.py", "asgiserver main:app --host 0.0.0.0"),
        (
            "fastapi run app/main.py --port 80 --workers 4",
            "asgiserver app.main:app --port 80 --workers 4 --host 0.0.0.0",
        ),
        ("fastapi dev api/main.py", "asgiserver main:app --reload --app-dir api"),
        ("fastapi dev main.py --no-reload --app api", "asgiserver main:api"),
        ("fastapi run -e shop.web:api --host ::1", "asgiserver shop.web:api --host ::1"),
        ("uv run fastapi run", "uv run asgiserver main:app --host 0.0.0.0"),
    ],
)
def test_fastapi_s_own_command(line, command, tmp_path, monkeypatch):
    """As FastAPI's documentation has it in Dockerfiles."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").touch()
    found = migrate([line])
    assert found.command() == command
    assert "fastapi's default is 5s" in found.text()


def test_other_commands_of_fastapi_serve_nothing():
    with pytest.raises(Unusable, match="only run and dev serve"):
        migrate(["fastapi deploy"])
