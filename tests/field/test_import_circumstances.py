"""An application is imported outside a running loop, however many processes serve it."""

import asyncio
import textwrap

import pytest
from program import run_program

import asgiserver

MODES = {
    "one process": [],
    "workers": ["--workers", "2"],
    "reload": ["--reload"],
    "preload": ["--workers", "2", "--preload"],
    "gunicorn": None,
}


class Server:
    """A server in one of the modes; its application fails its start-up."""

    def __init__(self, folder, mode):
        self.folder = folder
        self.mode = mode

    def output(self, code):
        """What is printed until the end; `code` stands at the top of the application's module."""
        (self.folder / "main.py").write_text(
            textwrap.dedent(code)
            + "\nasync def app(scope, receive, send):\n"
            + "    await receive()\n"
            + "    message = {'type': 'lifespan.startup.failed', 'message': 'the end'}\n"
            + "    await send(message)\n"
        )
        flags = MODES[self.mode]
        if flags is None:
            words = ["gunicorn", "-k", "asgiserver.gunicorn.Worker", "-b", "127.0.0.1:0"]
        else:
            words = ["asgiserver", "--port", "0", *flags]
        stop_at = "Waiting for a file" if self.mode == "reload" else None
        return run_program(self.folder, "-m", *words, "main:app", stop_at=stop_at).output


@pytest.fixture(params=MODES)
def served(request, tmp_path):
    if request.param == "gunicorn":
        pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    return Server(tmp_path, request.param)


def test_no_loop_runs_while_the_application_is_imported(served):
    output = served.output("""
        import asyncio
        asyncio.get_running_loop()
    """)
    assert "no running event loop" in output
    assert "the end" not in output
    if served.mode != "gunicorn":
        assert "do this in the lifespan's start-up" in output


def test_a_coroutine_can_be_run_at_import_and_a_task_that_is_left_is_named(served):
    output = served.output("""
        import asyncio
        async def init():
            await asyncio.sleep(0)
            print("initialised", flush=True)
        async def tick():
            print("ticked", flush=True)
        async def poll():
            await asyncio.Event().wait()
        loop = asyncio.get_event_loop()
        loop.run_until_complete(init())
        task = loop.create_task(tick())
        asyncio.ensure_future(poll())
        asyncio.run(init())
    """)
    assert output.count("initialised") >= 2
    assert "ticked" not in output
    names = output.partition("never run: ")[2].partition("\n")[0]
    assert "poll (" in names
    assert "tick (" in names
    assert "main.py:" in names
    assert "lifespan's start-up" in names
    assert "the end" in output
    assert "Traceback" not in output
    assert "Warning:" not in output
    assert "was destroyed" not in output


async def test_embedding_imports_in_the_loop_that_serves(tmp_path, monkeypatch):
    """Tasks that are begun then do run."""
    (tmp_path / "embedded_app.py").write_text(
        "import asyncio\n"
        "begun = asyncio.Event()\n"
        "async def begin(): begun.set()\n"
        "task = asyncio.ensure_future(begin())\n"
        "async def app(scope, receive, send): ...\n"
    )
    config = asgiserver.Config("embedded_app:app", port=0, app_dir=str(tmp_path), lifespan="off")
    monkeypatch.syspath_prepend(str(tmp_path))
    async with asgiserver.Server(config), asyncio.timeout(20):
        import embedded_app

        await embedded_app.begun.wait()
