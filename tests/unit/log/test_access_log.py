"""Where access records go: standard output of every kind, or the user's own handlers."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from asgiserver.config.fields import Config
from asgiserver.errors import ConfigError
from asgiserver.log import outlet
from asgiserver.log.access import BatchedAccessLog, LoggerAccessLog, make_access_log
from asgiserver.log.access_format import compile_format
from asgiserver.log.loggers import ACCESS_LOGGER, LOGGER
from asgiserver.log.outlet import Outlet
from asgiserver.log.record import AccessRecord
from asgiserver.log.setup import setup_logging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(LOGGER)
access = logging.getLogger(ACCESS_LOGGER)
LINE = '127.0.0.1:51422 "GET /items?q=1 HTTP/1.1" 200 13B 0.4ms\n'


def record(target: bytes = b"/items?q=1", **changes: Any) -> AccessRecord:
    values: dict[str, Any] = {
        "client": ("127.0.0.1", 51422),
        "method": "GET",
        "target": target,
        "http_version": "1.1",
        "status": 200,
        "sent": 13,
        "duration": 0.000412,
        "outcome": "ok",
        "fields": [],
    }
    return AccessRecord(**values | changes)


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.seen]


@pytest.fixture(autouse=True)
def host() -> Iterator[logging.Logger]:
    """Both loggers as in a fresh program, below this root instead of pytest's."""
    root = logger.parent
    host = logger.parent = logging.RootLogger(logging.WARNING)
    logger.setLevel(logging.INFO)
    yield host
    for target in (logger, access):
        target.handlers.clear()
        target.setLevel(logging.NOTSET)
    logger.parent = root


@pytest.fixture
def warnings_logged(host: logging.Logger) -> Records:
    """What the server says of the access log itself."""
    handler = Records()
    host.addHandler(handler)
    return handler


def batched() -> BatchedAccessLog:
    return BatchedAccessLog(compile_format("text"))


class Pipe:
    """Standard output as a pipe that the test reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read_fd, write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        self.stdout: TextIO = os.fdopen(write_fd, "w")
        # Not in sys itself, where pytest puts its own back after the set-up of a test.
        fake_sys = SimpleNamespace(stdout=self.stdout, platform=sys.platform)
        monkeypatch.setattr(outlet, "sys", fake_sys)

    def read(self) -> str:
        data = b""
        while True:
            try:
                chunk = os.read(self.read_fd, 65536)
            except BlockingIOError:
                return data.decode()
            if not chunk:
                return data.decode()
            data += chunk

    def fill(self) -> int:
        """Write until the pipe is full; returns the bytes it took."""
        fd = self.stdout.fileno()
        os.set_blocking(fd, False)
        taken = 0
        try:
            while True:
                taken += os.write(fd, b"-" * 1024)
        except BlockingIOError:
            os.set_blocking(fd, True)
            return taken

    def close_reader(self) -> None:
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    pipe = Pipe(monkeypatch)
    yield pipe
    pipe.close_reader()
    pipe.stdout.close()


# Choosing


def test_off() -> None:
    assert make_access_log(Config(access_log=False)) is None


def test_silenced_by_the_level() -> None:
    logger.setLevel(logging.WARNING)
    assert make_access_log(Config()) is None


def test_batched_unless_somebody_listens() -> None:
    log = make_access_log(Config())
    assert isinstance(log, BatchedAccessLog)
    log.close()
    access.addHandler(Records())
    assert isinstance(make_access_log(Config()), LoggerAccessLog)


@pytest.mark.parametrize("listening", [False, True])
def test_a_bad_format_is_refused(listening: bool) -> None:
    if listening:
        access.addHandler(Records())
    with pytest.raises(ConfigError, match="did you mean json"):
        make_access_log(Config(access_log_format="jsn"))


# Batches


def test_lines_leave_together(pipe: Pipe) -> None:
    log = batched()
    log.log(record())
    log.log(record(b"/2", status=499, outcome="client_gone"))
    assert pipe.read() == ""
    assert "waiting=" in repr(log)
    log.flush()
    second = '127.0.0.1:51422 "GET /2 HTTP/1.1" 499 13B 0.4ms client_gone\n'
    assert pipe.read() == LINE + second
    assert repr(log) == "<BatchedAccessLog waiting=0 lost=0>"
    log.flush()
    assert pipe.read() == ""
    log.close()


def test_64_kib_leave_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    with path.open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        log = batched()
        count = BatchedAccessLog.GATHER // len(LINE)
        for _ in range(count):
            log.log(record())
        assert path.read_text() == ""
        log.log(record())
        assert path.read_text() == LINE * (count + 1)
        log.close()


def test_a_terminal_shows_each_line_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        log = make_access_log(Config(use_colors=False))
        assert log is not None
        log.log(record())
        assert os.read(ours, 1000).decode().replace("\r\n", "\n").endswith(LINE)
        log.close()
    os.close(ours)


def test_colors_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    log = make_access_log(Config(use_colors=True))
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    assert log is not None
    log.log(record(status=404))
    log.close()
    assert "\x1b[33m404\x1b[0m" in stdout.getvalue()


def test_without_the_buffer_each_line_is_written_at_once(pipe: Pipe) -> None:
    log = make_access_log(Config(access_log_buffer=False, access_log_format="{path}"))
    assert log is not None
    log.log(record())
    assert pipe.read() == "/items\n"
    log.close()


def test_lines_are_written_before_one_of_the_servers_own_log(
    pipe: Pipe, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = setup_logging(Config())
    log = batched()
    log.log(record())
    seen: list[str] = []

    def other() -> None:  # not this thread's lines: they may be in the making
        logger.info("from another thread")
        seen.append(pipe.read())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [""]
    logger.info("later")
    assert pipe.read() == LINE
    log.close()
    handle.close()


def test_a_file_instead_of_standard_output(tmp_path: Path) -> None:
    access.addHandler(Records())  # it has no say, because a file was asked for
    path = tmp_path / "access.log"
    log = make_access_log(Config(access_log_file=str(path), log_format="logfmt"))
    assert log is not None
    assert log.wants_details
    log.log(record())
    log.close()
    assert path.read_text().startswith("time=")


def test_the_applications_prints_come_first(pipe: Pipe) -> None:
    log = batched()
    pipe.stdout.write("printed\n")
    log.log(record())
    log.flush()
    log.close()
    assert pipe.read() == "printed\n" + LINE


def test_captured_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    log = batched()
    log.log(record())
    log.close()
    assert capsys.readouterr().out == LINE


def test_stdout_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    log = batched()
    log.log(record())
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    log.close()
    assert stdout.getvalue() == LINE


def test_close_flushes_once(pipe: Pipe) -> None:
    log = batched()
    log.log(record())
    log.close()
    log.log(record())
    log.close()
    assert pipe.read() == LINE


# Output that does not work


def test_a_full_pipe_never_blocks_and_loses_nothing(pipe: Pipe) -> None:
    log = batched()
    taken = pipe.fill()
    log.log(record())
    log.flush()
    assert len(pipe.read()) == taken
    log.flush()
    assert pipe.read() == LINE
    assert log.lost == 0
    log.close()


def test_a_slow_reader_gets_whole_lines_in_order(pipe: Pipe) -> None:
    log = batched()
    seen = ""
    for number in range(5000):
        log.log(record(b"/%d" % number))
    while True:
        text = pipe.read()
        seen += text
        log.flush()
        if not text and "waiting=0 " in repr(log):
            break
    assert [line.split()[2] for line in seen.splitlines()] == [f"/{n}" for n in range(5000)]
    log.close()


def test_a_nonblocking_stdout(pipe: Pipe) -> None:
    pipe.fill()
    os.set_blocking(pipe.stdout.fileno(), False)
    log = batched()
    pipe.stdout.write("printed\n")
    log.log(record())
    log.flush()
    pipe.read()
    log.close()
    assert pipe.read() == "printed\n" + LINE


def test_a_reader_that_never_comes_back_costs_bounded_memory(
    pipe: Pipe, warnings_logged: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "PATIENCE", 0.0)
    pipe.fill()
    log = batched()
    total = 3 * Outlet.LIMIT // len(LINE)
    for _ in range(total):
        log.log(record())
    log.flush()
    kept = Outlet.LIMIT // len(LINE)
    assert log.lost == total - kept
    log.close()
    assert warnings_logged.messages == [
        "Access log: standard output loses lines: its reader is too slow (logged once)",
        f"Access log: {total} lines were lost",
    ]


def test_a_broken_pipe_is_counted_and_said_once(pipe: Pipe, warnings_logged: Records) -> None:
    log = batched()
    pipe.close_reader()
    for _ in range(3):
        log.log(record())
        log.log(record())
        log.flush()
    assert log.lost == 6
    log.close()
    assert warnings_logged.messages == [
        "Access log: standard output loses lines: [Errno 32] Broken pipe (logged once)",
        "Access log: 6 lines were lost",
    ]


@pytest.mark.parametrize("stdout", [None, "closed"])
def test_no_stdout(
    monkeypatch: pytest.MonkeyPatch, warnings_logged: Records, stdout: str | None
) -> None:
    stream = None if stdout is None else io.StringIO()
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    log = batched()
    log.log(record())
    log.close()
    assert log.lost == 1
    assert warnings_logged.messages[-1] == "Access log: 1 lines were lost"


# Processes

AT_EXIT = """
import os, sys
from asgiserver.log.access_format import compile_format
from asgiserver.log.access import BatchedAccessLog
from asgiserver.log.record import AccessRecord
from asgiserver.log.setup import setup_logging
log = BatchedAccessLog(compile_format("{target}"))
def add(target):
    log.log(AccessRecord(None, "GET", target, "1.1", 200, 0, 0.0, "ok", []))
add(b"/parent")
"""


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT + program], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_flushed_at_exit() -> None:
    assert run("") == "/parent\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_writes_its_own_lines_only() -> None:
    program = """
child = os.fork()
if not child:
    add(b"/child")
    log.flush()
    os._exit(0)
os.waitpid(child, 0)
"""
    assert run(program) == "/child\n/parent\n"


# The user's handlers


def test_records_for_the_users_handlers() -> None:
    handler = Records()
    access.addHandler(handler)
    log = make_access_log(Config())
    assert log is not None
    log.log(record(b"/a%1b\x1b?q=1", status=499, outcome="client_gone", received=7))
    log.log(record(client=None))
    log.flush()
    log.close()
    first, second = handler.seen
    assert first.args == ("127.0.0.1:51422", "GET", "/a%1b\\x1b?q=1", "1.1", 499)
    assert (
        first.getMessage()
        == '127.0.0.1:51422 - "GET /a%1b\\x1b?q=1 HTTP/1.1" 499 13B 0.4ms client_gone'
    )
    assert first.levelno == logging.INFO
    assert first.name == "asgiserver.access"
    expected = {
        "client": "127.0.0.1:51422",
        "method": "GET",
        "path": "/a%1b\\x1b",
        "query": "q=1",
        "version": "1.1",
        "status": 499,
        "bytes": 13,
        "received": 7,
        "duration": 0.000412,
        "outcome": "client_gone",
        "scheme": "http",
    }
    assert vars(first).items() >= expected.items()
    assert isinstance(second.args, tuple)
    assert second.args[0] == "-"
    assert repr(log) == "<LoggerAccessLog asgiserver.access>"


def test_a_format_that_was_asked_for_is_the_message() -> None:
    handler = Records()
    access.addHandler(handler)
    log = make_access_log(Config(access_log_format="{status} {path}"))
    assert log is not None
    log.log(record())
    assert handler.messages == ["200 /items"]


def test_the_level_of_the_users_logger_holds() -> None:
    handler = Records()
    access.addHandler(handler)
    access.setLevel(logging.WARNING)
    log = make_access_log(Config())
    assert log is not None
    log.log(record())
    assert handler.seen == []


def test_a_handler_that_raises_is_said_once(warnings_logged: Records) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("broken handler")

    access.addHandler(Broken())
    access.propagate = False
    try:
        log = make_access_log(Config())
        assert log is not None
        log.log(record())
        log.log(record())
    finally:
        access.propagate = True
    assert warnings_logged.messages == ["Access log: a handler raised (logged once)"]
