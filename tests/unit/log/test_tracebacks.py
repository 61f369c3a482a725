"""Tracebacks that begin with the application's code."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

from asgiserver.log import tracebacks
from asgiserver.log.tracebacks import format_traceback

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CALLS = "def call(inner):\n    return inner()\n"
FAILS = "def fail():\n    raise ValueError('no')\n"


def load(path: Path, text: str) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., BaseException]:
    """Raise through a server, a framework and an application, each of which may be left out."""
    package = tmp_path / "asgiserver"
    server = load(package / "session.py", CALLS)
    library = load(tmp_path / "lib" / "site-packages" / "framework.py", CALLS)
    application = load(tmp_path / "app.py", FAILS)
    monkeypatch.setattr(tracebacks, "PACKAGE", f"{package}/")

    def fail(
        inner: Callable[[], Any] = application.fail, *, framework: bool = True
    ) -> BaseException:
        try:
            server.call(lambda: library.call(inner) if framework else inner())
        except BaseException as error:
            # Without the frames of this test.
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            return error
        raise AssertionError

    monkeypatch.setattr(tracebacks, "_INSTALLED", ("/site-packages/", "test_tracebacks.py"))
    return fail


def files(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith('  File "')]
    return [line.split('"')[1].rpartition("/")[2] for line in lines]


def test_it_begins_with_the_application(layers: Callable[..., BaseException]) -> None:
    text = format_traceback(layers())
    assert files(text) == ["app.py"]
    lines = text.splitlines()
    assert lines[-2] == "ValueError: no"
    assert lines[-1].startswith("(3 frames of the server and its libraries left out; --log-level")


def test_the_whole_one_has_all_frames(layers: Callable[..., BaseException]) -> None:
    text = format_traceback(layers(), whole=True)
    assert files(text) == ["session.py", "test_tracebacks.py", "framework.py", "app.py"]
    assert text.endswith("ValueError: no\n")


def test_libraries_that_the_application_calls_stay(
    layers: Callable[..., BaseException], tmp_path: Path
) -> None:
    client = load(tmp_path / "lib" / "site-packages" / "client.py", FAILS)
    application = load(tmp_path / "main.py", CALLS)
    text = format_traceback(layers(lambda: application.call(client.fail)))
    assert files(text) == ["main.py", "client.py"]


def test_an_installed_application_keeps_all_but_the_server(
    layers: Callable[..., BaseException], tmp_path: Path
) -> None:
    installed = load(tmp_path / "lib" / "site-packages" / "installed.py", FAILS)
    text = format_traceback(layers(installed.fail))
    assert files(text)[-2:] == ["framework.py", "installed.py"]
    assert "session.py" not in files(text)
    assert "(1 frame of the server" in text


def test_a_fault_of_the_server_is_shown_whole(
    layers: Callable[..., BaseException], tmp_path: Path
) -> None:
    fault = load(tmp_path / "asgiserver" / "fault.py", FAILS)
    with pytest.raises(ValueError, match="no") as caught:
        fault.fail()
    error = caught.value
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    assert files(format_traceback(error)) == ["fault.py"]


def test_causes_and_groups_are_trimmed_too(layers: Callable[..., BaseException]) -> None:
    group = BaseExceptionGroup("two", [layers(), layers()])
    group.__cause__ = layers()
    text = format_traceback(group)
    assert text.count('app.py"') == 3
    assert "framework.py" not in text
    assert "(9 frames" in text


def test_a_cycle_of_causes_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first
    assert format_traceback(first).endswith("ValueError: a\n")
