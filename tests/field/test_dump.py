"""``asgiserver dump`` and SIGUSR1: what a server is doing, also when its loop is blocked."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from process_server import DEADLINE, ServerProcess, child_pids
from program import run_program

APP = """
import asyncio, os, re, time


async def query(gate):
    await gate.wait()


async def work():
    await asyncio.gather(query(asyncio.Event()), query(asyncio.Event()))


async def circle():
    tasks = []

    async def wait_for(number):
        while len(tasks) < 2:
            await asyncio.sleep(0)
        await tasks[number]

    tasks += [asyncio.ensure_future(wait_for(1)), asyncio.ensure_future(wait_for(0))]
    await asyncio.sleep(3600)


async def deep(depth):
    if depth:
        await deep(depth - 1)
    await asyncio.sleep(3600)


def block():
    time.sleep(3600)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if os.path.exists("hangs"):
            await asyncio.sleep(3600)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    path = scope["path"][1:]
    if path == "upload":
        while (await receive())["more_body"]:
            pass
    elif path == "download":
        await send({"type": "http.response.start", "status": 200})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
    elif path == "work":
        await work()
    elif path == "circle":
        await circle()
    elif path == "deep":
        await deep(400)
    elif path == "block":
        await asyncio.sleep(0)
        block()
    elif path == "lock":
        re.match("(a+)+$", "a" * 40 + "b")
    elif path == "die":
        os._exit(7)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b'"done"'})
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def dump(folder, *args):
    return run_program(folder, "-m", "asgiserver", "dump", *map(str, args))


def dump_json(folder, *args):
    ended = dump(folder, *args, "--json")
    assert ended.code == 0, ended.output
    return json.loads(ended.output)


def dump_when(pid, condition):
    """The first dump for which `condition` is true; asked as the command does, in less time."""
    deadline = time.monotonic() + DEADLINE
    while not condition(found := json.loads(read_control(pid))):
        assert time.monotonic() < deadline, found
    return found


def read_control(pid):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(f"\0asgiserver-{pid}")
        return b"".join(iter(lambda: sock.recv(65536), b""))


def servers_of(found):
    processes = [worker["dump"] for worker in found["workers"]] if "workers" in found else [found]
    return [server for process in processes if process for server in process["servers"]]


def requests_of(found):
    return {
        request["path"]: request for server in servers_of(found) for request in server["requests"]
    }


def test_requests_are_shown_with_what_they_wait_for(folder):
    with ServerProcess(folder) as server:
        server.ready()
        download = server.send_request("/download")
        work = server.send_request("/work?secret=1")
        upload = server.open_socket()
        upload.sendall(b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n")
        idle = server.connect()
        idle.request("GET", "/")
        idle.getresponse().read()
        states = {"APPLICATION": 1, "BODY": 1, "READER": 1, "IDLE": 1}
        found = dump_when(
            server.process.pid,
            lambda found: (
                [
                    requests_of(found).get(path, {}).get("waits_for")
                    for path in ("/work", "/upload", "/download")
                ]
                == ["application", "client to send", "client to read"]
                and found["servers"][0]["connections"] == states
            ),
        )
        work_shown = requests_of(found)["/work"]
        assert work_shown["where"].endswith(" query")
        assert work_shown["where"].startswith("app.py:")
        assert len(work_shown["tasks"]) == 3
        assert "secret" not in json.dumps(found)
        text = dump(folder, server.process.pid).output
        assert "GET /work " in text
        assert "waits for the application in app.py:" in text
        assert "Connections: 1 APPLICATION, 1 BODY, 1 IDLE, 1 READER" in text
        for client in (download, work, upload, idle):
            client.close()


@pytest.mark.parametrize(
    "mode", [(), ("--loop", "asyncio"), ("--workers", "2"), ("--reload",)], ids=" ".join
)
def test_a_blocked_loop_is_shown_with_its_stack(folder, mode):
    with ServerProcess(folder, *mode, "--timeout-worker-stuck", "off") as server:
        server.ready()
        client = server.send_request("/block")
        found = dump_when(
            server.process.pid,
            lambda found: any(one["blocked"] for one in servers_of(found)),
        )
        assert requests_of(found)["/block"]["where"].endswith(" block")
        text = dump(folder, server.process.pid).output
        assert "The event loop has been blocked for" in text
        assert "GET /block " in text
        client.close()


def test_circles_and_depths_of_tasks_have_an_end(folder):
    with ServerProcess(folder) as server:
        server.ready()
        clients = [server.send_request("/circle"), server.send_request("/deep")]
        found = dump_when(server.process.pid, lambda found: len(requests_of(found)) == 2)
        assert requests_of(found)["/deep"]["where"].endswith(" deep")
        assert len(requests_of(found)["/deep"]["tasks"][0]["stack"]) <= 30
        for client in clients:
            client.close()


def test_a_worker_is_found_by_its_process_id(folder):
    with ServerProcess(folder, "--workers", "2") as server:
        server.ready()
        worker = child_pids(server.process.pid)[1]
        found = dump_json(folder, worker)
        assert [one["pid"] for one in found["workers"]] == [worker]
        assert found["workers"][0]["dump"]["pid"] == worker


def test_a_path_is_for_its_owner_and_goes_with_the_server(folder):
    path = folder / "control"
    for mode in ((), ("--workers", "2")):
        with ServerProcess(folder, "--control", str(path), *mode) as server:
            server.ready()
            assert path.stat().st_mode & 0o777 == 0o600
            assert dump_json(folder, "--control", path)["pid"] == server.process.pid
            assert server.stop() == 0
        assert not path.exists()


def test_no_process_answers_when_it_is_off(folder):
    with ServerProcess(folder, "--control", "off") as server:
        server.ready()
        ended = dump(folder, server.process.pid)
        assert ended.code == 1
        assert f"asgiserver: error: nobody answers for process {server.process.pid}" in ended.output


def test_many_dumps_at_once_get_their_answers(folder):
    with ServerProcess(folder, "--workers", "2") as server:
        server.ready()
        client = server.send_request("/block")
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(dump_json(folder, server.process.pid)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 4
        assert all(len(answer["workers"]) == 2 for answer in answers)
        client.close()


def test_clients_that_do_not_read_keep_nobody_waiting(folder):
    with ServerProcess(folder, "--workers", "2") as server:
        server.ready()
        clients = []
        for _ in range(20):
            client = socket.socket(socket.AF_UNIX)
            client.connect(f"\0asgiserver-{server.process.pid}")
            clients.append(client)
        assert len(dump_json(folder, server.process.pid)["workers"]) == 2
        assert server.get() == "done"
        for client in clients:
            client.close()
        assert server.stop() == 0


def test_a_stopped_worker_is_called_stopped_and_one_that_dies_is_called_dead(folder):
    with ServerProcess(folder, "--workers", "2", "--timeout-worker-stuck", "off") as server:
        server.ready()
        stopped = child_pids(server.process.pid)[0]
        os.kill(stopped, signal.SIGSTOP)
        notes = {one["pid"]: one for one in dump_json(folder, server.process.pid)["workers"]}
        assert "stopped by a signal" in notes[stopped]["note"]
        asking = subprocess.Popen(
            [sys.executable, "-m", "asgiserver", "dump", str(server.process.pid), "--json"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        )
        os.kill(stopped, signal.SIGKILL)
        answer = json.loads(asking.communicate()[0])
        assert len(answer["workers"]) >= 1


def test_a_stopped_server_is_called_stopped(folder):
    with ServerProcess(folder) as server:
        server.ready()
        server.signal(signal.SIGSTOP)
        program = (
            "import sys; from asgiserver.cli import dump; dump.WAIT = 0.5;"
            f" sys.exit(dump.main(['{server.process.pid}']))"
        )
        ended = run_program(folder, "-c", program)
        assert ended.code == 1
        assert "does not answer: it was stopped by a signal" in ended.output
        server.signal(signal.SIGCONT)
        assert server.stop() == 0


def test_threads_are_shown_even_when_c_code_holds_the_interpreter_lock(folder):
    with ServerProcess(folder, "--workers", "1", "--supervise") as server:
        server.ready()
        client = server.send_request("/lock")
        found = dump_when(
            server.process.pid, lambda found: "in match" in found["workers"][0]["stacks"]
        )
        assert "code in C" in found["workers"][0]["note"]
        client.close()


def test_a_start_up_that_hangs_is_shown(folder):
    (folder / "hangs").touch()
    with ServerProcess(folder, "--workers", "2", "--log-level", "debug") as server:
        server.see(r"Worker \d .* started", 2)
        found = dump_when(
            server.process.pid,
            lambda found: "app.py" in json.dumps(found["workers"][0]["dump"]),
        )
        assert found["workers"][0]["phase"] == "booting"


@pytest.mark.parametrize("mode", [(), ("--workers", "2")], ids=" ".join)
def test_a_signal_writes_it_to_the_log(folder, mode):
    with ServerProcess(folder, *mode) as server:
        server.ready()
        client = server.send_request("/work")
        dump_when(server.process.pid, lambda found: "/work" in requests_of(found))
        server.signal(signal.SIGUSR1)
        server.see(r"is doing this:", 2 if mode else 1)
        server.see(r"GET /work \d+\.\d s, waits for the application in app\.py:\d+ query")
        client.close()


def test_a_full_disk_is_one_line(folder):
    with ServerProcess(folder) as server:
        server.ready()
        with open("/dev/full", "w") as full:
            ended = subprocess.run(
                [sys.executable, "-m", "asgiserver", "dump", str(server.process.pid)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert ended.returncode == 1
        assert ended.stderr == (
            "asgiserver: error: cannot write the answer: No space left on device\n"
        )


def test_wrong_commands_are_one_line(folder):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for args, text in [
        ((), "give the process id of a server, or --control PATH"),
        (("abc",), "'abc' is not a valid integer"),
        ((gone.pid,), f"there is no process {gone.pid}"),
        ((os.getpid(),), f"nobody answers for process {os.getpid()}"),
        (("--control", "nowhere"), "nobody answers for nowhere: No such file or directory"),
    ]:
        ended = dump(folder, *args)
        assert ended.code in (1, 2)
        assert text in ended.output
        assert ended.output.count("\n") == 1, ended.output
