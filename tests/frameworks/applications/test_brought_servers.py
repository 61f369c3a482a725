"""Packages that start uvicorn themselves, on this server by ``asgiserver exec``.

Each answers with our Server field, and ends at Ctrl-C with the exit code that it has with uvicorn.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest
from mcp import Client
from ports import held_port

WAIT = 120  # seconds for a start, as some of them import for long on a busy machine
END = 30  # seconds for a stop

FASTAPI = """
from fastapi import FastAPI

app = FastAPI()

@app.get("/")
def read() -> str:
    return "tea"
"""

LITESTAR = """
from litestar import Litestar, get

@get("/")
async def read() -> str:
    return "tea"

app = Litestar([read])
"""

NICEGUI = """
from nicegui import app, ui

@ui.page("/")
def page():
    ui.label("tea")

@app.get("/stop")
def stop():
    app.shutdown()

if __name__ in {"__main__", "__mp_main__"}:
    ui.run(port=PORT, show=False, reload=RELOAD, host="127.0.0.1")
"""

NICEGUI_WITH_FASTAPI = """
from fastapi import FastAPI
from nicegui import app as pages, ui

app = FastAPI()

@ui.page("/")
def page():
    ui.label("tea")

@app.get("/stop")
def stop():
    pages.shutdown()

ui.run_with(app)
"""

GRADIO = """
import gradio

with gradio.Blocks() as demo:
    gradio.Markdown("tea")

demo.launch(server_port=PORT, quiet=True, prevent_thread_lock=True)
print("launched")
demo.block_thread()
"""

MARIMO = """
import marimo

app = marimo.App()

@app.cell
def _():
    import marimo as mo
    mo.md("tea")
    return

if __name__ == "__main__":
    app.run()
"""

MCP = """
from mcp.server.mcpserver import MCPServer


class Server(MCPServer):
    def run(self, transport="stdio", **settings):
        super().run(transport, port=PORT, **settings)


server = Server("teas")

@server.tool()
def tea() -> str:
    return "green"

if __name__ == "__main__":
    server.run("streamable-http")
"""


class Brought:
    """A program that starts a server of its own; `output` is what it has printed so far."""

    def __init__(self, folder, port, *words):
        ours = ("ASGISERVER_", "UVICORN_", "PORT", "WEB_CONCURRENCY", "PYTHON", "PYTEST")
        env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asgiserver", "exec", "--", *words],
            cwd=folder,
            env={**env, "PYTHONUNBUFFERED": "1", "GRADIO_ANALYTICS_ENABLED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self._lines = []
        self._thread = threading.Thread(target=lambda: self._lines.extend(self.process.stdout))
        self._thread.start()

    @property
    def output(self):
        return "".join(self._lines)

    def get(self, path="/"):
        """The answer to a GET, as soon as there is one."""
        end = time.monotonic() + WAIT
        with httpx.Client(base_url=self.url, trust_env=False, timeout=END) as client:
            while True:
                try:
                    return client.get(path)
                except httpx.TransportError:
                    assert self.process.poll() is None, self.output
                    assert time.monotonic() < end, self.output
                    time.sleep(0.05)

    def wait_output(self, text):
        """Wait until `text` is in the output."""
        end = time.monotonic() + WAIT
        while text not in self.output:
            assert time.monotonic() < end, self.output
            time.sleep(0.05)

    def end(self, number=None):
        """The exit code, after a signal to the whole group, as a terminal sends it."""
        if number is not None:
            os.killpg(self.process.pid, number)
        try:
            return self.process.wait(END)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end: {self.output}") from None

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._thread.join()
        self.process.stdout.close()


@pytest.fixture
def port():
    return held_port()


@pytest.fixture
def brought(tmp_path, port):
    """``brought(program, *words)`` writes main.py, and starts the words as a command."""
    started = []

    def start(program, *words):
        (tmp_path / "main.py").write_text(program.replace("PORT", str(port)))
        words = [word.replace("PORT", str(port)) for word in words]
        started.append(Brought(tmp_path, port, *words))
        return started[-1]

    yield start
    for one in started:
        one.close()


def answers(server, text="tea"):
    response = server.get()
    assert response.status_code == 200, server.output
    assert response.headers["server"] == "asgiserver"
    assert text in response.text


@pytest.mark.parametrize(
    "words",
    [
        ("fastapi", "run", "main.py", "--port", "PORT", "--host", "127.0.0.1"),
        ("fastapi", "run", "main.py", "--port", "PORT", "--workers", "2"),
        ("fastapi", "dev", "main.py", "--port", "PORT"),
    ],
    ids=["run", "workers", "dev"],
)
def test_fastapi(brought, words):
    server = brought(FASTAPI, *words)
    answers(server)
    assert server.end(signal.SIGINT) == 0
    assert "Traceback" not in server.output


def test_fastapi_dev_reloads(brought, tmp_path):
    server = brought(FASTAPI, "fastapi", "dev", "main.py", "--port", "PORT")
    answers(server)
    (tmp_path / "main.py").write_text(FASTAPI.replace("tea", "coffee"))
    end = time.monotonic() + WAIT
    while "coffee" not in server.get().text:
        assert time.monotonic() < end, server.output
        time.sleep(0.05)
    assert server.end(signal.SIGINT) == 0


# The exit codes are those that each has with uvicorn, which raises a caught SIGINT again.
@pytest.mark.parametrize(
    ("words", "code"),
    [((), 0), (("--wc", "2"), 1), (("--reload",), 1)],
    ids=["run", "workers", "reload"],
)
def test_litestar(brought, words, code):
    server = brought(LITESTAR, "litestar", "--app", "main:app", "run", "--port", "PORT", *words)
    answers(server)
    assert server.end(signal.SIGINT) == code
    assert "Uvicorn running" not in server.output


@pytest.mark.parametrize(("reload", "code"), [(False, -signal.SIGINT), (True, 0)])
def test_nicegui(brought, reload, code):
    server = brought(NICEGUI.replace("RELOAD", str(reload)), "python", "main.py")
    answers(server)
    assert server.end(signal.SIGINT) == code


@pytest.mark.parametrize("reload", [False, True])
def test_nicegui_shuts_down(brought, reload):
    server = brought(NICEGUI.replace("RELOAD", str(reload)), "python", "main.py")
    answers(server)
    server.get("/stop")
    assert server.end() == 0
    assert "Traceback" not in server.output


def test_nicegui_with_fastapi_shuts_down(brought):
    server = brought(NICEGUI_WITH_FASTAPI, "uvicorn", "main:app", "--port", "PORT")
    answers(server)
    server.get("/stop")
    assert server.end() == 0
    assert "Traceback" not in server.output


def test_gradio(brought):
    server = brought(GRADIO, "python", "main.py")
    answers(server)
    server.wait_output("launched")  # until then the program asks its own server
    assert server.end(signal.SIGINT) == 0
    assert "Keyboard interruption" in server.output


def test_marimo(brought):
    words = ("run", "main.py", "--headless", "--no-token", "--host", "127.0.0.1", "-p", "PORT")
    server = brought(MARIMO, "marimo", *words)
    answers(server, "marimo")
    assert server.end(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("mcp", "run", "main.py:server", "-t", "streamable-http"), 128 + signal.SIGINT),
        (("python", "main.py"), -signal.SIGINT),
    ],
    ids=["command", "program"],
)
def test_mcp(brought, words, code):
    server = brought(MCP, *words)
    assert server.get("/mcp").headers["server"] == "asgiserver"

    async def call():
        async with Client(f"{server.url}/mcp") as client:
            return await client.call_tool("tea")

    result = asyncio.run(call())
    assert [content.text for content in result.content] == ["green"]
    assert server.end(signal.SIGINT) == code
