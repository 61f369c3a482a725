"""The command, run as a user runs it: it starts, serves, stops, and says what is wrong."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys

import pytest
from cli_server import ROOT, Command

APP = """
import asyncio, os, signal, sys, time

print("imported", flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("starting", flush=True)
        mode = os.environ.get("MODE", "")
        if mode == "fail":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        if mode == "bug":
            raise LookupError("a bug")
        if mode == "hang":
            await asyncio.Event().wait()
        if mode == "block":
            time.sleep(60)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("lifespan shutdown", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    if path == "/slow":
        print("slow begun", flush=True)
        await asyncio.sleep(0.5)
    if path == "/hang":
        print("hang begun", flush=True)
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200})
    if path.startswith("/sse"):
        part = {"type": "http.response.body", "body": b"data: x\\n\\n", "more_body": True}
        await send(part)
        if path == "/sse/listens":
            await receive()
            while (await receive())["type"] != "http.disconnect":
                pass
            print("told", flush=True)
            return
        while True:
            await asyncio.sleep(0.05)
            await send(part)
    await send({"type": "http.response.body", "body": path.encode()})

not_callable = 5

def broken():
    raise LookupError("in the factory")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


@pytest.fixture
def start(folder):
    commands = []

    def start(*args, **options):
        commands.append(Command(folder, *args, **options))
        return commands[-1]

    yield start
    for command in commands:
        command.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_start_serve_stop(start, number, loop):
    command = start("main:app", "--port", "0", "--loop", loop)
    (address,) = command.wait_ready()
    assert not address.endswith(":0")
    assert command.get("/hello").endswith(b"/hello")
    assert f"Serving on {address}" in command.output
    command.kill(number)
    assert command.wait() == 0
    assert "lifespan shutdown" in command.output
    assert "Traceback" not in command.output
    assert '"GET /hello HTTP/1.1" 200' in command.output


def test_a_running_request_is_answered_before_the_end(start):
    command = start("main:app", "--port", "0")
    command.wait_ready()
    with command.connect() as sock:
        sock.sendall(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        command.wait_output("slow begun")
        command.kill(signal.SIGTERM)
        data = b""
        while part := sock.recv(65536):
            data += part
    assert b"connection: close" in data
    assert data.endswith(b"/slow")
    assert command.wait() == 0


@pytest.mark.parametrize("path", ["/sse/listens", "/sse/never"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_endless_stream_and_ctrl_c(start, path, loop):
    """It is not waited for as other requests are, which are waited for longer than this test is."""
    options = ("--loop", loop, "--timeout-graceful-shutdown", "10m")
    command = start("main:app", "--port", "0", *options)
    command.wait_ready()
    with command.connect() as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        assert sock.recv(65536)
        command.kill(signal.SIGINT)
        assert command.wait() == 0
    output = command.output
    assert "lifespan shutdown" in output
    assert "Traceback" not in output
    if path == "/sse/listens":
        assert "told" in output
        assert "Cancelled" not in output
    else:
        assert f"Cancelled at shutdown: GET {path}" in output


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_wait(start, second):
    command = start("main:app", "--port", "0")
    command.wait_ready()
    with command.connect() as sock:
        sock.sendall(b"GET /hang HTTP/1.1\r\nhost: a\r\n\r\n")
        command.wait_output("hang begun")
        command.kill(signal.SIGTERM)
        command.wait_output("Stopping (SIGTERM)")
        command.kill(second)
        assert command.wait() == 0
        assert sock.recv(65536).startswith(b"HTTP/1.1 503 ")
    assert "Cancelled at shutdown: GET /hang" in command.output
    assert "lifespan shutdown" in command.output


@pytest.mark.parametrize(
    ("number", "loop"), [(signal.SIGINT, "asyncio"), (signal.SIGTERM, "uvloop")]
)
@pytest.mark.parametrize("mode", ["hang", "block"])
def test_a_signal_during_the_start_up(start, number, loop, mode):
    """Once is enough, also when the start-up blocks the event loop."""
    command = start("main:app", "--port", "0", "--loop", loop, env={"MODE": mode})
    command.wait_output("starting")
    command.kill(number)
    assert command.wait() == 128 + number
    assert "Serving" not in command.output
    assert "Traceback" not in command.output


def test_ctrl_c_during_the_import(start, folder):
    (folder / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)")
    command = start("slow:app")
    command.wait_output("importing")
    command.kill(signal.SIGINT)
    assert command.wait() == 130
    assert "Traceback" not in command.output


@pytest.mark.parametrize(
    ("args", "mode", "code", "text"),
    [
        (["missing:app"], "", 3, "missing"),
        (["main:nothing"], "", 3, "nothing"),
        (["main:not_callable"], "", 3, "not_callable"),
        (["main:broken", "--factory"], "", 3, "in the factory"),
        (["main:app", "--prot", "1"], "", 2, "--port"),
        (["main:app", "--port", "x"], "", 2, "port"),
        (["main:app", "--uds-mode", "9"], "", 2, "uds-mode"),
        ([], "", 2, "APP"),
        (["main:app", "--port", "0"], "fail", 3, "no database"),
        (["main:app", "--port", "0"], "bug", 3, "a bug"),
        (["main:app", "--port", "0", "--timeout-startup", "0.1"], "hang", 3, "timeout-startup"),
        (["main:app", "--host", "no.such.host.invalid"], "", 4, "no.such.host.invalid"),
        (["main:app", "--host", "192.0.2.1", "--port", "0"], "", 4, "192.0.2.1"),
        (["main:app", "--fd", "97"], "", 4, "97"),
    ],
)
def test_what_is_wrong_and_the_exit_code(start, args, mode, code, text):
    command = start(*args, env={"MODE": mode}, ready=False)
    assert command.wait() == code
    assert text in command.output
    last = command.output.strip().splitlines()[-1]
    assert "error" in last.lower()


def test_an_address_in_use(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = start("main:app", "--port", str(port))
        assert command.wait() == 4
        assert f"127.0.0.1:{port}" in command.output
        assert "starting" not in command.output


def test_ready_file(start, folder):
    path = folder / "ready.json"
    command = start("main:app", "--port", "0", "--ready-file", str(path))
    addresses = command.wait_ready()
    assert json.loads(path.read_text()) == {"addresses": addresses, "pid": command.process.pid}
    assert command.get("/x", addresses[0]).endswith(b"/x")
    command.kill()
    assert command.wait() == 0
    assert not path.exists()


def test_unix_socket(start, folder):
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    command = start("main:app", "--uds", str(path), "--uds-mode", "600")
    assert command.wait_ready() == [f"unix:{path}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert command.get("/x").endswith(b"/x")
    other = start("main:app", "--uds", str(path))
    assert other.wait() == 4
    assert command.get("/y").endswith(b"/y")
    command.kill()
    assert command.wait() == 0
    assert not path.exists()


def test_inherited_descriptor(start):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        number = sock.fileno()
        command = start("main:app", "--fd", str(number), pass_fds=[number])
        assert command.wait_ready() == [f"http://127.0.0.1:{sock.getsockname()[1]}"]
        assert command.get("/x").endswith(b"/x")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_several_addresses(start, folder):
    path = folder / "socket"
    binds = ["-b", "127.0.0.1:0", "-b", "[::1]:0", "-b", "[::]:0", "-b", f"unix:{path}"]
    command = start("main:app", *binds)
    addresses = command.wait_ready()
    assert [address.rpartition(":")[0] for address in addresses] == [
        "http://127.0.0.1",
        "http://[::1]",
        "http://[::]",
        "unix",
    ]
    for address in addresses:
        assert command.get("/x", address.replace("[::]", "[::1]")).endswith(b"/x")
    both = addresses[2].replace("[::]", "127.0.0.1")
    assert command.get("/x", both).endswith(b"/x")
    with pytest.raises(OSError, match="refused"):
        command.get("/x", addresses[1].replace("[::1]", "127.0.0.1"))


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="Linux shows the backlog")
def test_backlog_reaches_listen(start):
    command = start("main:app", "--port", "0", "--backlog", "37")
    (address,) = command.wait_ready()
    port = address.rpartition(":")[2]
    try:
        listing = subprocess.run(
            ["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("ss is not installed")
    assert listing.stdout.split()[2] == "37"


def test_print_config(folder):
    (folder / "asgiserver.toml").write_text("port = 9\n")
    result = subprocess.run(
        [sys.executable, "-m", "asgiserver", "main:app", "--host", "::1", "--print-config"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ASGISERVER_BACKLOG": "5"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "9" in lines["port"]
    assert "asgiserver.toml" in lines["port"]
    assert "::1" in lines["host"]
    assert "ASGISERVER_BACKLOG" in lines["backlog"]
    assert "imported" not in result.stdout
