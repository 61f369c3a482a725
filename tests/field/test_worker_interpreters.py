"""A worker is the interpreter that was started: its flags, and where it imports from."""

import ast

import pytest
from program import ROOT, run_program

APP = """
import sys

def told():
    flags = {name: getattr(sys.flags, name) for name in dir(sys.flags) if name[0] in "abdoistuvw"}
    flags = {name: value for name, value in flags.items() if isinstance(value, int)}
    where = [sys.modules[name].__file__ for name in ("asgiserver", "logging", "types")]
    return {
        "flags": flags, "warnings": sys.warnoptions, "x": sys._xoptions, "asserts": __debug__,
        "path": [entry for entry in sys.path if isinstance(entry, str)],
        "where": where, "unbuffered": sys.stdout.write_through,
    }

async def app(scope, receive, send):
    await receive()
    print("TOLD", told(), flush=True)
    await send({"type": "lifespan.startup.failed", "message": "that is all"})
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


def told(ended):
    lines = [line for line in ended.output.splitlines() if line.startswith("TOLD ")]
    assert lines, ended.output
    return ast.literal_eval(lines[0].removeprefix("TOLD "))


IN_PLACE = f"""import sys
sys.path.insert(0, {str(ROOT)!r})
from asgiserver.cli.main import main
sys.exit(main())"""


@pytest.mark.parametrize(
    "flags",
    [
        ["-O", "-E", "-s", "-B"],
        ["-X", "dev", "-W", "error"],
        ["-I", "-u", "-X", "int_max_str_digits=1000"],
        ["-P", "-OO", "-W", "ignore::DeprecationWarning", "-X", "utf8"],
    ],
    ids=" ".join,
)
def test_workers_keep_the_flags_and_the_path(folder, flags):
    command = ["-c", IN_PLACE, "main:app", "--port", "0"]
    env = {"PYTHONUNBUFFERED": ""}
    one = told(run_program(folder, *command, python=flags, env=env))
    worker = told(run_program(folder, *command, "--supervise", python=flags, env=env))
    assert worker == one
    assert one["asserts"] is not any(flag.startswith("-O") for flag in flags)


def test_nothing_beside_the_application_shadows_a_module(folder):
    """Modules that the server and Python need; the application's folder is the current one."""
    for name in ("random", "types", "logging", "select", "token", "http", "json", "asgiserver"):
        (folder / f"{name}.py").write_text("raise SystemExit('shadowed by ' + __file__)\n")
    script = folder.parent / "bin" / "serve.py"
    script.parent.mkdir()
    script.write_text("import sys\nfrom asgiserver.cli.main import main\nsys.exit(main())\n")
    for flags in ([], ["--supervise"]):
        ended = run_program(folder, str(script), "main:app", "--port", "0", *flags)
        assert "shadowed" not in ended.output
        assert not [path for path in told(ended)["where"] if path.startswith(str(folder))]


def test_a_program_that_changed_its_path_has_it_in_its_workers(folder):
    (folder / "lib").mkdir()
    (folder / "main.py").rename(folder / "lib" / "main.py")
    (folder / "start.py").write_text(
        "import pathlib, sys, asgiserver\n"
        "sys.path += [pathlib.Path('elsewhere'), 'lib']\n"
        "if __name__ == '__main__':\n"
        "    asgiserver.run('main:app', port=0, supervise='SUPERVISE' in sys.argv)\n"
    )
    one, worker = (told(run_program(folder, "start.py", word)) for word in ("", "SUPERVISE"))
    assert worker == one
    assert "lib" in one["path"]


@pytest.mark.parametrize("mode", ["--supervise", "--reload", "--preload"])
@pytest.mark.parametrize("flags", [["-X", "dev"], ["-W", "error"]], ids=" ".join)
def test_strict_interpreters_find_nothing_to_warn_of(folder, flags, mode):
    serving = APP.replace("startup.failed", "startup.complete") + "    await receive()\n"
    (folder / "main.py").write_text(serving)
    command = ["-c", IN_PLACE, "main:app", "--port", "0", mode]
    ended = run_program(folder, *command, python=flags, stop_at="Serving on")
    assert ended.code == 0, ended.output
    assert "Warning" not in ended.output
