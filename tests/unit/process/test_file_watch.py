"""Which files count for a reload, and that a change of one is noticed."""

import itertools
import os
import queue
import sys

import pytest
from process_server import DEADLINE, replace

from asgiserver.config.fields import Config
from asgiserver.process.reload import FileFilter, Watcher


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in (
        "app.py",
        "page.html",
        "pkg/mod.py",
        ".git/hook.py",
        "__pycache__/app.py",
        "env/pyvenv.cfg",
        "env/lib/site.py",
        "node_modules/tool.py",
        "data/big.py",
        "notes.py~",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(tree, **options):
    files = FileFilter(Config("app:app", **options))
    names = {os.path.relpath(name, tree) for name, _ in files.files()}
    every = {os.path.join(top, name) for top, _, inside in os.walk(tree) for name in inside}
    assert {os.path.relpath(name, tree) for name in every if files.counts(name)} == names
    return names


def test_defaults_leave_out_what_is_not_written_by_hand(tree):
    assert found(tree) == {"app.py", "pkg/mod.py", "data/big.py"}


def test_patterns(tree):
    assert "page.html" in found(tree, reload_includes=("*.html",))
    assert "data/big.py" not in found(tree, reload_excludes=("data/*",))
    assert "data/big.py" not in found(tree, reload_excludes=("data",))
    assert found(tree, reload_dirs=("pkg",)) == {"pkg/mod.py"}


def test_an_explicit_include_wins_over_what_is_left_out_by_default(tree):
    for name in (".env", ".env.local", "pkg/.env", ".git/.env", ".ci/deploy.yml", ".ci/x/a.yml"):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    usual = {"app.py", "pkg/mod.py", "data/big.py"}
    assert found(tree, reload_includes=(".env",)) == usual | {".env", "pkg/.env"}
    assert found(tree, reload_includes=("./pkg/.env",)) == usual | {"pkg/.env"}
    assert found(tree, reload_includes=(".env*",)) == usual | {".env", "pkg/.env", ".env.local"}
    assert found(tree, reload_includes=("*~",)) == usual | {"notes.py~"}
    assert found(tree, reload_includes=("node_modules/*.py",)) == usual | {"node_modules/tool.py"}
    assert found(tree, reload_includes=(".ci/*.yml",)) == usual | {".ci/deploy.yml", ".ci/x/a.yml"}
    assert found(tree, reload_includes=(".ci",)) == usual
    assert found(tree, reload_includes=(".git",)) == usual | {".git/hook.py"}
    # A wildcard is no wish for what is hidden, nor for what an editor leaves.
    assert found(tree, reload_includes=("*",)) == usual | {"page.html"}
    # What is excluded by name stays so.
    options = {"reload_includes": (".env",), "reload_excludes": (".env",)}
    assert found(tree, **options) == usual


def test_an_include_that_no_file_matches_is_told(tree):
    (tree / ".env").write_text("")
    config = Config("app:app", reload_includes=(".env", ".never", "hook.py", "env/lib/site.py"))
    lines = FileFilter(config).warnings(config)
    assert [line.split(" matches nothing")[0] for line in lines] == [
        "reload_include '.never'",
        "reload_include 'hook.py'",
        "reload_include 'env/lib/site.py'",
    ]


def test_warnings(tree):
    config = Config(
        "app:app",
        reload_dirs=(".", "missing"),
        reload_includes=("*.html", "*.nope"),
        reload_excludes=("data", "*.never"),
    )
    lines = FileFilter(config).warnings(config)
    assert len(lines) == 3
    assert "missing is not a directory" in lines[0]
    assert "'*.nope' matches nothing" in lines[1]
    assert "'*.never' matches nothing" in lines[2]


def test_looking_at_files_costs_less_than_a_percent_of_a_cpu(tree, monkeypatch):
    class Stop:
        """Lets three looks pass, and keeps the pauses before them."""

        def __init__(self):
            self.pauses = []

        def wait(self, pause):
            self.pauses.append(pause)
            return len(self.pauses) > 3

    used = itertools.count(step=0.5)  # seconds of CPU: each look takes half a second
    monkeypatch.setattr("asgiserver.process.reload.time.thread_time", lambda: next(used))
    watcher = Watcher(Config("app:app", reload_delay=0.25), print)
    stop = watcher._stop = Stop()
    watcher._known = watcher._look()
    watcher._poll()
    first, *others = stop.pauses
    assert first == 0.25
    assert all(0.5 / pause < 0.01 for pause in others)


@pytest.mark.parametrize("native", [True, False], ids=["watchfiles", "stat"])
def test_tells_what_changed(tree, native, monkeypatch):
    if not native:
        monkeypatch.setitem(sys.modules, "watchfiles", None)
    changes = queue.Queue()
    config = Config("app:app", reload_delay=0.05, reload_includes=".env")
    watcher = Watcher(config, lambda: changes.put("a change"))

    def changed():
        changes.get(timeout=DEADLINE)
        return watcher.take_changed()

    watcher.start()
    try:
        (tree / "page.html").write_text("does not count")
        replace(tree / "pkg" / "mod.py", "x = 1")
        assert changed() == str(tree / "pkg" / "mod.py")
        (tree / "new.py").write_text("")
        assert changed() == str(tree / "new.py")
        replace(tree / ".env", "A=1")
        assert changed() == str(tree / ".env")
        (tree / "app.py").unlink()
        assert changed() == str(tree / "app.py")
    finally:
        watcher.stop()
    assert changes.empty()
