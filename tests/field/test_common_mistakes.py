"""The mistakes that people make most often; each is one line with the closest hint.

They were collected from issues of other servers, and from the first day of people with this one.
"""

import socket

import pytest
from program import run_program

APP = """
class App:
    async def __call__(self, scope, receive, send):
        pass

def create(name):
    return App()

api = App()
VALUE = 1
"""

MISTAKES = {
    "misspelt module": (["mian:api"], "did you mean 'main'?"),
    "misspelt attribute": (["main:apii"], "did you mean 'api'?"),
    "another attribute": (["main:server"], "did you mean main:api?"),
    "no attribute": (["main"], "has neither 'app' nor 'application'; did you mean main:api?"),
    "path": (["main.py"], "name the module instead: main:app"),
    "path in a package": (["pkg/web.py:api"], "name the module instead: pkg.web:api"),
    "class": (["main:App"], "name an instance of it (main:api?), or let --factory make one"),
    "value": (["main:VALUE"], "'main:VALUE' is of type int, not an application"),
    "factory with arguments": (["main:create", "--factory"], "needs arguments (name); is it the"),
    "misspelt flag": (["main:api", "--prot", "80"], "did you mean --port?"),
    "nearly a flag": (["main:api", "--worker", "2"], "did you mean --workers?"),
    "misspelt value": (["main:api", "--http", "httptool"], "did you mean httptools?"),
    "misspelt level": (["main:api", "--log-level", "wraning"], "did you mean warning?"),
    "no unit": (["main:api", "--timeout-write", "1min"], "such as 30, 500ms, 1m30s or off"),
    "port alone": (["main:api", "-b", "8231"], "'8231' is no address; write :8231 for port 8231"),
    "URL": (["main:api", "--host", "http://localhost"], "is a URL; write host:port, such as"),
    "address of another": (["main:api", "--host", "192.0.2.1"], "no interface has this address"),
    "template": (["main:api", "--access-log-format", "{tim}"], "did you mean {time}?"),
    "key alone": (["main:api", "--ssl-keyfile", "k"], "is given without --ssl-certfile"),
    "no file": (["main:api", "-c", "x.toml"], "--config: no file 'x.toml'"),
    "two applications": (["main:api", "main:b"], "'main:b' is too much: give one application"),
    "nothing": ([], "APP is missing: write asgiserver module:attribute, such as main:app"),
}
IN_PYTHON = {
    "misspelt keyword": ("asgiserver.run('main:api', prot=1)", "did you mean 'port'?"),
    "misspelt field": ("asgiserver.Config('main:api', prot=1)", "did you mean 'port'?"),
    "workers of an object": (
        "asgiserver.run(lambda s, r, c: 0, workers=2)",
        "workers: 2 processes need the application as an import string",
    ),
    "in a loop": (
        "import asyncio\nasync def f(): asgiserver.run('main:api')\nasyncio.run(f())",
        "await asgiserver.serve(...)",
    ),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "web.py").write_text(APP)
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_on_the_command_line(folder, mistake):
    words, hint = MISTAKES[mistake]
    ended = run_program(folder, "-m", "asgiserver", *words)
    assert ended.code in (2, 3, 4)
    (line,) = ended.output.splitlines()
    assert line.startswith("asgiserver: error: ")
    assert hint in line


@pytest.mark.parametrize("mistake", IN_PYTHON)
def test_a_mistake_in_a_program(folder, mistake):
    code, hint = IN_PYTHON[mistake]
    ended = run_program(folder, "-c", f"import asgiserver\n{code}")
    assert ended.code == 1
    last = ended.output.splitlines()[-1]
    assert last.startswith("asgiserver.errors.ConfigError: ")
    assert hint in last
    assert "was never awaited" not in ended.output


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("ASGISERVER_PROT", "1", "did you mean ASGISERVER_PORT?"),
        ("WEB_CONCURRENCY", "many", "WEB_CONCURRENCY: expected a whole number or auto"),
        ("ASGISERVER_FACTORY", "yess", "ASGISERVER_FACTORY: expected true or false, not 'yess'"),
    ],
)
def test_a_mistake_in_the_environment(folder, name, value, hint):
    ended = run_program(folder, "-m", "asgiserver", "main:api", env={name: value})
    assert ended.code == 2
    assert hint in ended.output


def test_a_mistake_in_the_file(folder):
    (folder / "asgiserver.toml").write_text("prot = 1")
    ended = run_program(folder, "-m", "asgiserver", "main:api")
    assert ended.output == (
        "asgiserver: error: asgiserver.toml: unknown option 'prot'; did you mean 'port'?\n"
    )


def test_a_port_in_use(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_program(folder, "-m", "asgiserver", "main:api", "--port", str(port))
    assert ended.code == 4
    assert f"127.0.0.1:{port}: Address already in use; end the program that has it" in ended.output


@pytest.mark.parametrize("word", ["run", "serve"])
def test_a_verb_before_the_application_is_understood(folder, word):
    ended = run_program(folder, "-m", "asgiserver", word, "mian:api")
    assert "did you mean 'main'?" in ended.output


def test_help_as_a_word(folder):
    ended = run_program(folder, "-m", "asgiserver", "help")
    assert ended.code == 0
    assert "Examples:" in ended.output


def test_a_configuration_of_uvicorn_s_loggers_is_one_warning(folder):
    (folder / "log.json").write_text(
        '{"loggers": {"uvicorn": {"level": "INFO"}}, "handlers": {"x": {"class":'
        ' "logging.NullHandler"}}}'
    )
    (folder / "main.py").write_text("async def app(scope, receive, send): raise SystemExit")
    for options in [], ["--workers", "2"]:
        words = ["main:app", "--port", "0", "--lifespan", "off", "--log-config", "log.json"]
        ended = run_program(folder, "-m", "asgiserver", *words, *options, stop_at="Serving on")
        assert ended.code == 0
        assert ended.output.count("uvicorn's loggers are read as") == 1
