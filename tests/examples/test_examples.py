"""Each example, run with the command of its docstring and used over a real socket."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
ENDED_IN = 40  # seconds; far more than any of it takes


def command_of(name: str) -> list[str]:
    """The first command in the docstring of an example, for this interpreter."""
    source = (ROOT / "examples" / f"{name}.py").read_text()
    line = next(
        line.strip()
        for line in source.splitlines()
        if line.startswith(("    asgiserver ", "    python "))
    )
    program, *arguments = shlex.split(line)
    return [sys.executable, *(["-m", "asgiserver"] if program == "asgiserver" else []), *arguments]


def environment() -> dict[str, str]:
    """Ours, without options of the server and with this source tree."""
    ours = ("ASGISERVER_", "UVICORN_", "PORT", "WEB_CONCURRENCY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::ResourceWarning"}


class Running:
    """An example that is served by a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def stop(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Stop it as `number` does; what it has logged. It has to exit with 0."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=ENDED_IN)
        assert self.process.returncode == 0, log
        assert "Traceback" not in log
        return log


@contextlib.contextmanager
def running(name: str) -> Iterator[Running]:
    reader, writer = os.pipe()
    with open(reader) as ready:
        process = subprocess.Popen(
            [*command_of(name), "--port", "0", "--ready-fd", str(writer)],
            cwd=ROOT,
            env=environment(),
            pass_fds=[writer],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writer)
        with process:
            try:
                report = ready.read()  # until the server, or its end, closes the other side
                if not report:
                    pytest.fail(process.communicate(timeout=ENDED_IN)[1])
                yield Running(process, json.loads(report)["addresses"][0])
            finally:
                if process.poll() is None:
                    process.kill()


@contextlib.contextmanager
def client_of(name: str) -> Iterator[httpx.Client]:
    """A client of an example, which is stopped cleanly in the end."""
    with running(name) as server:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            yield client
        server.stop()


def test_bare_answers_and_echoes() -> None:
    with client_of("bare") as client:
        assert client.get("/hello").text == "Hello, world!\n"
        assert client.get("/hello", params={"name": "Ada"}).text == "Hello, Ada!\n"
        assert client.head("/hello").content == b""
        assert client.post("/echo", content=[b"in ", b"two parts"]).text == "in two parts"
        assert client.get("/nowhere").status_code == 404


def test_starlette_serves_pages_files_and_errors() -> None:
    with client_of("starlette_app") as client:
        index = client.get("/")
        assert "<h1>Hello, 127.0.0.1</h1>" in index.text
        assert index.headers["content-encoding"] == "gzip"
        assert client.get("/squares/7").json() == {"number": 7, "square": 49}
        source = client.get("/source.py")
        assert source.text == (ROOT / "examples" / "starlette_app.py").read_text()
        assert source.headers["content-encoding"] == "gzip"
        missing = client.get("/nowhere")
        assert missing.status_code == 404
        assert missing.json() == {"error": "Not Found", "path": "/nowhere"}


async def test_fastapi_with_aiohttp() -> None:
    with running("fastapi_app") as server:
        async with aiohttp.ClientSession(server.url) as session:

            async def get(path: str) -> Any:
                async with session.get(path) as response:
                    assert response.status == 200
                    return await response.json()

            assert (await get("/"))["http"] == "1.1"
            item = {"name": "tea", "price": 2.5}
            async with session.post("/items", json=item) as response:
                assert response.status == 201
                assert await response.json() == {"id": 1, **item}
            assert await get("/items/1") == item
            async with session.get("/items/2") as response:
                assert response.status == 404
            async with session.post("/items", json={"name": "free"}) as response:
                assert response.status == 422
            async with session.post("/greet", data={"name": "Ada"}) as response:
                assert await response.json() == {"greeting": "Hello, Ada!"}
            while not (entries := await get("/journal")):  # the background task takes its time
                pass
            assert entries == ["created tea"]
        server.stop()


def test_fastapi_streams_and_documents_itself() -> None:
    with client_of("fastapi_app") as client:
        with client.stream("GET", "/countdown/3") as response:
            assert response.headers["transfer-encoding"] == "chunked"
            assert list(response.iter_lines()) == ["3", "2", "1", "lift-off"]
        assert "swagger" in client.get("/docs").text
        assert "/countdown/{start}" in client.get("/openapi.json").json()["paths"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_fastapi_with_curl() -> None:
    def curl(*arguments: str) -> str:
        command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    with running("fastapi_app") as server:
        assert json.loads(curl(server.url))["hello"] == "world"
        assert json.loads(curl("--http1.0", server.url))["http"] == "1.0"
        assert "Hello, Ada!" in curl("--data", "name=Ada", f"{server.url}/greet")
        assert curl("--no-buffer", f"{server.url}/countdown/2") == "2\n1\nlift-off\n"
        both = curl(server.url, f"{server.url}/journal", "--write-out", "%{num_connects}")
        assert both.endswith("0"), "the second request uses the connection of the first"
        server.stop()


def test_sse_says_goodbye_when_the_server_stops() -> None:
    with running("sse") as server:
        timeout = httpx.Timeout(ENDED_IN)
        with httpx.stream("GET", server.url, timeout=timeout, trust_env=False) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = response.iter_lines()
            assert next(line for line in lines if line.startswith("event:")) == "event: time"
            server.process.send_signal(signal.SIGINT)
            rest = list(lines)  # ends, and not with an error: the response is complete
        assert "event: goodbye" in rest
        _, log = server.process.communicate(timeout=ENDED_IN)
        assert server.process.returncode == 0
        assert "Cancelled" not in log


def test_sse_survives_a_client_that_leaves() -> None:
    with running("sse") as server:
        with httpx.stream("GET", server.url, trust_env=False) as response:
            assert next(response.iter_lines()) == "retry: 1000"
        assert "ERROR" not in server.stop()


def test_upload_of_chunks_with_a_known_digest() -> None:
    parts = [bytes([number]) * 100_000 for number in range(50)]
    with client_of("upload") as client:
        stored = client.put("/", content=iter(parts))
        assert stored.status_code == 201
        assert stored.json() == {
            "bytes": 5_000_000,
            "sha256": hashlib.sha256(b"".join(parts)).hexdigest(),
        }
        assert client.get("/").headers["allow"] == "PUT, POST"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_upload_takes_constant_memory() -> None:
    def peak(pid: int) -> int:
        """The most memory (KiB) that the process has ever had."""
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])

    with running("upload") as server:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            client.put("/", content=b"x" * 1_000_000)  # what it needs at all
            before = peak(server.process.pid)
            size = 64 * 2**20
            block = bytes(2**20)
            stored = client.put("/", content=(block for _ in range(64)))
            assert stored.json()["bytes"] == size
            assert peak(server.process.pid) - before < size // 1024 // 4
        server.stop()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_upload_of_a_file_with_curl(tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(os.urandom(3_000_000))  # large enough for curl to ask with Expect first
    with running("upload") as server:
        command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20"]
        done = subprocess.run(
            [*command, "--upload-file", str(file), f"{server.url}/"],
            check=True,
            capture_output=True,
        )
        assert json.loads(done.stdout)["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        server.stop()


def test_embed_serves_and_ends() -> None:
    done = subprocess.run(
        command_of("embed"),
        cwd=ROOT,
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
        timeout=ENDED_IN,
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("serving on http://127.0.0.1:")
    assert lines[1:] == ["answer: served from inside", "stopped"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_docstring_has_the_command(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring is not None
    assert re.search(rf"asgiserver examples\.{path.stem}:|python examples/{path.name}", docstring)
