"""What a person sees who develops with the server: on a terminal, and in the log of a container."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest
from cli_server import Command
from process_server import DEADLINE, ServerProcess, replace

from asgiserver import __version__

APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/fail":
        raise RuntimeError("no")
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"


class Screen:
    """A server whose standard streams are a terminal."""

    def __init__(self, folder, *options, **environ):
        (folder / "main.py").write_text(APP)
        self.text = ""
        self._master, slave = pty.openpty()
        plain = {n: v for n, v in os.environ.items() if n not in ("NO_COLOR", "FORCE_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asgiserver", "main:app", "--port", "0", *options],
            cwd=folder,
            env={**plain, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", **environ},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self._master)

    def see(self, pattern):
        end = time.monotonic() + DEADLINE
        while not (found := re.search(pattern, self.text)):
            ready, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
            assert ready, self.text
            self.text += os.read(self._master, 65536).decode().replace("\r\n", "\n")
        return found

    def get(self, path="/"):
        port = int(self.see(r"http://127\.0\.0\.1:(\d+)")[1])
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()


def plain(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_the_panel_of_a_start(tmp_path):
    (tmp_path / "asgiserver.toml").write_text("backlog = 100\n")
    with Screen(tmp_path, "--lifespan", "off") as screen:
        screen.see("Ctrl-C stops")
        text = plain(screen.text)
    assert f"asgiserver {__version__}  main:app\n" in text
    assert re.search(r"^  Serving on  http://127\.0\.0\.1:\d+$", text, re.MULTILINE)
    assert re.search(r"^  Event loop  (uvloop|asyncio)$", text, re.MULTILINE)
    assert re.search(r"^  HTTP/1      (compiled core|httptools|h11)", text, re.MULTILINE)
    assert re.search(r"^  Options     asgiserver.toml, arguments$", text, re.MULTILINE)
    assert "Workers" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_panel_of_workers_names_an_address_to_click(tmp_path):
    with Screen(tmp_path, "--lifespan", "off", "--workers", "2", "--host", "0.0.0.0") as screen:
        screen.see("Ctrl-C stops")
        text = plain(screen.text)
    assert re.search(r"Serving on  http://0\.0\.0\.0:\d+\n +http://localhost:\d+\n", text)
    assert re.search(r"^  Workers     2$", text, re.MULTILINE)


def test_lines_on_a_terminal_have_the_time_of_day_and_colours(tmp_path):
    with Screen(tmp_path, "--lifespan", "off") as screen:
        screen.see("Ctrl-C stops")
        screen.get("/x")
        screen.see('"GET /x HTTP/1.1"')
        screen.get("/fail")
        screen.see('"GET /fail HTTP/1.1".*\n')
        start = r"\x1b\[2m\d\d:\d\d:\d\d\x1b\[0m "
        assert re.search(
            start + r'\x1b\[32mINFO    \x1b\[0m 127\.0\.0\.1:\d+ "GET /x HTTP/1\.1" '
            r"\x1b\[33m404\x1b\[0m 5B [\d.]+ms\n",
            screen.text,
        )
        assert re.search(start + r"\x1b\[31mERROR   \x1b\[0m Exception in ASGI", screen.text)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_when_they_are_not_wanted(tmp_path, environ):
    with Screen(tmp_path, "--lifespan", "off", **environ) as screen:
        screen.see("Ctrl-C stops")
        screen.get()
        screen.see(r'(?m)^\d\d:\d\d:\d\d INFO     127\.0\.0\.1:\d+ "GET / HTTP/1.1" 404 5B')
        assert "\x1b" not in screen.text


def test_force_color_colours_a_file(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    options = ["main:app", "--port", "0", "--lifespan", "off"]
    command = Command(tmp_path, *options, env={"FORCE_COLOR": "1", "NO_COLOR": ""})
    try:
        command.wait_ready()
        command.get()
        command.kill(signal.SIGTERM)
        command.wait()
    finally:
        command.close()
    assert re.search(rf"(?m)^{STAMP} \x1b\[32mINFO    \x1b\[0m Serving on", command.output)
    assert "\x1b[33m404\x1b[0m" in command.output


def test_the_stop_of_four_workers_takes_three_lines_at_most(tmp_path):
    with ServerProcess(tmp_path, "--workers", "4").ready() as server:
        server.see("is ready after", 4)
        server.see("Serving on")
        since = len(server.lines)
        assert server.stop() == 0
        last = [re.sub(rf"^{STAMP} ", "", line) for line in server.lines[since:]]
    assert last == ["INFO     Stopping (SIGTERM)", "INFO     Supervisor stopped, exit code 0"]


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_a_drain_says_how_long_it_lasts(tmp_path, options):
    with ServerProcess(tmp_path, "--drain-delay", "0.2", *options).ready() as server:
        since = len(server.lines)
        assert server.stop() == 0
        text = "\n".join(server.lines[since:])
    assert text.count("Accepting connections for 0.2 s more (--drain-delay)") == 1
    assert text.index("Stopping (SIGTERM)") < text.index("Accepting connections")


def test_a_reload_takes_two_lines(tmp_path):
    with ServerProcess(tmp_path, "--reload").ready() as server:
        server.see("Serving on")
        since = len(server.lines)
        app = tmp_path / "app.py"
        replace(app, app.read_text().replace("VERSION = 1", "VERSION = 22"))
        server.see("Restart complete", since=since)
        last = [re.sub(rf"^{STAMP} ", "", line) for line in server.lines[since:]]
        assert server.get()["version"] == 22
    assert last[0] == "INFO     app.py changed, reloading"
    assert re.fullmatch(r"INFO     Restart complete after [\d.]+ s", last[1])
    assert len(last) == 2


def test_lines_of_several_workers_are_numbered(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    options = ["main:app", "--port", "0", "--lifespan", "off", "--workers", "2"]
    command = Command(tmp_path, *options)
    try:
        command.wait_ready()
        command.get("/fail")
        command.kill(signal.SIGTERM)
        command.wait()
    finally:
        command.close()
    assert re.search(rf'(?m)^{STAMP} INFO     \[[01]\] 127\.0\.0\.1:\d+ "GET /fail', command.output)
    assert re.search(rf"(?m)^{STAMP} ERROR    \[[01]\] Exception in ASGI", command.output)


STARLETTE = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.routing import Route

async def fail(request):
    return find_the_answer()

def find_the_answer():
    raise RuntimeError("no answer")

@asynccontextmanager
async def lifespan(app):
    if STARTS:
        yield
    raise ConnectionError("database is down")

app = Starlette(routes=[Route("/", fail)], lifespan=lifespan)
"""


def test_the_traceback_of_a_request_begins_with_the_application(tmp_path):
    pytest.importorskip("starlette")
    (tmp_path / "main.py").write_text("STARTS = True\n" + STARLETTE.replace("raise Conn", "# "))
    frames = {}
    for level in ("info", "debug"):
        command = Command(tmp_path, "main:app", "--port", "0", "--log-level", level)
        try:
            command.wait_ready()
            already = len(command.output)
            command.get()
            command.kill(signal.SIGTERM)
            command.wait()
        finally:
            command.close()
        frames[level] = re.findall(r'(?m)^  File ".*?([^/"]+)", line', command.output[already:])
    assert frames["info"] == ["main.py", "main.py"]
    assert len(frames["debug"]) > 10


def test_a_lifespan_that_fails_is_one_short_traceback_and_one_line(tmp_path):
    pytest.importorskip("starlette")
    (tmp_path / "main.py").write_text("STARTS = False\n" + STARLETTE)
    command = Command(tmp_path, "main:app", "--port", "0", ready=False)
    try:
        assert command.wait() == 3
    finally:
        command.close()
    lines = command.output.splitlines()
    assert lines[-1] == (
        "asgiserver: error: the application's start-up failed: ConnectionError: database is down"
    )
    assert command.output.count("Traceback") == 1
    assert re.findall(r'File ".*?([^/"]+)", line', command.output) == ["main.py"]


def test_debug_tells_a_story(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    (tmp_path / "asgiserver.toml").write_text("backlog = 100\n")
    options = ["main:app", "--port", "0", "--log-level", "debug"]
    command = Command(tmp_path, *options, env={"ASGISERVER_WS": "wsproto"})
    try:
        command.wait_ready()
        command.get()
        command.wait_output("Connection ended")
        command.kill(signal.SIGTERM)
        command.wait()
    finally:
        command.close()
    story = [
        "Application: loaded main:app in",
        "Options from asgiserver.toml, ASGISERVER_WS, arguments",
        "Event loop: auto (",
        "HTTP/1 heads: ",
        "WebSockets: wsproto",
        "Serving on",
        "Connection opened: 127.0.0.1:",
        '"GET / HTTP/1.1" 404',
        "Connection ended: 127.0.0.1:",
        "Stopping (SIGTERM)",
    ]
    places = [command.output.find(text) for text in story]
    assert -1 not in places, command.output
    assert places == sorted(places), command.output


def test_a_client_that_leaves_is_no_noise(tmp_path):
    with ServerProcess(tmp_path).ready() as server:
        server.see("Serving on")
        since = len(server.lines)
        for path in ("/stream", "/sleep/0.1"):
            client = server.send_request(path)
            client.close()
        assert server.get("/sleep/0.2")["version"] == 1
        assert server.stop() == 0
        last = [re.sub(rf"^{STAMP} ", "", line) for line in server.lines[since:]]
    assert last == ["INFO     Stopping (SIGTERM)", "INFO     Stopped"]
