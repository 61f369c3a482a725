"""Whose code a frame runs, and which one names a problem."""

from __future__ import annotations

import json
import os
import sys

import pytest

import asgiserver
from asgiserver.watch import frames
from asgiserver.watch.frames import Place, Whose, best, shown, stack_of, whose


@pytest.mark.parametrize(
    ("file", "module", "expected"),
    [
        ("/srv/shop/app.py", "app", Whose.APPLICATION),
        ("/srv/venv/lib/python3.13/site-packages/starlette/routing.py", "starlette.routing", 2),
        ("/usr/lib/python3/dist-packages/yaml.py", "yaml", Whose.LIBRARY),
        (json.__file__, "json", Whose.STDLIB),
        ("<frozen importlib._bootstrap>", "importlib", Whose.STDLIB),
        (asgiserver.__file__, "asgiserver", Whose.SERVER),
        ("<string>", "__main__", Whose.APPLICATION),
    ],
)
def test_whose_code_a_file_is(file, module, expected):
    assert whose(file, module) == expected


def test_an_installed_application_is_the_application(monkeypatch):
    monkeypatch.setattr(frames, "own_packages", set())
    file = "/srv/venv/lib/python3.13/site-packages/shop/views.py"
    whose.cache_clear()
    assert whose(file, "shop.views") is Whose.LIBRARY
    frames.serves("shop.main:app")
    frames.serves(object())
    assert whose(file, "shop.views") is Whose.APPLICATION
    whose.cache_clear()


def test_the_innermost_line_of_the_application_is_the_best():
    stdlib = Place("/usr/lib/json.py", 1, "loads", Whose.STDLIB)
    library = Place("/x/site-packages/db.py", 2, "query", Whose.LIBRARY)
    inner = Place("/srv/app.py", 3, "read", Whose.APPLICATION)
    outer = Place("/srv/app.py", 4, "handle", Whose.APPLICATION)
    server = Place("/x/asgiserver/session.py", 5, "run", Whose.SERVER)
    assert best([stdlib, library, inner, outer, server]) is inner
    assert best([stdlib, library, server]) is library
    assert best([stdlib, server]) is stdlib
    assert best([server]) is server
    assert best([]) is None


def test_a_stack_is_cut():
    def recurse(depth):
        return recurse(depth - 1) if depth else stack_of(sys._getframe())

    stack = recurse(100)
    assert len(stack) == frames.MAX_FRAMES
    assert stack[0][1].function.endswith("recurse")
    assert stack_of(None) == []


def test_paths_are_shown_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(str(tmp_path / "app" / "views.py")) == os.path.join("app", "views.py")
    assert shown("/nowhere/app.py") == "/nowhere/app.py"
