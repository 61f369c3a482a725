"""A server started by code that a server imports: one error that names the guard, no second one."""

import textwrap

import pytest
from program import run_program

GUARD = 'if __name__ == "__main__":'
APP = """
import os

with open("imports", "a") as file:
    file.write(f"{os.getpid()} {__name__}\\n")

async def app(scope, receive, send):
    while True:
        event = await receive()
        print(event["type"], flush=True)
        await send({"type": event["type"] + ".complete"})
"""


@pytest.fixture
def folder(tmp_path):
    def write(code, name="main.py"):
        (tmp_path / name).write_text(APP + textwrap.dedent(code))
        return tmp_path

    return write


def imports(folder):
    """The processes that executed the module of the application."""
    return [line.split()[0] for line in (folder / "imports").read_text().splitlines()]


def refused_once(ended, folder, most):
    assert ended.code not in (0, -9)
    assert ended.output.count(GUARD) == 1, ended.output
    assert "lifespan.startup" not in ended.output
    assert "Serving on" not in ended.output
    assert ended.output.count("Supervisor started") <= 1
    assert len(imports(folder)) <= most


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ("", 2),
        ("workers=2, ", 3),
        ("reload=True, ", 2),
        ("supervise=True, ", 2),
        ("workers=2, preload=True, ", 2),
        ("run_once='main:app', ", 2),
        ("factory=True, ", 2),
    ],
)
def test_a_program_without_the_guard_ends_with_one_error(folder, options, most):
    path = folder(f"import asgiserver\nasgiserver.run('main:app', {options}port=0)\n")
    ended = run_program(path, *(["-m", "main"] if "supervise" in options else ["main.py"]))
    refused_once(ended, path, most)
    assert ended.output.rstrip().endswith(GUARD) or "run_once" in options


STARTS = {
    "run": "import asgiserver; asgiserver.run(app, port=0)",
    "run with workers": "import asgiserver; asgiserver.run('main:app', port=0, workers=2)",
    "serve": "import asgiserver, asyncio; asyncio.run(asgiserver.serve(app, port=0))",
    "Server": """
        import asgiserver, asyncio
        async def main():
            async with asgiserver.Server(asgiserver.Config(app, port=0)): pass
        asyncio.run(main())
        """,
    "serve_in_thread": """
        import asgiserver
        with asgiserver.serve_in_thread(app): print("Serving on a thread")
        """,
    "command": """
        import sys
        from asgiserver.cli.main import main
        sys.exit(main(["main:app", "--port", "0"]))
        """,
}


@pytest.mark.parametrize(
    ("start", "flags"),
    [
        *((start, []) for start in STARTS),
        ("run with workers", ["--workers", "2"]),
        ("command", ["--workers", "2"]),
        ("serve", ["--workers", "2", "--preload"]),
        ("serve_in_thread", ["--reload"]),
    ],
)
def test_the_command_refuses_an_application_that_starts_a_server(folder, start, flags):
    path = folder(STARTS[start])
    ended = run_program(path, "-m", "asgiserver", "main:app", "--port", "0", *flags)
    refused_once(ended, path, 2)
    assert ended.code == 2
    assert "Traceback" not in ended.output


@pytest.mark.parametrize("name", ["serve_in_thread", "serve"])
def test_a_program_without_the_guard_whose_server_is_in_a_thread_or_task(folder, name):
    code = {
        "serve_in_thread": "with asgiserver.serve_in_thread('main:app'): pass",
        "serve": "import asyncio; asyncio.run(asgiserver.serve('main:app', port=0))",
    }
    path = folder(f"import asgiserver\n{code[name]}\n")
    ended = run_program(path, "main.py")
    assert ended.code == 1
    assert "lifespan.startup" not in ended.output
    assert len(imports(path)) == 2


def test_a_factory_that_starts_a_server_is_refused(folder):
    path = folder("""
        import asgiserver
        def create():
            asgiserver.run("main:create", factory=True, port=0)
        if __name__ == "__main__":
            create()
        """)
    ended = run_program(path, "main.py")
    refused_once(ended, path, 2)


def test_a_spawned_child_of_multiprocessing_starts_no_server(folder):
    path = folder("""
        import asgiserver, multiprocessing
        def work(): print("worked", flush=True)
        async def app(scope, receive, send):
            await receive()
            child = multiprocessing.get_context("spawn").Process(target=work)
            child.start()
            child.join()
            await send({"type": "lifespan.startup.failed", "message": f"exit {child.exitcode}"})
        asgiserver.run(app, port=0)
        """)
    ended = run_program(path, "main.py")
    assert ended.output.count(GUARD) == 1
    assert "exit 1" in ended.output
    assert len(imports(path)) == 2


def test_a_worker_never_gets_workers_of_its_own(folder):
    path = folder("""
        import asgiserver
        async def app(scope, receive, send):
            await receive()
            try:
                asgiserver.run("main:app", port=0, workers=2)
            except asgiserver.ConfigError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
        """)
    ended = run_program(path, "-m", "asgiserver", "main:app", "--port", "0", "--supervise")
    assert "a worker cannot have workers" in ended.output
    assert ended.code == 3
    assert ended.output.count("Supervisor started") == 1


def test_gunicorn_refuses_an_application_that_starts_a_server(folder):
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    path = folder("import asgiserver\nasgiserver.run('main:app', port=0, workers=2)\n")
    options = ["-k", "asgiserver.gunicorn.Worker", "-b", "127.0.0.1:0", "-w", "2"]
    ended = run_program(path, "-m", "gunicorn", *options, "main:app")
    assert ended.code != 0
    assert 1 <= ended.output.count(GUARD) <= 2
    assert "NestedServerError" not in ended.output  # no traceback of it; gunicorn may add its own
    assert "Supervisor started" not in ended.output
    assert len(imports(path)) <= 2


@pytest.mark.parametrize("options", ["", "workers=2, ", "reload=True, "])
def test_with_the_guard_all_is_well(folder, options):
    path = folder(f"""
        import asgiserver, os, signal, threading
        def stop_when_ready(fd):
            os.read(fd, 1)
            os.kill(os.getpid(), signal.SIGTERM)
        if __name__ == "__main__":
            reader, writer = os.pipe()
            threading.Thread(target=stop_when_ready, args=(reader,)).start()
            asgiserver.run("main:app", {options}port=0, ready_fd=writer)
            print("returned")
        """)
    ended = run_program(path, "main.py")
    assert ended.code == 0, ended.output
    assert ended.output.endswith("returned\n")
    starts = 2 if "workers" in options else 1
    assert (
        ended.output.count("lifespan.shutdown") == ended.output.count("lifespan.startup") == starts
    )
