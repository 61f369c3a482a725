"""Putting the stand-in in the place of uvicorn, for all code of a process that imports it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

from asgiserver.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

__all__ = ["install"]

NAME = "uvicorn"
OURS = __name__.rpartition(".")[0]

STAND_IN = os.path.join(os.path.dirname(os.path.dirname(__file__)), "stand_in")
"""The directory in which Python finds a package `uvicorn` that calls `install`."""


def install() -> None:
    """From now on ``import uvicorn`` gives this package, and its modules are ours.

    Processes that `multiprocessing` spawns get it, too. Modules of uvicorn that have no stand-in,
    such as its middleware, come from uvicorn if that is installed. A second call does nothing.
    Raises `ConfigError` when uvicorn itself was imported before.
    """
    ours = sys.modules[OURS]
    present = sys.modules.get(NAME)
    if present is ours:
        return
    file = getattr(present, "__file__", None) or ""
    if present is not None and not file.startswith(STAND_IN + os.sep):
        raise ConfigError(
            f"uvicorn was imported already ({file}): call asgiserver.compat.uvicorn.install() at"
            " the very beginning of the program, or start it with asgiserver exec"
        )
    others = [entry for entry in sys.path if entry != STAND_IN]
    itself = PathFinder.find_spec(NAME, others)
    if itself is not None and itself.submodule_search_locations:
        ours.__path__ = [*ours.__path__, *itself.submodule_search_locations]
    sys.modules[NAME] = ours
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{OURS}."):
            sys.modules[_theirs(name)] = module
    sys.meta_path.insert(0, _Finder())
    sys.path[:] = [STAND_IN, *others]  # multiprocessing gives the path to its children


class _Finder:
    """Finds ``uvicorn.x`` where there is such a module of ours: both names give one module."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{NAME}."):
            return None
        ours = f"{OURS}{name.removeprefix(NAME)}"
        if PathFinder.find_spec(ours, [_directory(ours)]) is None:
            return None
        spec = importlib.util.find_spec(ours)
        assert spec is not None
        found = ModuleSpec(name, _Loader(ours), origin=spec.origin)
        found.submodule_search_locations = spec.submodule_search_locations
        return found


class _Loader(Loader):
    """Gives the module that has our name, however it is asked for."""

    def __init__(self, ours: str) -> None:
        self._ours = ours
        self._spec: Any = None

    def create_module(self, _spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._ours)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put that of the other name there

    def get_code(self, _name: str) -> CodeType | None:
        """The code for ``python -m``."""
        spec = importlib.util.find_spec(self._ours)
        assert spec is not None
        loader: Any = spec.loader
        code: CodeType | None = loader.get_code(self._ours)
        return code


def _theirs(name: str) -> str:
    return f"{NAME}{name.removeprefix(OURS)}"


def _directory(ours: str) -> str:
    """The folder of our package in which the module `ours` would be."""
    inside = ours.removeprefix(f"{OURS}.").split(".")[:-1]
    return os.path.join(os.path.dirname(__file__), *inside)
