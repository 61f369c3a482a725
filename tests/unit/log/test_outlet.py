"""One standard stream: what it takes, what waits, what is lost."""

from __future__ import annotations

import io
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from asgiserver.log import outlet as module
from asgiserver.log.outlet import Outlet, descriptor, flush_streams, is_terminal, write_at_last

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes cannot be polled there")


class Pipe:
    """A pipe as standard error; `told` are the numbers of lines that were lost."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.stream = os.fdopen(writer, "w", encoding="utf-8")
        self.told: list[int] = []
        self.outlet = Outlet("stderr", self.told.append)

    def read(self, most: int = 1 << 20) -> str:
        data = b""
        while len(data) < most:
            try:
                part = os.read(self.reader, most - len(data))
            except BlockingIOError:
                break
            if not part:
                break
            data += part
        return data.decode()

    def fill(self) -> int:
        """Fill it with bytes that are no lines; how many."""
        writer = self.stream.fileno()
        os.set_blocking(writer, False)
        size = 0
        try:
            while True:
                size += os.write(writer, b"-" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)
            return size

    def close(self) -> None:
        self.stream.close()
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1


def put(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    """Make it both standard streams of the outlets, and not pytest's."""
    fake = SimpleNamespace(stdout=stream, stderr=stream, platform=sys.platform)
    monkeypatch.setattr(module, "sys", fake)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    pipe = Pipe()
    put(monkeypatch, pipe.stream)
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    yield pipe
    pipe.close()


def test_lines_leave_at_once(pipe: Pipe) -> None:
    pipe.outlet.write("one\ntwo\n")
    assert pipe.read() == "one\ntwo\n"
    assert repr(pipe.outlet) == "<Outlet stderr waiting=0 lost=0>"


def test_a_long_text_leaves_in_one_piece(pipe: Pipe) -> None:
    text = f"{'x' * 99}\n" * 500
    pipe.outlet.write(text)
    assert pipe.outlet.waiting == 0
    assert pipe.read() == text


def test_a_full_pipe_makes_nobody_wait_and_stays_blocking_for_others(pipe: Pipe) -> None:
    size = pipe.fill()
    pipe.outlet.write("one\n")
    pipe.outlet.write("two\n")
    assert pipe.outlet.waiting == 8
    assert os.get_blocking(pipe.stream.fileno())
    assert len(pipe.read()) == size
    assert not pipe.outlet.flush()
    assert pipe.read() == "one\ntwo\n"
    assert pipe.told == []


def test_a_flush_tells_whether_another_is_worth_it(pipe: Pipe) -> None:
    pipe.fill()
    text = "".join(f"line {number:04}\n" for number in range(20_000))
    pipe.outlet.write(text)
    assert not pipe.outlet.flush()  # nobody reads
    pipe.read()
    assert pipe.outlet.flush()
    seen = pipe.read()
    while pipe.outlet.waiting:
        pipe.outlet.flush()
        seen += pipe.read()
    assert seen == text


def test_only_whole_lines_enter_a_pipe_that_is_not_empty(pipe: Pipe) -> None:
    size = pipe.fill()
    pipe.read(10_000)  # room for two pieces
    pipe.outlet.write(f"{'x' * 99}\n" * 1000)
    text = pipe.read()[size - 10_000 :]
    assert 0 < len(text) <= 10_000
    assert set(text.split("\n")) == {"x" * 99, ""}


def test_a_line_longer_than_a_piece_is_written_too(pipe: Pipe) -> None:
    pipe.fill()
    pipe.outlet.write(f"{'x' * 30_000}\n")
    pipe.read()
    pipe.outlet.flush()
    assert pipe.read() == f"{'x' * 30_000}\n"


def test_the_newest_lines_are_lost_and_told_when_the_reader_goes_on(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outlet, "LIMIT", 10)
    pipe.fill()
    pipe.outlet.write("1\n2\n3\n4\n")
    pipe.outlet.write("5\n6\n7\n")
    pipe.outlet.write("8\n")  # would have room, but after a gap
    assert (pipe.outlet.waiting, pipe.outlet.lost, pipe.told) == (10, 3, [])
    assert pipe.outlet.problem == "its reader is too slow"
    pipe.read()
    pipe.outlet.flush()
    assert pipe.read() == "1\n2\n3\n4\n5\n"
    assert pipe.told == [3]
    pipe.outlet.write("9\n")
    assert pipe.read() == "9\n"
    assert (pipe.outlet.lost, pipe.outlet.unreported) == (3, 0)


def test_what_nobody_has_read_at_the_end_is_lost(pipe: Pipe) -> None:
    pipe.fill()
    pipe.outlet.write("1\n2\n")
    pipe.outlet.close()
    assert (pipe.outlet.waiting, pipe.outlet.unreported, pipe.told) == (0, 2, [])


def test_what_a_closed_pipe_has_refused_is_counted(pipe: Pipe) -> None:
    os.close(pipe.reader)
    pipe.reader = -1
    pipe.outlet.write("1\n2\n")
    pipe.outlet.write("3\n")
    assert (pipe.outlet.lost, pipe.outlet.waiting) == (3, 0)
    assert "Broken pipe" in pipe.outlet.problem


def test_a_stream_that_works_again_is_told_what_was_lost(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, None)
    pipe.outlet.write("1\n2\n")
    assert pipe.outlet.problem == "the stream is missing"
    stream = io.StringIO()
    put(monkeypatch, stream)
    pipe.outlet.write("3\n")
    assert (stream.getvalue(), pipe.told) == ("3\n", [2])


def test_where_no_own_open_file_can_be_had_pieces_are_polled_for(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    text = f"{'x' * 99}\n" * 2000
    pipe.outlet.write(text)
    seen = pipe.read()
    while pipe.outlet.waiting:
        pipe.outlet.flush()
        seen += pipe.read()
    assert seen == text


def test_prints_are_not_flushed_into_a_pipe_that_is_not_empty(pipe: Pipe) -> None:
    size = pipe.fill()
    pipe.read(4096)  # polls writable, but the prints may be more than it takes
    pipe.stream.write("p" * 8000)
    pipe.outlet.write("line\n")
    assert pipe.read()[size - 4096 :] == "line\n"
    pipe.outlet.write("next\n")
    assert pipe.read() == "p" * 8000 + "next\n"


def test_a_signal_handler_may_write_in_the_middle(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if text == "one\n":
                pipe.outlet.write("of the handler\n")
            return super().write(text)

    stream = Stream()
    put(monkeypatch, stream)
    pipe.outlet.write("one\n")
    pipe.outlet.write("two\n")
    assert stream.getvalue() == "one\nof the handler\ntwo\n"


def test_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as file:
        put(monkeypatch, file)
        file.write("printed\n")
        Outlet("stdout", lambda count: None).write("caf\xe9 \udc80\n")
    assert (tmp_path / "log").read_text(encoding="utf-8") == "printed\ncaf\xe9 \\udc80\n"


def test_what_a_stream_cannot_encode_is_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log").open("w", encoding="latin-1") as file:
        put(monkeypatch, file)
        outlet = Outlet("stdout", lambda count: None)
        outlet.write("caf\xe9\n")
        outlet.write("\u20ac\n")
    assert (tmp_path / "log").read_text(encoding="latin-1") == "caf\xe9\n\\u20ac\n"


def test_a_tee_gets_the_lines_and_not_its_descriptor(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tee:
        def __init__(self) -> None:
            self.text = ""

        def write(self, text: str) -> None:
            self.text += text

        def fileno(self) -> int:
            return pipe.stream.fileno()

    tee = Tee()
    put(monkeypatch, tee)
    pipe.outlet.write("one\n")
    assert (tee.text, pipe.read()) == ("one\n", "")
    pipe.fill()
    pipe.outlet.write("two\n")  # the tee would wait
    assert tee.text == "one\n"
    pipe.read()
    pipe.outlet.flush()
    assert tee.text == "one\ntwo\n"


class Odd:
    """Has a method of each name that a stream might have, and each raises."""

    def __getattr__(self, name: str) -> Any:
        def refuse(*_args: object) -> None:
            raise RuntimeError(name)

        return refuse


@pytest.mark.parametrize("stream", [None, object(), Odd()], ids=["none", "object", "odd"])
def test_streams_that_are_nothing_of_the_kind(
    monkeypatch: pytest.MonkeyPatch, stream: object
) -> None:
    put(monkeypatch, stream)
    outlet = Outlet("stderr", lambda count: None)
    outlet.write("1\n2\n")
    outlet.close()
    assert outlet.lost == 2
    assert outlet.problem
    assert descriptor(stream) is None
    assert not is_terminal(stream)
    flush_streams()
    write_at_last("the end\n")


def test_streams_are_flushed_unless_that_would_wait(pipe: Pipe) -> None:
    pipe.stream.write("printed\n")
    size = pipe.fill()
    flush_streams()
    assert len(pipe.read()) == size
    flush_streams()
    assert pipe.read() == "printed\n"


def test_the_last_words(pipe: Pipe) -> None:
    write_at_last("asgiserver: error: no\n")
    assert pipe.read() == "asgiserver: error: no\n"
