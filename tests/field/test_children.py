"""Processes that an application starts: they keep nothing of the server, and can be ended."""

import os
import signal
import socket

import pytest
from process_server import DEADLINE, ServerProcess, wait_until_gone

APP = """
import json, multiprocessing, os, signal, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(1)
children = []


def rest(ready):
    found = {
        "pid": os.getpid(),
        "kinds": kinds(),
        "wakeup": signal.set_wakeup_fd(-1),
        "handlers": [
            number.name
            for number in signal.valid_signals()
            if isinstance(number, signal.Signals) and callable(signal.getsignal(number))
            and signal.getsignal(number) is not signal.default_int_handler
        ],
    }
    os.write(ready, json.dumps(found).encode() + b"\\n")
    while True:
        time.sleep(60)


def kinds():
    kinds = {}
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            kinds[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass
    return kinds


def fork():
    ours, ready = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=rest, args=(ready,))
    process.start()
    multiprocessing.process._children.discard(process)  # or the server would wait for it
    children.append(process)
    os.close(ready)
    with open(ours) as file:
        return {"parent": kinds(), "child": json.loads(file.readline())}


def end(number):
    process = children.pop()
    os.kill(process.pid, number)
    process.join(15)
    return process.exitcode


PROGRAM = "import os; print(*map(os.readlink, [f'/proc/self/fd/{n}' for n in range(3, 200) " \\
    "if os.path.exists(f'/proc/self/fd/{n}')]), flush=True); input()"


def run():
    # It inherits all that can be inherited, and lives until the test writes to the FIFO.
    with open("listing", "wb") as out, open("gate") as gate:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=gate, stdout=out, close_fds=False
        )
    children.append(process)
    return process.pid


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"][1:]
    if path == "fork":
        answer = fork()
    elif path == "fork-in-thread":
        answer = pool.submit(fork).result()
    elif path.startswith("end/"):
        answer = end(int(path[4:]))
    elif path == "run":
        answer = run()
    else:
        answer = "hello"
    body = json.dumps(answer).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
MODES = [
    (),
    ("--loop", "asyncio"),
    ("--supervise",),
    ("--supervise", "--preload"),
]


@pytest.fixture(params=MODES, ids=" ".join)
def server(request, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    with ServerProcess(tmp_path, "--port", "0", *request.param) as server:
        yield server.ready()


@pytest.fixture
def has_channels(request):
    """Whether a supervisor has a control and a stacks channel to what serves."""
    return "--supervise" in request.node.callspec.params["server"]


@pytest.mark.parametrize("way", ["fork", "fork-in-thread"])
def test_a_fork_ends_on_signals_and_leaves_the_server_alone(server, way):
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        found = server.get(f"/{way}")["child"]
        assert found["handlers"] == []
        assert found["wakeup"] == -1
        assert server.get(f"/end/{int(number)}") == -number
    assert server.get("/") == "hello"
    assert server.stop() == 0


def test_a_fork_keeps_no_port_and_no_channel(server, has_channels):
    found = server.get("/fork")
    child, parent = found["child"], found["parent"]
    kept = {kind for kind in child["kinds"].values() if kind.startswith("socket:")}
    closed = [n for n, kind in child["kinds"].items() if kind == "/dev/null" != parent.get(n, kind)]
    assert len(closed) >= (3 if has_channels else 1)
    listening = {f"socket:[{line.split()[9]}]" for line in tcp_table() if line.split()[3] == "0A"}
    assert listening.intersection(parent.values())
    assert not listening.intersection(kept)
    host, port = server.connect().host, server.connect().port
    stop(server)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port))
    os.kill(child["pid"], signal.SIGKILL)
    wait_until_gone([child["pid"]])


def test_a_program_keeps_no_port_and_no_channel(server, tmp_path):
    os.mkfifo(tmp_path / "gate")
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    try:
        pid = server.get("/run")
        host, port = server.connect().host, server.connect().port
        stop(server)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port))
    finally:
        os.write(gate, b"\n")
        os.close(gate)
    wait_until_gone([pid])
    assert "socket:" not in (tmp_path / "listing").read_text()


def stop(server):
    """Not to the end of its log: the child has that, too."""
    server.signal(signal.SIGTERM)
    assert server.process.wait(DEADLINE) == 0


def tcp_table():
    with open("/proc/net/tcp") as file:
        return file.readlines()[1:]
