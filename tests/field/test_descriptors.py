"""Descriptors that a shell or a script has closed, or reads from, and what is sent there."""

import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

DEADLINE = 60.0

APP = """
import os


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        open("shutdowns", "a").write("x")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/descriptors":
        body = " ".join(os.readlink(f"/proc/self/fd/{n}") for n in range(3)).encode()
    else:
        body = b"hello"
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
CLOSES_STDOUT = "import os\nos.close(1)\n"

MODES = [
    (),
    ("--loop", "asyncio"),
    ("--supervise",),
    ("--workers", "2"),
    ("--workers", "2", "--preload"),
    ("--reload",),
]


@contextmanager
def started(folder, *options, source=APP, redirect="", **arguments):
    """The command through a shell, and what it tells of itself in its ready file or elsewhere."""
    (folder / "app.py").write_text(source)
    command = [sys.executable, "-m", "asgiserver", "app:app", "--port", "0", *options]
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        process_group=0,
        **arguments,
    )
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.communicate()


def connect(ready):
    parts = urlsplit(ready["addresses"][0])
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=DEADLINE)


def get(connection, path):
    connection.request("GET", path)
    return connection.getresponse().read()


@pytest.mark.parametrize(
    ("mode", "redirect"),
    [*(((), one) for one in ("<&-", ">&-", "2>&-")), *((mode, "<&- >&- 2>&-") for mode in MODES)],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_closed_standard_streams_are_the_null_device(tmp_path, mode, redirect):
    reader, writer = os.pipe()
    log = tmp_path / "log"
    with (
        open(reader, "rb") as ready,
        open(log, "wb") as err,
        started(
            tmp_path,
            *mode,
            *("--ready-fd", str(writer)),
            redirect=redirect,
            pass_fds=[writer],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
        ) as process,
    ):
        os.close(writer)
        line = ready.readline()
        assert line, log.read_text()
        connection = connect(json.loads(line))
        kinds = get(connection, "/descriptors").decode().split(" ")
        connection.close()
        closed = {"<&-": [0], ">&-": [1], "2>&-": [2]}.get(redirect, [0, 1, 2])
        assert {kinds[number] for number in closed} == {"/dev/null"}
        process.terminate()
        assert process.wait(DEADLINE) == 0, log.read_text()
    assert (tmp_path / "shutdowns").exists()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("mode", [(), ("--workers", "2")], ids=" ".join)
def test_an_application_that_closes_the_standard_output_stops_well(tmp_path, mode):
    with started(
        tmp_path, *mode, source=CLOSES_STDOUT + APP, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        for line in process.stderr:
            if b"Serving on" in line:
                break
        ready = {"addresses": [line.split()[-1].decode()]}
        connection = connect(ready)
        assert get(connection, "/descriptors").split(b" ")[1] == b"/dev/null"
        connection.close()
        process.terminate()
        _, log = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, log


@pytest.mark.parametrize(
    ("mode", "fd"),
    [*((mode, 1) for mode in MODES), ((), 2), (("--workers", "2"), 2)],
    ids=lambda value: str(value) if isinstance(value, int) else " ".join(value),
)
def test_readiness_said_on_a_standard_stream_leaks_nothing_to_clients(tmp_path, mode, fd):
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    streams["stdout" if fd == 1 else "stderr"] = subprocess.PIPE
    with started(tmp_path, *mode, "--ready-fd", str(fd), **streams) as process:
        stream = process.stdout if fd == 1 else process.stderr
        line = next(line for line in stream if line.startswith(b"{"))
        ready = json.loads(line)
        first = connect(ready)
        assert get(first, "/first") == b"hello"
        others = [connect(ready) for _ in range(3)]
        for other in others:
            assert get(other, "/secret?token=1") == b"hello"
        assert get(first, "/again") == b"hello"
        first.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            first.sock.recv(1)  # nothing came after the response
        for connection in (first, *others):
            connection.close()
        process.terminate()
        rest = stream.read()
        assert process.wait(DEADLINE) == 0
        if fd == 1:
            assert rest.count(b"/secret?token=1") == 3  # the access log is where it belongs


@pytest.mark.parametrize("mode", [(), ("--workers", "2")], ids=" ".join)
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--ready-fd", "9"), "--ready-fd: 9: Bad file descriptor"),
        (("--ready-fd", "0"), "--ready-fd: 0: it is not open for writing"),
        (
            ("--ready-file", "nowhere/ready"),
            "--ready-file: nowhere/ready: No such file or directory",
        ),
        (("--ready-file", "link"), "--ready-file: link: it exists and is no plain file"),
        (("--ready-file", "fifo"), "--ready-file: fifo: it exists and is no plain file"),
        (("--pid", "fifo"), "fifo: it exists and is no plain file"),
        (("--pid", "link"), "link: it exists and is no plain file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_written_is_one_line_before_the_import(tmp_path, mode, options, text):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "target").write_text("1\n")
    (tmp_path / "link").symlink_to("target")
    with started(
        tmp_path,
        *mode,
        *options,
        source="open('imported', 'w')",
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        _, log = process.communicate(timeout=DEADLINE)
    (error,) = [line for line in log.decode().splitlines() if "error:" in line]
    assert text in error
    assert process.returncode == 2
    assert b"Traceback" not in log
    assert sorted(os.listdir(tmp_path)) == ["app.py", "fifo", "link", "target"]
    assert (tmp_path / "target").read_text() == "1\n"
