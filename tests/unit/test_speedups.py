"""Whether the compiled core is used, and what is said about it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from asgiserver import speedups
from asgiserver.http.semantics import METHODS

FOLDER = Path(speedups.__file__).parent
NAME = "asgiserver.speedups._core"


@pytest.fixture
def stand_in(monkeypatch):
    """Puts a module in the place of the core; None: there is none."""
    monkeypatch.delenv(speedups.VARIABLE, raising=False)

    def stand_in(core):
        monkeypatch.delattr(speedups, "_core", raising=False)
        monkeypatch.setitem(sys.modules, NAME, core)

    return stand_in


def a_core(build):
    core = ModuleType(NAME)
    core.__dict__["BUILD"] = build
    return core


def test_a_core_of_the_same_sources_is_used(stand_in):
    stand_in(a_core(speedups.BUILD))
    assert speedups.find() == (True, False, "in use")


def test_a_core_of_other_sources_is_not_used(stand_in):
    stand_in(a_core(speedups.BUILD - 1))
    is_used, is_stale, about = speedups.find()
    assert (is_used, is_stale) == (False, True)
    assert about == "built from other sources: install asgiserver again"


def test_without_a_core(stand_in, monkeypatch):
    stand_in(None)
    monkeypatch.delitem(sys.modules, NAME)
    monkeypatch.setattr(speedups, "__path__", [])
    assert speedups.find() == (False, False, "not built")


def test_a_core_that_cannot_be_loaded(stand_in, monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == NAME:
                raise ImportError("undefined symbol: PyOther")

    stand_in(None)
    monkeypatch.delitem(sys.modules, NAME)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert speedups.find() == (False, False, "cannot be loaded: undefined symbol: PyOther")


def test_the_variable_turns_it_off(stand_in, monkeypatch):
    stand_in(a_core(speedups.BUILD))
    monkeypatch.setenv(speedups.VARIABLE, "0")
    assert speedups.find() == (False, False, "off by ASGISERVER_SPEEDUPS=0")


def test_what_is_chosen(stand_in, monkeypatch):
    core = a_core(speedups.BUILD)
    core.__dict__["read"] = "of the core"
    stand_in(core)
    for is_used, expected in ((True, "of the core"), (False, "of Python")):
        monkeypatch.setattr(speedups, "is_used", is_used)
        assert speedups.choose("read", "of Python") == expected


@pytest.mark.parametrize(("value", "words"), [("0", "off by ASGISERVER_SPEEDUPS=0"), ("1", "")])
def test_a_process_says_whether_it_is_used(value, words, monkeypatch):
    monkeypatch.setenv(speedups.VARIABLE, value)
    command = [sys.executable, "-m", "asgiserver", "--print-config"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=110)
    line = done.stdout.splitlines()[0]
    assert line.startswith(f"# compiled core: {words}")
    assert line.endswith(" # --http auto")
    assert done.stderr == ""


def test_python_and_c_name_the_same_build():
    found = re.search(r"\bBUILD = (\d+)", (FOLDER / "_core.c").read_text())
    assert found
    assert int(found[1]) == speedups.BUILD


def test_c_knows_the_methods_of_python():
    found = re.findall(r'METHOD\("(.*?)"\)', (FOLDER / "head.c").read_text())
    assert sorted(found) == sorted(METHODS.values())
    assert f"METHODS = {len(found)} " in (FOLDER / "head.h").read_text()


def test_common_names_are_lower_case_counted_and_different():
    found = re.findall(r'(?:NAME|MEANS)\("(.*?)"', (FOLDER / "head.c").read_text())
    assert len(found) == len(set(found))
    assert all(name == name.lower() for name in found)
    assert f"NAMES = {len(found)}," in (FOLDER / "head.h").read_text()
