"""Whatever an application does with `logging`, the server's lines are there, once and whole."""

import contextlib
import re
import signal

import pytest
from cli_server import Command

OURS = r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "

HANDLER = """
async def answer(send, status, body):
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        at_startup()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    elif scope["path"] == "/configure":
        on_request()
        await answer(send, 200, b"done")
    elif scope["path"] == "/answered":  # as Starlette's ServerErrorMiddleware
        await answer(send, 500, b"sorry")
        raise RuntimeError("answered and raised")
    elif scope["path"] == "/fail":
        raise RuntimeError("not answered")
    else:
        await answer(send, 200, b"hello")
"""

BASIC = """
import logging
logging.basicConfig(level=logging.INFO, format="%(levelname)s|%(name)s|%(message)s")
"""

# Calls `configure` at that moment.
MOMENTS = {
    "import": "at_startup = on_request = lambda: None\nconfigure()\n",
    "start-up": "at_startup, on_request = configure, lambda: None\n",
    "request": "at_startup, on_request = lambda: None, configure\n",
}

# As Django's LOGGING is often written: for its own loggers, and nothing said of others.
DISABLING = """
import logging.config
def configure():
    logging.config.dictConfig({
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django": {"handlers": ["console"]}, %s},
    })
"""


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(configuration, *args, handler=HANDLER):
            (tmp_path / "main.py").write_text(configuration + handler)
            command = Command(tmp_path, "main:app", "--port", "0", *args)
            stack.callback(command.close)
            command.wait_ready()
            return command

        yield start


def end(server):
    server.kill(signal.SIGTERM)
    assert server.wait() == 0, server.output
    return server.output


def websocket(server):
    """Open a WebSocket and close it with 1000."""
    with server.connect() as sock:
        sock.sendall(
            b"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert b" 101 " in sock.recv(65536)
        sock.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
        while sock.recv(65536):
            pass


def test_access_lines_are_whole_in_the_format_of_basic_config(start):
    server = start(BASIC, "--lifespan", "off")
    server.get("/a?b=1")
    websocket(server)
    server.get("/fail")
    lines = [line for line in end(server).splitlines() if line.startswith("INFO|asgiserver.access")]
    patterns = [
        r'"GET /a\?b=1 HTTP/1.1" 200 5B [\d.]+ms',
        r'"GET /ws HTTP/1.1" 101 \d+B [\d.]+ms open',
        r'"GET /ws HTTP/1.1" 101 \d+B [\d.]+ms closed 1000 0 in, 0 out',
        r'"GET /fail HTTP/1.1" 500 21B [\d.]+ms app_error',
    ]
    assert len(lines) == len(patterns)
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(r"INFO\|asgiserver.access\|127.0.0.1:\d+ - " + pattern, line)


@pytest.mark.parametrize(
    ("moment", "workers"), [*((moment, "1") for moment in MOMENTS), ("request", "2")]
)
def test_a_stray_warning_changes_no_line(start, moment, workers):
    stray = "import logging\ndef configure():\n    logging.warning('stray')\n"
    server = start(stray + MOMENTS[moment], "--workers", workers)
    server.get("/configure")
    server.get("/fail")
    output = end(server)
    assert output.count("WARNING:root:stray") >= 1
    for once in ("RuntimeError: not answered", '"GET /fail HTTP/1.1" 500'):
        assert output.count(once) == 1, output
    last = "Stopped" if workers == "1" else "Supervisor stopped, exit code 0"
    assert len(re.findall(OURS + f"INFO     {last}$", output)) == 1, output
    assert not re.search(r"(?m)^[A-Z]+:asgiserver", output), output


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("moment", MOMENTS)
def test_disabled_loggers_hide_nothing_of_the_server(start, moment, named):
    configure = DISABLING % ("'asgiserver': {'level': 'INFO'}" if named else "")
    server = start(configure + MOMENTS[moment])
    server.get("/configure")
    server.get("/fail")
    output = end(server)
    assert len(re.findall(OURS + "ERROR    Exception in ASGI application: GET /fail", output)) == 1
    assert output.count("RuntimeError: not answered") == 1
    assert (
        len(
            re.findall(
                OURS + r'INFO     127.0.0.1:\d+ "GET /fail HTTP/1.1" 500 .* app_error$', output
            )
        )
        == 1
    )
    assert len(re.findall(OURS + "INFO     Stopped$", output)) == 1


def test_a_configuration_that_comes_late_takes_over(start):
    late = """
import logging
def configure():
    logging.basicConfig(level=logging.INFO, format="%(levelname)s|%(message)s")
"""
    server = start(late + MOMENTS["request"])
    server.get("/fail")
    server.get("/configure")
    server.get("/fail")
    output = end(server)
    assert len(re.findall(OURS + "ERROR    Exception in ASGI", output)) == 1
    assert len(re.findall(r"(?m)^ERROR\|Exception in ASGI", output)) == 1
    assert len(re.findall(r"(?m)^INFO\|Stopped$", output)) == 1
    assert len(re.findall(OURS + r'INFO     127.0.0.1:\d+ "GET /\w+ HTTP/1.1"', output)) == 3


def test_a_500_that_was_answered_and_raised_is_an_app_error(start):
    server = start("at_startup = lambda: None\n")
    server.get("/answered")
    output = end(server)
    lines = re.findall(OURS + r'INFO     127.0.0.1:\d+ "GET /answered HTTP/1.1" 500 5B .*$', output)
    assert len(lines) == 1
    assert lines[0].endswith(" app_error")
    assert output.count("RuntimeError: answered and raised") == 1


STARLETTE = """
from starlette.applications import Starlette
from starlette.routing import Route

async def fail(request):
    raise RuntimeError("in a route")

app = Starlette(routes=[Route("/", fail)])
"""


def test_a_500_of_starlette_is_an_app_error(start):
    pytest.importorskip("starlette")
    server = start(STARLETTE, handler="")
    server.get("/")
    output = end(server)
    assert re.search(
        OURS + r'INFO     127.0.0.1:\d+ "GET / HTTP/1.1" 500 21B .* app_error$', output
    ), output
