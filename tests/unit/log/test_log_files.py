"""Log files: appended to, followed when they are rotated, kept when the disk is full."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from asgiserver.errors import ConfigError
from asgiserver.log import files
from asgiserver.log.files import FileOutlet, open_outlet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def outlet(path: Path) -> Iterator[FileOutlet]:
    outlet = FileOutlet(str(path), lambda count: None)
    yield outlet
    outlet.close()


def test_lines_are_appended(path: Path, outlet: FileOutlet) -> None:
    outlet.write("one\n")
    with open(path, "a") as other:
        other.write("of another process\n")
    outlet.write("two\nthree\n")
    assert path.read_text() == "one\nof another process\ntwo\nthree\n"
    assert repr(outlet) == f"<FileOutlet {path} waiting=0 lost=0>"


def test_a_file_that_was_renamed_is_followed_by_a_new_one(path: Path, outlet: FileOutlet) -> None:
    outlet.write("one\n")
    old = path.rename(path.with_suffix(".1"))
    outlet.write("two\n")
    assert (old.read_text(), path.read_text()) == ("one\n", "two\n")


def test_a_file_that_was_put_in_its_place_is_used(path: Path, outlet: FileOutlet) -> None:
    outlet.write("one\n")
    path.rename(path.with_suffix(".1"))
    path.write_text("")  # as logrotate's `create` does
    path.chmod(0o600)
    outlet.write("two\n")
    assert path.read_text() == "two\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_truncated_file_goes_on_at_its_beginning(path: Path, outlet: FileOutlet) -> None:
    outlet.write("one\n")
    os.truncate(path, 0)  # as logrotate's `copytruncate` does
    outlet.write("two\n")
    assert path.read_bytes() == b"two\n"


def test_without_its_folder_the_old_file_takes_the_lines(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    outlet = FileOutlet(str(folder / "a.log"), lambda count: None)
    folder.rename(tmp_path / "moved")
    outlet.write("one\n")
    assert (tmp_path / "moved" / "a.log").read_text() == "one\n"
    folder.mkdir()
    outlet.write("two\n")
    assert (folder / "a.log").read_text() == "two\n"
    outlet.close()


def test_what_cannot_be_written_waits(
    path: Path, outlet: FileOutlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "write", full)
    outlet.write("one\n")
    outlet.write("two\n")
    assert (outlet.waiting, outlet.lost, outlet.problem) == (8, 0, "No space left on device")
    monkeypatch.undo()
    outlet.flush()
    assert path.read_text() == "one\ntwo\n"
    assert outlet.problem == ""


def test_a_part_that_was_written_is_not_written_again(
    path: Path, outlet: FileOutlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(files.os, "write", lambda fd, data: write(fd, data[:2]))
    outlet.write("12345\n")
    assert path.read_text() == "12345\n"


def test_the_directory_of_the_process_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outlet = FileOutlet("a.log", lambda count: None)
    monkeypatch.chdir("/")
    (tmp_path / "a.log").unlink()
    outlet.write("one\n")
    outlet.close()
    assert (tmp_path / "a.log").read_text() == "one\n"


def test_a_line_after_the_end_opens_the_file_once_more(path: Path) -> None:
    outlet = FileOutlet(str(path), lambda count: None)
    outlet.close()
    outlet.write("late\n")
    assert path.read_text() == "late\n"
    outlet.close()


@pytest.mark.parametrize(("name", "stream"), [("-", "stdout"), ("/dev/stderr", "stderr")])
def test_names_of_standard_streams(name: str, stream: str) -> None:
    outlet = open_outlet("--log-file", name, "stdout", lambda count: None)
    assert repr(outlet).startswith(f"<Outlet {stream} ")


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--log-file .*/none/a.log: No such file or directory$"):
        open_outlet("--log-file", str(tmp_path / "none" / "a.log"), "stderr", lambda count: None)


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of POSIX")
def test_a_pipe_that_nobody_reads_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="--log-file"):
        open_outlet("--log-file", str(tmp_path / "pipe"), "stderr", lambda count: None)
