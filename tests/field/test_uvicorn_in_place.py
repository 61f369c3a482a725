"""Programs that bring uvicorn, on this server: by `install`, and by ``asgiserver exec``."""

from __future__ import annotations

import re
import signal
import sys

import pytest
from cli_server import ROOT, Command
from process_server import replace
from program import run_program

APP = """
import logging

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (kind := (await receive())["type"]) != "lifespan.shutdown":
            await send({"type": f"{kind}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    logging.getLogger("uvicorn.error").info("a request for %s", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"tea"})
"""

RUN = """
import uvicorn

if __name__ == "__main__":
    uvicorn.run("app:app", port=0, workers=WORKERS)
    print("went on", flush=True)
"""

RELOAD = """
import uvicorn
from uvicorn.supervisors import ChangeReload


class Server(uvicorn.Server):
    def run(self, sockets=None):
        print("in a child", flush=True)
        super().run(sockets=sockets)


if __name__ == "__main__":
    config = uvicorn.Config("app:app", port=0, reload=True)
    server = Server(config)
    ChangeReload(config, target=server.run, sockets=[config.bind_socket()]).run()
    print("went on", flush=True)
"""

INSTALL = "import asgiserver.compat.uvicorn as stand_in\nstand_in.install()\n"


@pytest.fixture
def start(tmp_path):
    """``start(*words)`` runs a command of ``asgiserver``, which serves sooner or later."""
    (tmp_path / "app.py").write_text(APP)
    commands = []

    def start(*words):
        command = Command(tmp_path, *words, ready=False)
        commands.append(command)
        command.wait_output("Serving on ")
        return command, re.search(r"Serving on (http://\S+)", command.output)[1]

    yield start
    for command in commands:
        command.close()


def stop(command, address, number=signal.SIGINT):
    """The exit code after a request has shown who serves."""
    response = command.get("/leaf", address)
    assert b"server: asgiserver" in response
    assert response.endswith(b"tea")
    command.wait_output("a request for /leaf")
    command.kill(number)
    code = command.wait()
    assert "Traceback" not in command.output
    return code


def test_exec_runs_the_command_uvicorn(start):
    assert stop(*start("exec", "--", "uvicorn", "app:app", "--port", "0")) == 0


def test_exec_runs_python_m_uvicorn(start):
    assert stop(*start("exec", sys.executable, "-m", "uvicorn", "app:app", "--port", "0")) == 0


def test_sigterm_ends_it_as_it_ends_uvicorn(start):
    words = ("exec", "python", "-m", "uvicorn", "app:app", "--port", "0")
    assert stop(*start(*words), number=signal.SIGTERM) == -signal.SIGTERM


@pytest.mark.parametrize("workers", [1, 2])
def test_exec_runs_a_program_that_calls_run(start, tmp_path, workers):
    (tmp_path / "main.py").write_text(RUN.replace("WORKERS", str(workers)))
    command, address = start("exec", "python", "main.py")
    assert stop(command, address) == 0
    assert "went on" in command.output


def test_a_change_reaches_a_child_of_the_program_s_own_supervisor(start, tmp_path):
    (tmp_path / "main.py").write_text(RELOAD)
    command, address = start("exec", "python", "main.py")
    assert command.get("/", address).endswith(b"tea")
    replace(tmp_path / "app.py", APP.replace("tea", "coffee"))
    command.wait_output("Changed: app.py")
    command.wait_matches("in a child", 2)
    command.wait_matches("Serving on ", 2)
    assert command.get("/", address).endswith(b"coffee")
    command.kill()
    assert command.wait() == 0
    assert "went on" in command.output
    assert "Traceback" not in command.output


def test_processes_that_the_program_spawns_get_it(tmp_path):
    (tmp_path / "main.py").write_text(
        "import multiprocessing\n\n"
        "def who():\n    import uvicorn.config\n    print(uvicorn.config.Config, flush=True)\n\n"
        f"if __name__ == '__main__':\n"
        f"    {INSTALL.replace(chr(10), chr(10) + '    ').strip()}\n"
        "    process = multiprocessing.get_context('spawn').Process(target=who)\n"
        "    process.start()\n    process.join()\n"
    )
    ended = run_program(tmp_path, "main.py")
    assert ended.output == "<class 'asgiserver.compat.uvicorn.config.Config'>\n"


def test_both_names_are_one_module(tmp_path):
    (tmp_path / "main.py").write_text(
        f"{INSTALL}stand_in.install()\n"
        "import uvicorn, uvicorn.main, sys\n"
        "from uvicorn.supervisors import statreload\n"
        "from uvicorn import config, logging, workers\n"
        "import asgiserver.compat.uvicorn.config as ours\n"
        "assert uvicorn is stand_in and config is ours and uvicorn.config is ours\n"
        "assert sys.modules['uvicorn.main'].Server is uvicorn.Server\n"
        "assert ours.__spec__.name == 'asgiserver.compat.uvicorn.config'\n"
        "from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware\n"
        "from uvicorn.protocols.http.h11_impl import H11Protocol\n"
        "print('uvicorn', uvicorn.__version__)\n"
    )
    ended = run_program(tmp_path, "main.py")
    assert (ended.code, ended.output) == (0, "uvicorn 0.54.0\n")


def test_install_after_uvicorn_says_so(tmp_path):
    (tmp_path / "main.py").write_text(f"import uvicorn\n{INSTALL}")
    ended = run_program(tmp_path, "main.py")
    assert ended.code == 1
    assert "uvicorn was imported already" in ended.output.splitlines()[-1]
    assert "at the very beginning of the program" in ended.output.splitlines()[-1]


def test_a_python_without_the_server_says_so(tmp_path):
    (tmp_path / "main.py").write_text(
        "import sys\nsys.path.remove(ROOT)\nimport uvicorn\n".replace("ROOT", repr(str(ROOT)))
    )
    base = f"{sys.base_prefix}/bin/python3"
    ended = run_program(tmp_path, "-m", "asgiserver", "exec", base, "main.py")
    assert ended.code == 1
    assert "has no asgiserver" in ended.output.splitlines()[-1]


def test_exec_says_what_is_wrong_with_its_command(tmp_path):
    (tmp_path / "broken").write_text("no program")
    (tmp_path / "broken").chmod(0o755)
    for words, said in {
        (): "exec: COMMAND is missing",
        ("--",): "exec: COMMAND is missing",
        ("--port", "80"): "exec: --port is no command",
        ("no-such-command",): "exec: there is no command 'no-such-command'",
        ("./broken",): "exec: cannot run ./broken: Exec format error",
    }.items():
        ended = run_program(tmp_path, "-m", "asgiserver", "exec", *words)
        assert ended.code == 2
        assert ended.output.startswith(f"asgiserver: error: {said}")
        assert ended.output.count("\n") == 1


def test_exec_help(tmp_path):
    ended = run_program(tmp_path, "-m", "asgiserver", "exec", "--help")
    assert ended.code == 0
    assert "asgiserver exec [--] COMMAND" in ended.output
