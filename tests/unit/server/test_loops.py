"""Event loops by name."""

import asyncio
import contextlib
import importlib.util
import sys

import pytest

from asgiserver.errors import ApplicationLoadError, ConfigError
from asgiserver.server.loops import loop_factory

HAVE_UVLOOP = importlib.util.find_spec("uvloop") is not None


@pytest.fixture(autouse=True)
def search_path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def made_by(name):
    with contextlib.closing(loop_factory(name)()) as loop:
        assert isinstance(loop, asyncio.AbstractEventLoop)
        return type(loop).__module__


def test_asyncio_is_the_standard_library():
    assert made_by("asyncio").startswith("asyncio.")
    assert made_by("none").startswith("asyncio.")


@pytest.mark.skipif(not HAVE_UVLOOP, reason="uvloop is not installed")
def test_auto_prefers_uvloop():
    assert made_by("uvloop").startswith("uvloop")
    assert made_by("auto").startswith("uvloop")


def test_auto_is_asyncio_without_uvloop(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert made_by("auto").startswith("asyncio.")


def test_auto_is_asyncio_where_uvloop_is_not_made_for(monkeypatch):
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    assert made_by("auto").startswith("asyncio.")


def test_uvloop_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(ConfigError, match="pip install uvloop"):
        loop_factory("uvloop")


def test_a_factory_of_ones_own():
    assert made_by("asyncio:SelectorEventLoop").startswith("asyncio.")


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("fast", ConfigError, "expected auto, asyncio, uvloop or module:factory, not 'fast'"),
        ("asyncio:__name__", ConfigError, "cannot be called"),
        ("asyncio:EventLoop2", ApplicationLoadError, "has no attribute 'EventLoop2'"),
        ("no_such_module_here:loop", ApplicationLoadError, "no module 'no_such_module_here'"),
    ],
)
def test_names_that_are_none(name, error, text):
    with pytest.raises(error, match=text):
        loop_factory(name)
