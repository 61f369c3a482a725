"""A second server on an address that a first one has, or is about to have."""

import fcntl
import os
import signal
import socket
import subprocess
import sys

import pytest
from ports import held_port
from process_server import ServerProcess

# It waits at a gate for as long as the test has that locked.
APP = """
import fcntl, os, sys

def stop_at(gate):
    print("at the gate:", gate, file=sys.stderr, flush=True)
    if os.path.exists(gate):
        with open(gate) as file:
            fcntl.flock(file, fcntl.LOCK_SH)

stop_at("import")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        stop_at("lifespan")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/wait":
        print("a request waits", file=sys.stderr, flush=True)
        while (await receive())["type"] != "http.disconnect":
            pass
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body"})
"""

MODES = [(), ("--supervise",), ("--workers", "2"), ("--workers", "2", "--preload"), ("--reload",)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def start_second(folder, *options):
    """Start one that is to be refused; its output."""
    second = folder / "second"
    second.mkdir(exist_ok=True)
    (second / "app.py").write_text(APP)
    done = subprocess.run(
        [sys.executable, "-m", "asgiserver", "app:app", *options],
        cwd=second,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "at the gate" not in done.stderr, "it ran somebody's code"
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if "cannot listen" in line]
    assert len(errors) == 1, done.stderr
    assert done.returncode == 4
    return errors[0]


class Gate:
    """A place where an application stops."""

    def __init__(self, path):
        self.name = path.name
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def open(self):
        """Let pass who stands there, and who comes later."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self):
        os.close(self._fd)


@pytest.fixture
def gates(folder):
    gates = [Gate(folder / name) for name in ("import", "lifespan")]
    yield gates
    for gate in gates:
        gate.close()


def get(address):
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        client.settimeout(20)
        client.connect(address)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return client.recv(100)


@pytest.mark.parametrize(
    ("mode", "where"),
    [*((mode, "uds") for mode in MODES), ((), "tcp"), (("--workers", "2"), "tcp")],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_it_is_refused_before_it_runs_any_code_whenever_it_comes(folder, gates, mode, where):
    port = held_port()
    path = folder / "s"
    options = ("--uds", str(path)) if where == "uds" else ("--port", str(port))
    address = str(path) if where == "uds" else ("127.0.0.1", port)
    with ServerProcess(folder, *options, *mode) as first:
        for gate in gates:
            first.see(f"at the gate: {gate.name}")
            start_second(folder, *options, *mode)
            with pytest.raises(ConnectionRefusedError):  # nor are clients put into a queue
                get(address)
            gate.open()
        first.ready()
        start_second(folder, *options, *mode)
        assert get(address).startswith(b"HTTP/1.1 200")
        assert first.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize("mode", [(), ("--workers", "2")], ids=" ".join)
def test_a_socket_whose_owner_was_killed_is_taken_over(folder, mode):
    path = folder / "s"
    with ServerProcess(folder, "--uds", str(path), *mode) as first:
        first.ready()
        os.killpg(first.process.pid, signal.SIGKILL)
        first.process.wait()
        assert path.exists()
        with ServerProcess(folder, "--uds", str(path), *mode) as second:
            second.ready()
            assert get(str(path)).startswith(b"HTTP/1.1 200")
            assert second.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize("mode", [(), ("--workers", "2")], ids=" ".join)
def test_a_port_with_connections_of_the_last_server_is_free_for_the_next(folder, mode):
    port = held_port()
    with ServerProcess(folder, "--port", str(port), *mode) as first:
        first.ready()
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert first.stop() == 0  # which closes the connection first: TIME_WAIT is on its side
        assert client.recv(100) == b""
    with client, ServerProcess(folder, "--port", str(port), *mode) as second:
        second.ready()
        assert get(("127.0.0.1", port)).startswith(b"HTTP/1.1 200")
        assert second.stop() == 0


def test_one_that_stops_leaves_the_path_of_the_next_one(folder):
    path = folder / "s"
    with ServerProcess(folder, "--uds", str(path)) as first:
        first.ready()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            first.see("a request waits")
            first.signal(signal.SIGTERM)
            first.see("Stopping")
            with ServerProcess(folder, "--uds", str(path)) as second:
                second.ready()
                assert first.process.poll() is None
                client.close()
                assert first.wait() == 0
                assert get(str(path)).startswith(b"HTTP/1.1 200")
                assert second.stop() == 0
