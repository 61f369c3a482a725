"""Standard output and standard error of every kind: a pipe that nobody reads, an odd object."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest
from cli_server import WAIT, Command

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes cannot be polled there")

FAILING = """
import os

async def app(scope, receive, send):
    number, _, lines = scope["path"][1:].partition("/")
    text = "".join(f"pid {os.getpid()} request {number} line {n} {'x' * 60}\\n"
                   for n in range(int(lines)))
    raise ValueError("\\n" + text)
"""

PLAIN = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


class Pipe:
    """A pipe that the server writes to, and that is read when the test says so."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        self.text = ""

    def close(self):
        for fd in (self.reader, self.writer):
            os.close(fd)

    def fill(self):
        """Fill it with what nobody reads."""
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"-" * 4096)
        os.set_blocking(self.writer, True)

    def read(self):
        """Read what there is."""
        while select.select([self.reader], [], [], 0)[0]:
            self.text += os.read(self.reader, 65536).decode()

    def read_until(self, pattern):
        """Read on until a line matches; the match."""
        deadline = time.monotonic() + WAIT
        while not (found := re.search(pattern, self.text)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} not in {self.text[-2000:]}"
            if select.select([self.reader], [], [], left)[0]:
                self.text += os.read(self.reader, 65536).decode()
        return found


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(app, *args, **options):
            (tmp_path / "main.py").write_text(app)
            args = ("main:app", "--port", "0", "--lifespan", "off", *args)
            command = Command(tmp_path, *args, **options)
            stack.callback(command.close)
            return command

        yield start


def end(server):
    server.kill(signal.SIGTERM)
    assert server.wait() == 0, server.output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stuck_reader_of_stderr_stops_no_request_and_no_signal(start, pipe, workers):
    server = start(FAILING, "--workers", workers, "--no-access-log", stderr=pipe.writer)
    server.wait_ready()
    for number in range(60):  # 3 KB each: the pipe takes about 16
        assert b" 500 " in server.get(f"/{number}/30")
    end(server)
    assert os.get_blocking(pipe.writer), "it belongs to the shell and the application, too"


def test_a_stuck_reader_of_both_streams_stops_no_request_and_no_signal(start, pipe):
    server = start(PLAIN, "--workers", "2", stdout=pipe.writer, stderr=pipe.writer)
    server.wait_ready()
    for _ in range(60):
        assert b"hello" in server.get("/" + "x" * 4000)
    end(server)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_the_application_has_printed_does_not_hold_up_the_end(start, pipe, workers):
    printing = PLAIN.replace("receive, send):", "receive, send):\n    print('answered')")
    env = {"PYTHONUNBUFFERED": ""}
    server = start(printing, "--workers", workers, stdout=pipe.writer, env=env)
    server.wait_ready()
    pipe.fill()
    server.get("/")
    end(server)


PROGRAM = """
import os, sys
import asgiserver

async def app(scope, receive, send):
    print("answered")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

asgiserver.run(app, port=0, lifespan="off", ready_fd=int(sys.argv[1]))
os.write(2, b"the program goes on\\n")
sys.stdin.read()
print("the last word")
"""


@pytest.mark.parametrize("has_reader", [False, True])
def test_what_the_application_has_printed_does_not_hold_up_a_program(tmp_path, pipe, has_reader):
    (tmp_path / "program.py").write_text(PROGRAM)
    reader, writer = os.pipe()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(
        [sys.executable, "program.py", str(writer)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=pipe.writer,
        stderr=subprocess.PIPE,
        pass_fds=(writer,),
    ) as program:
        try:
            os.close(writer)
            with open(reader) as ready:
                address = json.loads(ready.read())["addresses"][0]
            if not has_reader:
                pipe.fill()
            with urlopen(address, timeout=WAIT) as response:
                assert response.read() == b"hello"
            program.terminate()
            while program.stderr.readline() != b"the program goes on\n":
                pass
            if not has_reader:
                pipe.read()
            program.stdin.close()  # nothing stands in the way of what it prints itself
            pipe.read_until("the last word")
            assert ("answered" in pipe.text) is has_reader
            assert program.wait(WAIT) == 0
        finally:
            program.kill()


def test_what_was_lost_is_counted_when_the_reader_goes_on(start, pipe):
    server = start(FAILING, "--no-access-log", stderr=pipe.writer)
    server.wait_ready()
    for number in range(16):  # 100 KB each: 64 KiB go into the pipe, 1 MiB waits
        assert b" 500 " in server.get(f"/{number}/1200")
    lost = int(pipe.read_until(r" WARNING  (\d+) lines were lost: standard error")[1])
    server.get("/99/1")
    pipe.read_until("request 99 line 0")
    end(server)
    pipe.read()
    lines = [tuple(map(int, found)) for found in re.findall(r"request (\d+) line (\d+)", pipe.text)]
    assert lines == sorted(lines)
    assert pipe.text.rstrip().endswith("INFO     Stopped")

    def lines_until(mark):
        return pipe.text[: pipe.text.index(mark)].count("\n")

    one = lines_until("GET /1/") - lines_until("GET /0/")
    assert lines_until("lines were lost") - lines_until("GET /0/") + lost == 16 * one


def test_what_was_logged_for_a_slow_reader_is_written_before_the_end(start, pipe):
    server = start(FAILING, "--no-access-log", stderr=pipe.writer)
    server.wait_ready()
    for number in range(40):
        server.get(f"/{number}/30")
    server.kill(signal.SIGTERM)
    pipe.read_until("INFO     Stopped")
    assert server.wait() == 0
    assert re.findall(r"request (\d+) line 29", pipe.text) == [str(n) for n in range(40)]
    assert "lost" not in pipe.text


def test_tracebacks_of_two_workers_are_not_torn(start, pipe):
    server = start(FAILING, "--workers", "2", "--no-access-log", stderr=pipe.writer)
    server.wait_ready()
    for turn in range(3):
        clients = [server.connect() for _ in range(20)]
        for number, client in enumerate(clients):
            client.sendall(f"GET /{turn}{number:02}/40 HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        for client in clients:
            assert b" 500 " in client.recv(65536)
            client.close()
        pipe.read()  # now and then: in between it is full
    server.kill(signal.SIGTERM)
    pipe.read_until("Supervisor stopped")
    assert server.wait() == 0
    lines = [line for line in pipe.text.splitlines() if "request" in line and "line" in line]
    assert len(lines) == 60 * 40
    assert all(re.fullmatch(r"pid \d+ request \d+ line \d+ x{60}", line) for line in lines), [
        line for line in lines if not line.endswith("x" * 60)
    ]


STREAMS = {
    "write and flush only": """
class Stream:
    def write(self, text):
        with open("lines", "a") as file:
            file.write(text)
    def flush(self):
        pass
sys.stdout = sys.stderr = Stream()
""",
    "fileno raises": """
class Stream:
    encoding = "utf-8"
    def write(self, text):
        with open("lines", "a") as file:
            file.write(text)
    def flush(self):
        pass
    def fileno(self):
        raise OSError("none")
    def isatty(self):
        raise RuntimeError("none")
sys.stdout = sys.stderr = Stream()
""",
    "a tee": """
class Stream:
    def __init__(self, first):
        self.first = first
    def write(self, text):
        self.first.write(text)
        with open("lines", "a") as file:
            file.write(text)
    def __getattr__(self, name):
        return getattr(self.first, name)
sys.stdout, sys.stderr = Stream(sys.stdout), Stream(sys.stderr)
""",
    "closed": """
sys.stdout = open("lines", "a")
sys.stderr = open("lines", "a")
sys.stdout.close()
sys.stderr.close()
""",
    "none": "sys.stdout = sys.stderr = None\n",
    "raises": """
class Stream:
    def write(self, text):
        raise RuntimeError("no")
    def flush(self):
        raise RuntimeError("no")
sys.stdout = sys.stderr = Stream()
""",
}


@pytest.mark.parametrize(
    ("name", "workers"),
    [*((name, "1") for name in STREAMS), ("write and flush only", "2"), ("none", "2")],
)
def test_streams_may_be_any_object(start, tmp_path, name, workers):
    replaced = f"import sys\n{STREAMS[name]}"
    server = start(replaced + PLAIN, "--workers", workers)
    server.wait_ready()
    assert b"hello" in server.get("/")
    server.kill(signal.SIGTERM)
    # Python itself complains with 120 of a stream that it cannot flush at its end.
    assert server.wait() == (120 if name == "raises" and workers == "1" else 0), server.output
    if name in ("write and flush only", "fileno raises", "a tee"):
        lines = (tmp_path / "lines").read_text()
        assert len(re.findall(r'"GET / HTTP/1.1" 200 5B', lines)) == 1
        assert "INFO     Stopped" in lines or workers == "2"


def test_lines_that_a_stream_cannot_encode_are_escaped(start, tmp_path):
    latin = "import sys\nsys.stderr = open('lines', 'w', encoding='ascii')\n"
    failing = "async def app(scope, receive, send):\n    raise ValueError('caf\\xe9 \\u20ac')\n"
    server = start(latin + failing, "--no-access-log")
    server.wait_ready()
    server.get("/")
    end(server)
    assert r"ValueError: caf\xe9 \u20ac" in (tmp_path / "lines").read_text()
