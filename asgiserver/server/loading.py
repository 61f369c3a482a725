"""Import the application, and say precisely why when that fails.

This module knows import strings, callables and their signatures, and nothing of the server.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import os
import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from asgiserver.config.files import read_env_file
from asgiserver.errors import ApplicationLoadError, NestedServerError, did_you_mean, one_line
from asgiserver.server.importing import importing

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "detect_interface",
    "import_folder",
    "load_application",
    "load_env_files",
    "load_object",
    "module_of_path",
]

logger = logging.getLogger("asgiserver")

_SPEC = re.compile(r"(?P<module>\w+(?:\.\w+)*)(?::(?P<attribute>\w+(?:\.\w+)*)(?P<call>\(\))?)?")
_PATH = re.compile(r"(?P<folder>.*[/\\])?(?P<stem>\w+)\.py(?P<rest>:.*)?")

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def load_application(spec: Any, *, factory: bool = False, app_dir: str = "") -> Any:
    """The application that `spec` names; anything but a string is the application itself.

    ``pkg.mod:attr``, ``pkg.mod:create()`` (called without arguments), or ``pkg.mod``, which stands
    for its ``app`` or ``application``. `app_dir` (default: the current directory) goes first on
    ``sys.path``. Raises `ApplicationLoadError`, with a cause when the application's code raised.
    """
    app = spec
    if isinstance(spec, str):
        match = _parse(spec)
        app = _find(match["module"], match["attribute"], app_dir)
        factory = factory or bool(match["call"])
    name = repr(spec) if isinstance(spec, str) else "the application"
    if not factory and _is_factory(app):
        logger.warning("%s takes no arguments: called as a factory; say so with --factory", name)
        factory = True
    if factory:
        app = _call(app, name)
    elif inspect.isclass(app) and _makes_instances(app):
        hint = _instance_hint(app, spec)
        text = f"{name} is a class: name an instance of it{hint}, or let --factory make one"
        raise ApplicationLoadError(text)
    if not callable(app):
        kind = "a module" if isinstance(app, ModuleType) else f"of type {type(app).__name__}"
        raise ApplicationLoadError(f"{name} is {kind}, not an application that can be called")
    return app


def load_object(spec: str, *, app_dir: str = "") -> Any:
    """The object that ``module:attribute`` names. Raises `ApplicationLoadError`."""
    match = _parse(spec)
    if match["attribute"] is None or match["call"]:
        raise ApplicationLoadError(f"{spec!r}: expected 'module:attribute'")
    return _find(match["module"], match["attribute"], app_dir)


def import_folder() -> str:
    """The `app_dir` with which an import leaves ``sys.path`` as a program has set it up."""
    entries: Iterable[object] = sys.path
    first = next(iter(entries), "")
    return first if isinstance(first, str) else ""


def load_env_files(paths: Iterable[str]) -> None:
    """Read files of ``NAME=value`` lines into the environment; variables already set stay.

    Raises `ConfigError` as `read_env_file` does.
    """
    for path in paths:
        for name, value in read_env_file(path).items():
            os.environ.setdefault(name, value)


def detect_interface(app: Any) -> str:
    """``asgi3``, ``asgi2`` or ``wsgi``, by looking at how `app` wants to be called."""
    if inspect.isclass(app) and hasattr(app, "__await__"):
        return "asgi3"  # App(scope, receive, send) is awaited
    target: Any = app
    if not inspect.isclass(app) and not _is_routine(app):
        target = app.__call__
    if inspect.iscoroutinefunction(target):
        return "asgi3"
    # ASGI 2: app(scope) returns a coroutine function. PEP 3333: app(environ, start_response).
    return {1: "asgi2", 2: "wsgi"}.get(_required(target), "asgi3")


def _is_routine(app: Any) -> bool:
    # A partial has the signature and the kind of what it wraps, although its type is a class in C.
    return inspect.isroutine(app) or isinstance(app, functools.partial)


def _required(target: Any) -> int:
    """How many positional arguments `target` requires."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # compiled code without a signature
        return 3
    return sum(p.kind in _POSITIONAL and p.default is p.empty for p in parameters)


def _is_factory(app: Any) -> bool:
    """Whether `app` is a plain function that no ASGI or WSGI server could call."""
    plain = inspect.isfunction(app) and not app.__code__.co_flags & inspect.CO_COROUTINE
    if not plain or _required(app):
        return False
    try:
        inspect.signature(app).bind(None, None)
    except TypeError:
        return True
    return False


def _makes_instances(kind: type) -> bool:
    """Whether a class cannot be the application itself, because it takes no scope or environ."""
    if hasattr(kind, "__await__") or _required(kind):
        return False
    kinds = {parameter.kind for parameter in inspect.signature(kind).parameters.values()}
    return inspect.Parameter.VAR_POSITIONAL not in kinds


def _instance_hint(kind: type, spec: Any) -> str:
    module = sys.modules.get(spec.partition(":")[0]) if isinstance(spec, str) else None
    names = (name for name, value in vars(module).items() if type(value) is kind) if module else ()
    return next((f" ({spec.partition(':')[0]}:{name}?)" for name in names), "")


def _call(factory: Any, name: str) -> Any:
    if not callable(factory):
        raise ApplicationLoadError(f"{name} is not a factory: it cannot be called")
    if _required(factory) and (inspect.isfunction(factory) or inspect.isclass(factory)):
        text = f"{name} is called as a factory but needs arguments {inspect.signature(factory)}"
        raise ApplicationLoadError(f"{text}; is it the application? then leave out --factory")
    try:
        with importing(name):
            app = factory()
    except NestedServerError as error:
        raise error.with_traceback(None) from None
    except (Exception, SystemExit) as error:
        raise ApplicationLoadError(f"the factory {name} failed: {one_line(error)}") from error
    if inspect.iscoroutine(app):
        app.close()
        raise ApplicationLoadError(f"the factory {name} is async; a factory is a plain function")
    return app


def _parse(spec: str) -> re.Match[str]:
    path = _PATH.fullmatch(spec)
    if path is not None:
        fixed = module_of_path(path["folder"] or "", path["stem"]) + (path["rest"] or ":app")
        raise ApplicationLoadError(f"{spec!r} is a path; name the module instead: {fixed}")
    match = _SPEC.fullmatch(spec)
    if match is None:
        hint = "write module:attribute, such as main:app"
        raise ApplicationLoadError(f"{spec!r} does not name an application; {hint}")
    return match


def module_of_path(folder: str, stem: str) -> str:
    """How to name the module in a file: within its packages, with --app-dir where that is needed.

    A package is a folder with an ``__init__.py``, and so are all folders in it that have one.
    """
    names = [stem]
    folder = folder.replace("\\", "/").rstrip("/").removeprefix("./")
    while folder and os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, _, name = folder.rpartition("/")
        names.insert(0, name)
    module = ".".join(names)
    return f"--app-dir {folder} {module}" if folder and folder != "." else module


def _find(module_name: str, attribute: str | None, app_dir: str) -> Any:
    try:
        folder = os.path.realpath(app_dir)
    except OSError as error:  # only the current directory can raise it, when it was deleted
        text = f"the current directory is gone ({error.strerror}); give an absolute --app-dir"
        raise ApplicationLoadError(text) from None
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    module = _import(module_name, folder)
    if attribute is None:
        return _default_attribute(module)
    found: Any = module
    owner = f"module {module_name!r}"
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [name for name in dir(found) if not name.startswith("_")]
            hint = did_you_mean(part, names) or _applications_hint(module)
            raise ApplicationLoadError(f"{owner} has no attribute {part!r}{hint}")
        found = getattr(found, part)
        owner = repr(part)
    return found


def _default_attribute(module: ModuleType) -> Any:
    for name in ("app", "application"):
        if hasattr(module, name):
            return getattr(module, name)
    text = f"module {module.__name__!r} has neither 'app' nor 'application'"
    raise ApplicationLoadError(text + _applications_hint(module))


def _applications_hint(module: ModuleType) -> str:
    """Suggest what in `module` may be an application: an async function or a callable object."""
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and not inspect.isclass(value)
        and (inspect.iscoroutinefunction(value) or not _is_routine(value))
        and getattr(value, "__module__", "") not in ("typing", "builtins")
    ]
    return f"; did you mean {module.__name__}:{names[0]}?" if names else ""


def _import(module_name: str, folder: str) -> ModuleType:
    try:
        with importing(repr(module_name)):
            return importlib.import_module(module_name)
    except NestedServerError as error:
        raise error.with_traceback(None) from None  # its message names the fix; frames add nothing
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{module_name}.".startswith(f"{missing}."):
            hint = _module_hint(missing, folder)
            text = f"no module {missing!r} in {folder} or on sys.path{hint}"
            raise ApplicationLoadError(text) from None
        text = f"importing {module_name!r} failed: it needs the module {missing!r}"
        raise ApplicationLoadError(text) from error
    except (Exception, SystemExit) as error:
        text = f"importing {module_name!r} failed: {one_line(error)}"
        if isinstance(error, RuntimeError) and "no running event loop" in str(error):
            text += "; none runs yet: do this in the lifespan's start-up"
        raise ApplicationLoadError(text) from error


def _module_hint(missing: str, folder: str) -> str:
    parent, _, name = missing.rpartition(".")
    if not parent and os.path.isfile(os.path.join(folder, "src", f"{name}.py")):
        return "; did you mean --app-dir src?"
    package = sys.modules.get(parent)
    paths = list(getattr(package, "__path__", ())) if parent else [folder]
    import pkgutil

    siblings = [module.name for module in pkgutil.iter_modules(paths)]
    return did_you_mean(name, siblings)
