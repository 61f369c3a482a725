"""Development reload, with real processes and real files."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from process_server import DEADLINE, ServerProcess, replace
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket

# Without watchfiles the import of this module fails, and files are looked at instead.
BLOCKED = "raise ImportError('not here')\n"


@pytest.fixture(params=["watchfiles", "stat"])
def environ(request, tmp_path_factory):
    if request.param == "watchfiles":
        return {}
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "watchfiles.py").write_text(BLOCKED)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.getcwd()])}


def change(folder, old, new):
    source = folder / "app.py"
    replace(source, source.read_text().replace(old, new))


def test_reloads_what_changed_and_survives_a_syntax_error(tmp_path, environ):
    with ServerProcess(tmp_path, "--reload", **environ) as server:
        server.ready()
        assert server.get()["version"] == 1
        change(tmp_path, "VERSION = 1", "VERSION = 22")
        server.see(r"app\.py changed, reloading")
        server.see("Restart complete")
        assert server.get()["version"] == 22

        change(tmp_path, "VERSION = 22", "VERSION = = 3")
        server.see("SyntaxError")
        server.see("Waiting for a file to change")
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(server.get()))
        waiting.start()  # into the queue: it is not refused
        change(tmp_path, "VERSION = = 3", "VERSION = 4444")
        waiting.join()
        assert answers[0]["version"] == 4444
        assert server.stop() == 0


def test_a_broken_first_start_waits_for_the_next_save(tmp_path):
    (tmp_path / "app.py").write_text("def (:\n")
    with ServerProcess(tmp_path, "--reload") as server:
        server.see("Waiting for a file to change")
        assert server.log.count("could not start") == 1
        (tmp_path / "app.py").unlink()
        with ServerProcess(tmp_path) as other:  # writes the good one
            other.ready()
        server.ready()
        assert server.get()["version"] == 1
        assert server.stop() == 0


def test_open_streams_do_not_block_a_reload(tmp_path):
    with ServerProcess(tmp_path, "--reload") as server:
        server.ready()
        stream = server.send_request("/stream")
        assert stream.recv(9) == b"HTTP/1.1 "
        with connect_websocket(server.address.replace("http", "ws"), proxy=None) as client:
            client.send("hello")
            assert client.recv() == "hello"
            change(tmp_path, "VERSION = 1", "VERSION = 22")
            server.see("Restart complete")
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(DEADLINE)
            assert closed.value.rcvd.code == 1012
        assert server.get()["version"] == 22
        stream.close()
        assert "SIGKILL" not in server.log
        assert server.stop() == 0


def test_workers_know_that_somebody_develops(tmp_path):
    with ServerProcess(tmp_path, "--reload") as server, server.ready().open_socket() as spare:
        assert server.get()["version"] == 1  # the spare connection has been accepted, too
        change(tmp_path, "VERSION = 1", "VERSION = 22")
        assert spare.recv(1) == b""
        server.see("Restart complete")
        assert server.get()["version"] == 22
        assert server.stop() == 0


def test_patterns_that_match_nothing_are_told(tmp_path):
    options = ("--reload-dir", "nowhere", "--reload-dir", ".", "--reload-include", "*.nothing")
    with ServerProcess(tmp_path, "--reload", *options) as server:
        server.ready()
        assert "nowhere is not a directory" in server.log
        assert "reload_include '*.nothing' matches nothing" in server.log
        assert server.stop() == 0


def test_interrupted_by_the_terminal(tmp_path):
    with ServerProcess(tmp_path, "--reload") as server:
        server.ready()
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.wait() == 0
        assert "Traceback" not in server.log
        assert "KeyboardInterrupt" not in server.log
