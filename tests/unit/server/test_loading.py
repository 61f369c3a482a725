"""Import strings, factories, interfaces, and what people are told when they are wrong."""

import functools
import logging
import os
import sys
import traceback

import pytest

from asgiserver.errors import ApplicationLoadError, ConfigError
from asgiserver.server.loading import (
    detect_interface,
    load_application,
    load_env_files,
    load_object,
)

MAIN = """
import os
from typing import Any

async def app(scope, receive, send): ...

class Site:
    async def api(self, scope, receive, send): ...

site = Site()
number = 5

def create():
    return app

def create_other(name):
    return app

def create_later(name="x"):
    return app

async def create_async():
    return app

def create_broken():
    raise RuntimeError("no database")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A directory of modules; what they add to the interpreter is taken back."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "load_main.py", MAIN)
    write(tmp_path, "load_application.py", "application = print")
    write(tmp_path, "load_nothing.py", "class App: ...\nasync def handler(s, r, d): ...")
    write(tmp_path, "load_empty.py", "")
    write(tmp_path, "load_package/__init__.py", "")
    write(tmp_path, "load_package/web.py", "from load_main import app")
    write(tmp_path, "load_needs.py", "import no_such_dependency.part")
    write(tmp_path, "load_raises.py", "def inner():\n    1 / 0\ninner()")
    write(tmp_path, "load_exits.py", "raise SystemExit(1)")
    write(tmp_path, "load_syntax.py", "def (")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("load_main:app", "app"),
        ("load_main", "app"),
        ("load_application", "print"),
        ("load_main:create()", "app"),
        ("load_main:site.api", "api"),
        ("load_package.web:app", "app"),
    ],
)
def test_import_strings(spec, name):
    assert load_application(spec).__name__ == name


def test_the_directory_of_the_application(tmp_path, monkeypatch):
    write(tmp_path, "src/load_elsewhere.py", "def app(a, b, c): ...")
    assert load_application("load_elsewhere:app", app_dir="src").__name__ == "app"
    assert sys.path[0] == str(tmp_path / "src")


def test_an_object_is_the_application():
    assert load_application(print) is print
    assert load_application(lambda: print, factory=True) is print


def test_factories_when_asked_for():
    assert load_application("load_main:create", factory=True).__name__ == "app"
    assert load_application("load_main:create_later", factory=True).__name__ == "app"


def test_a_factory_is_noticed(caplog):
    with caplog.at_level(logging.WARNING, "asgiserver"):
        assert load_application("load_main:create").__name__ == "app"
    assert caplog.messages == [
        "'load_main:create' takes no arguments: called as a factory; say so with --factory"
    ]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("main.py", "'main.py' is a path; name the module instead: main:app"),
        ("src/main.py:api", "is a path; name the module instead: --app-dir src main:api"),
        ("a b", "'a b' does not name an application; write module:attribute, such as main:app"),
        ("main:create(1)", "does not name an application"),
        (":app", "does not name an application"),
        (
            "load_mian:app",
            r"no module 'load_mian' in .* or on sys.path; did you mean 'load_main'\?",
        ),
        ("zzz:app", r"no module 'zzz' in .* or on sys.path$"),
        ("load_package.wev:app", r"no module 'load_package.wev' .*; did you mean 'web'\?"),
        ("load_main.sub:app", "no module 'load_main.sub'"),
        ("load_main:ap", r"module 'load_main' has no attribute 'ap'; did you mean 'app'\?"),
        ("load_main:site.apis", r"'site' has no attribute 'apis'; did you mean 'api'\?"),
        ("load_nothing:zzz", "has no attribute 'zzz'; did you mean load_nothing:handler"),
        ("load_nothing", "neither 'app' nor 'application'; did you mean load_nothing:handler"),
        ("load_empty", "module 'load_empty' has neither 'app' nor 'application'$"),
        ("load_main:number", "is of type int, not an application"),
        ("load_main:os", "is a module, not an application"),
    ],
)
def test_precise_errors_without_a_cause(spec, text):
    with pytest.raises(ApplicationLoadError, match=text) as caught:
        load_application(spec)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_module_below_src(tmp_path):
    write(tmp_path, "src/load_inner.py", "")
    with pytest.raises(ApplicationLoadError, match=r"did you mean --app-dir src\?"):
        load_application("load_inner:app")


@pytest.mark.parametrize(
    ("spec", "cause", "text"),
    [
        (
            "load_raises:app",
            ZeroDivisionError,
            "importing 'load_raises' failed: ZeroDivisionError: ",
        ),
        ("load_exits:app", SystemExit, "importing 'load_exits' failed: SystemExit: 1"),
        ("load_syntax:app", SyntaxError, "importing 'load_syntax' failed: SyntaxError: "),
        ("load_needs:app", ModuleNotFoundError, "it needs the module 'no_such_dependency'"),
        ("load_main:create_broken()", RuntimeError, "failed: RuntimeError: no database"),
    ],
)
def test_what_the_application_raises_is_the_cause(spec, cause, text):
    with pytest.raises(ApplicationLoadError, match=text) as caught:
        load_application(spec)
    assert isinstance(caught.value.__cause__, cause)
    assert traceback.format_exception(caught.value.__cause__)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("load_main:app", r"needs arguments \(scope, receive, send\); is it the application\?"),
        ("load_main:number", "is not a factory: it cannot be called"),
        ("load_main:create_async", "is async; a factory is a plain function"),
        ("load_main:create_other", r"needs arguments \(name\)"),
    ],
)
def test_factories_that_are_none(spec, text):
    with pytest.raises(ApplicationLoadError, match=text):
        load_application(spec, factory=True)


def test_objects_of_any_kind():
    assert load_object("load_main:number") == 5
    for spec in ("load_main", "load_main:create()"):
        with pytest.raises(ApplicationLoadError, match="expected 'module:attribute'"):
            load_object(spec)


def test_files_of_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("LOAD_SET", "old")
    monkeypatch.delenv("LOAD_NEW", raising=False)
    write(tmp_path, "one.env", "LOAD_SET=new\nLOAD_NEW='a b'")
    load_env_files(["one.env"])
    assert (os.environ["LOAD_SET"], os.environ.pop("LOAD_NEW")) == ("old", "a b")


def test_files_of_variables_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"env_file: no file 'two\.env' in "):
        load_env_files(["two.env"])
    write(tmp_path, "one.env", "")
    monkeypatch.setitem(sys.modules, "dotenv", None)
    with pytest.raises(ConfigError, match=r'pip install "asgiserver-py\[dotenv\]"'):
        load_env_files(["one.env"])


async def asgi3(scope, receive, send): ...
def asgi3_plain(scope, receive, send): ...
async def asgi3_bound(extra, scope, receive, send): ...
def asgi2(scope): ...
def wsgi(environ, start_response): ...
def wrapper(*args, **kwargs): ...


class Asgi3:
    async def __call__(self, scope, receive, send): ...

    async def method(self, scope, receive, send): ...

    @classmethod
    async def of_class(cls, scope, receive, send): ...


class Asgi3Plain:
    def __call__(self, scope, receive, send): ...


class Asgi3Awaited:
    def __init__(self, scope, receive, send): ...

    def __await__(self): ...


class Asgi2:
    def __init__(self, scope): ...

    async def __call__(self, receive, send): ...


class Wsgi:
    func = None

    def __call__(self, environ, start_response): ...


class WsgiClass:
    def __init__(self, environ, start_response): ...

    def __iter__(self): ...


@functools.wraps(wsgi)
def wsgi_wrapped(*args):
    return wsgi(*args)


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (asgi3, "asgi3"),
        (asgi3_plain, "asgi3"),
        (functools.partial(asgi3_bound, 1), "asgi3"),
        (functools.partial(Asgi3()), "asgi3"),
        (Asgi3(), "asgi3"),
        (Asgi3().method, "asgi3"),
        (Asgi3.of_class, "asgi3"),
        (Asgi3Plain(), "asgi3"),
        (Asgi3Awaited, "asgi3"),
        (wrapper, "asgi3"),
        (print, "asgi3"),
        (asgi2, "asgi2"),
        (Asgi2, "asgi2"),
        (functools.partial(Asgi2), "asgi2"),
        (wsgi, "wsgi"),
        (wsgi_wrapped, "wsgi"),
        (Wsgi(), "wsgi"),
        (WsgiClass, "wsgi"),
        (functools.partial(lambda x, environ, start_response: None, 1), "wsgi"),
    ],
)
def test_interfaces(app, interface):
    assert detect_interface(app) == interface


def test_interface_of_frameworks():
    starlette = pytest.importorskip("starlette.applications")
    fastapi = pytest.importorskip("fastapi")
    assert detect_interface(starlette.Starlette()) == "asgi3"
    assert detect_interface(fastapi.FastAPI()) == "asgi3"


@pytest.mark.parametrize(
    ("path", "fixed"),
    [
        ("pkg/api.py:app", "pkg.api:app"),
        ("./pkg/sub/api.py", "pkg.sub.api:app"),
        ("src/pkg/api.py", "--app-dir src pkg.api:app"),
        ("plain/api.py", "--app-dir plain api:app"),
        ("./main.py", "main:app"),
    ],
)
def test_a_path_within_packages_is_named_with_them(path, fixed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("pkg", "pkg/sub", "src/pkg"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").touch()
    with pytest.raises(ApplicationLoadError) as caught:
        load_application(path)
    assert str(caught.value) == f"{path!r} is a path; name the module instead: {fixed}"
