"""Told to stop while it imports or starts: no start-up, or one that is followed by its shutdown."""

import signal
import textwrap

import pytest
from process_server import ServerProcess

APP = """
import asyncio, os, time

def say(text):
    os.write(2, f"{{text}}\\n".encode())

async def app(scope, receive, send):
    while True:
        event = await receive()
        say(event["type"])
        {step}
        await send({{"type": event["type"] + ".complete"}})
        if event["type"] == "lifespan.shutdown":
            return
"""
IMPORTING = "say('imports')\ntime.sleep({seconds})\n"


def write(folder, step="pass", seconds=None):
    code = APP.format(step=step)
    if seconds is not None:
        code += IMPORTING.format(seconds=seconds)
    (folder / "app.py").write_text(textwrap.dedent(code))


WORKERS = {"one process": [], "workers": ["--workers", "2"], "reload": ["--reload"]}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("mode", WORKERS)
def test_told_to_stop_during_the_import(tmp_path, mode, number):
    """As a terminal does it, to the whole group: it ends at once, by the signal."""
    write(tmp_path, seconds=600)
    with ServerProcess(tmp_path, *WORKERS[mode]) as server:
        server.see("imports", 2 if mode == "workers" else 1)
        server.signal_group(number)
        code = server.wait()
        assert code in (128 + number, -number)
        assert "lifespan.startup" not in server.log
        assert "Traceback" not in server.log


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1])
def test_told_to_stop_about_when_the_import_ends(tmp_path, seconds):
    write(tmp_path, seconds=seconds)
    for mode in ("one process", "workers"):
        with ServerProcess(tmp_path, *WORKERS[mode]) as server:
            server.see("imports")
            server.signal_group(signal.SIGTERM)
            assert server.wait() in (0, 128 + signal.SIGTERM, -signal.SIGTERM)
            log = server.log
        assert log.count("lifespan.startup") == log.count("lifespan.shutdown"), log
        assert "Traceback" not in log


@pytest.mark.parametrize("mode", WORKERS)
def test_told_to_stop_while_the_start_up_blocks_the_loop(tmp_path, mode):
    """The start-up is complete when the loop hears of the signal."""
    write(tmp_path, step="time.sleep(0.3)")
    with ServerProcess(tmp_path, *WORKERS[mode]) as server:
        server.see("lifespan.startup", 2 if mode == "workers" else 1)
        server.signal_group(signal.SIGTERM)
        assert server.wait() in (0, 128 + signal.SIGTERM)
        log = server.log
    assert log.count("lifespan.startup") == log.count("lifespan.shutdown"), log
    assert "Traceback" not in log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("mode", WORKERS)
def test_a_start_up_that_a_signal_broke_off_has_its_status(tmp_path, mode, number):
    write(tmp_path, step="await asyncio.sleep(600)")
    with ServerProcess(tmp_path, *WORKERS[mode]) as server:
        server.see("lifespan.startup")
        server.signal_group(number)
        assert server.wait() == 128 + number
        assert "Traceback" not in server.log


def test_a_stop_after_the_start_is_none(tmp_path):
    write(tmp_path)
    for mode in WORKERS:
        with ServerProcess(tmp_path, *WORKERS[mode]) as server:
            server.ready()
            assert server.stop() == 0
