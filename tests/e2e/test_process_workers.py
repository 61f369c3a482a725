"""Workers that die, hang, are killed, or never start; with real processes."""

from __future__ import annotations

import json
import math
import os
import signal
import threading

import pytest
from process_server import APP, ServerProcess, wait_until_gone

STUCK = ("--timeout-worker-stuck", "2")  # longer than a busy machine keeps a worker waiting


def test_serves_with_workers_and_stops_without_leftovers(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2", "--pid", "server.pid") as server:
        server.ready()
        assert (tmp_path / "server.pid").read_text().strip() == str(server.process.pid)
        workers = server.worker_pids()
        assert len(workers) == 2
        seen = server.get()
        assert seen["pid"] in workers
        assert str(seen["index"]) == seen["environ"]
        server.see("Serving on")
        assert server.stop() == 0
        assert server.log.count("Serving on") == 1
        wait_until_gone(workers)
        assert not (tmp_path / "server.pid").exists()
        assert len((tmp_path / "shutdowns").read_text().split()) == 2


def test_is_ready_when_the_start_up_of_the_lifespan_is_complete(tmp_path):
    (tmp_path / "slow").write_text("0.7")
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        for count in (1, 2):
            assert float(server.see(r"is ready after ([\d.]+) s", count)[1]) >= 0.7
        assert server.get()["version"] == 1
        assert server.stop() == 0


def test_a_worker_killed_under_load_is_replaced_at_once(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        answers, failures, stop = [], [], threading.Event()

        def load() -> None:
            while not stop.is_set():
                try:
                    answers.append(server.get("/")["pid"])
                except (OSError, ValueError) as exc:
                    failures.append(exc)

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        kills = 6  # more than the failures that would be too many
        for count in range(1, kills + 1):
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            server.see(r"died: SIGKILL, \d+ s old, last RSS [\d.]+ MiB", count)
            server.see(r"Worker \d \(pid \d+\) is ready", 2 + count)
        stop.set()
        for thread in threads:
            thread.join()
        assert len(failures) <= kills * len(threads)  # what the killed ones had in hand
        assert answers
        assert server.stop() == 0


def test_a_worker_that_somebody_else_told_to_end_is_replaced(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        worker = server.worker_pids()[0]
        os.kill(worker, signal.SIGTERM)
        server.see("told to end by somebody else")
        server.see("is ready", 3)
        assert worker not in server.worker_pids()
        assert server.stop() == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_blocked_loop_is_found_described_and_replaced(tmp_path, loop):
    with ServerProcess(tmp_path, "--workers", "2", "--loop", loop, *STUCK) as server:
        server.ready()
        client = server.send_request("/block/600")
        server.see("event loop blocked")
        # The other one takes all new connections.
        assert len({server.get()["pid"] for _ in range(10)}) == 1
        server.see("is doing this:")
        server.see(r"app\.py\", line \d+ in answer")  # the thread
        server.see("GET /block/600 ")  # the request
        server.see("is still blocked: SIGTERM")
        server.see("is ready", 3)
        server.see("SIGKILL")
        client.close()
        assert server.stop() == 0


def test_a_stopped_worker_is_killed_and_replaced(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2", *STUCK) as server:
        server.ready()
        worker = server.worker_pids()[0]
        os.kill(worker, signal.SIGSTOP)
        server.see("event loop blocked")
        server.see("did not end in time")
        server.see("is ready", 3)
        wait_until_gone([worker])
        assert server.stop() == 0


def test_a_paused_supervisor_blames_nobody(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2", *STUCK) as server:
        server.ready()
        workers = server.worker_pids()
        for pid in (server.process.pid, *workers):
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(AssertionError, match="not seen"):
            server.see("anything", deadline=5)
        for pid in (*workers, server.process.pid):
            os.kill(pid, signal.SIGCONT)
        server.signal(signal.SIGTTIN)
        server.see("is ready", 3)
        assert set(workers) < set(server.worker_pids())
        assert "blocked" not in server.log
        assert server.stop() == 0


def test_the_first_start_fails_once(tmp_path):
    (tmp_path / "broken").touch()
    with ServerProcess(tmp_path, "--workers", "3") as server:
        assert server.wait() == 3
        assert server.log.count("RuntimeError: the application is broken") >= 1
        assert server.log.count("Traceback") == 1
        assert server.log.count("could not start") == 1
        assert "importlib" not in server.log
        assert "asgiserver/process" not in server.log


def test_a_crash_loop_ends_the_server_while_the_good_worker_serves_on(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        (tmp_path / "broken").touch()
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        for count in range(1, 4):  # it ends with the fifth
            server.see("could not start: .*the application is broken", count)
            assert server.get()["pid"]
        server.see("5 workers failed within 60 s")
        assert server.wait() == 5
        assert len((tmp_path / "shutdowns").read_text().split()) == 1


def test_a_crash_is_replaced_and_told(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        server.send_request("/exit/7").close()
        server.see(r"died: exit code 7, \d+ s old")
        server.see("is ready", 3)
        assert server.stop() == 0


def test_nobody_is_left_when_the_supervisor_is_killed(tmp_path):
    options = ("--timeout-graceful-shutdown", "0.5", "--timeout-lifespan-shutdown", "0.5")
    with ServerProcess(tmp_path, "--workers", "3", *options) as server:
        server.ready()
        workers = server.worker_pids()
        streaming = server.send_request("/stream")
        assert streaming.recv(9) == b"HTTP/1.1 "
        blocked = server.send_request("/block/600")
        server.signal(signal.SIGKILL)
        wait_until_gone(workers)
        blocked.close()
        streaming.close()


def test_scales_up_and_down(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        server.signal(signal.SIGTTIN)
        server.see("Worker 2 .* is ready")
        assert len(server.worker_pids()) == 3
        for count in range(1, 3):
            server.signal(signal.SIGTTOU)
            server.see("has ended", count)
        server.signal(signal.SIGTTOU)  # but never to none
        server.see("Scaling to 1 worker", 2)
        assert len(server.worker_pids()) == 1
        assert server.get()["index"] == 0
        assert server.stop() == 0


def test_second_interrupt_does_not_wait(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        client = server.send_request("/stream")
        assert client.recv(9) == b"HTTP/1.1 "
        # As a terminal does it: to the whole group.
        os.killpg(server.process.pid, signal.SIGINT)
        server.see(r"Stopping \(SIGINT\)")
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.wait() == 0
        client.close()


def test_a_worker_that_does_not_end_is_killed(tmp_path):
    options = ("--timeout-graceful-shutdown", "0.3", "--timeout-lifespan-shutdown", "0.3")
    with ServerProcess(tmp_path, "--workers", "2", *options) as server:
        server.ready()
        os.kill(server.worker_pids()[0], signal.SIGSTOP)
        server.signal(signal.SIGTERM)
        server.see(r"did not end in time \(.*\): SIGKILL")
        assert server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_it_starts(tmp_path, number):
    (tmp_path / "slow").write_text("600")
    with ServerProcess(tmp_path, "--workers", "2", "--log-level", "debug") as server:
        server.see(r"Worker \d .* started", 2)
        os.killpg(server.process.pid, number)
        assert server.wait() == 128 + number
        assert "Traceback" not in server.log
        assert "WARNING" not in server.log


def test_stacks_on_demand(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2") as server:
        server.ready()
        server.signal(signal.SIGUSR1)
        server.see("is doing this", 2)
        assert server.stop() == 0


def test_runs_a_function_once_before_the_workers(tmp_path):
    (tmp_path / "migrate.py").write_text(
        "async def run():\n    open('migrated', 'a').write('x')\n"
        "def fail():\n    raise RuntimeError('no database')\n"
    )
    with ServerProcess(tmp_path, "--workers", "2", "--run-once", "migrate:run") as server:
        server.ready()
        assert (tmp_path / "migrated").read_text() == "x"
        assert server.stop() == 0
    with ServerProcess(tmp_path, "--workers", "2", "--run-once", "migrate:fail") as server:
        assert server.wait() == 3
        server_log = server.log
    assert "RuntimeError: no database" in server_log
    assert "is ready" not in server_log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_the_function_runs(tmp_path, number):
    (tmp_path / "migrate.py").write_text(
        "import sys, time\ndef run():\n"
        "    print('runs', file=sys.stderr, flush=True)\n    time.sleep(600)\n"
    )
    with ServerProcess(tmp_path, "--workers", "2", "--run-once", "migrate:run") as server:
        server.see("runs")
        os.killpg(server.process.pid, number)
        assert server.wait() == 128 + number
        assert "is ready" not in server.log
        assert "Traceback" not in server.log


@pytest.mark.parametrize("workers", [1, 2])
def test_preload_imports_once_and_shares_memory(tmp_path, workers):
    (tmp_path / "app.py").write_text(APP + "open('imports', 'a').write('x')\n")
    with ServerProcess(tmp_path, "--workers", str(workers), "--preload") as server:
        server.ready()
        server.see(r"is ready after .*, [\d.]+ MiB of its memory are shared", workers)
        assert {server.get()["pid"] for _ in range(20)} <= set(server.worker_pids())
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        server.see("is ready", workers + 1)
        server.restart()
        server.see("has ended", workers)  # until then an old one takes what comes to it
        assert server.get()["pid"] in server.worker_pids()
        assert server.stop() == 0
    assert (tmp_path / "imports").read_text() == "x"


def test_preload_refuses_threads(tmp_path):
    with (tmp_path / "app.py").open("w") as file:
        file.write(APP)
        file.write("import threading\n")
        file.write(
            "threading.Thread(target=time.sleep, args=(9,), name='bg', daemon=True).start()\n"
        )
    with ServerProcess(tmp_path, "--workers", "2", "--preload") as server:
        assert server.wait() == 2
        assert "started threads (bg)" in server.log


def test_recycles_by_requests_and_announces_the_last_answer(tmp_path):
    with ServerProcess(tmp_path, "--workers", "1", "--limit-max-requests", "30") as server:
        server.ready()
        client = server.connect()
        pids, announced = set(), 0
        while len(pids) < 3:
            client.request("GET", "/")
            response = client.getresponse()
            pids.add(response.read())
            announced += response.getheader("connection") == "close"
        assert announced >= 2  # and http.client opened a new connection each time
        client.close()
        server.see("is replaced: it has served 3[0-9]+ requests|is replaced: it has served")
        assert server.stop() == 0


def test_recycles_by_age(tmp_path):
    with ServerProcess(tmp_path, "--workers", "2", "--max-worker-age", "2") as server:
        server.ready()
        first = set(server.worker_pids())
        server.see(r"is replaced: it is ([2-9]|\d\d+) s old", 2)
        server.see("has ended", 2)
        assert not first & set(server.worker_pids())
        assert server.get()["pid"] not in first
        assert server.stop() == 0


def test_recycles_by_memory(tmp_path):
    # To touch the memory blocks the worker's loop for a moment, which is not what is tested.
    patient = ("--timeout-worker-stuck", "5")
    with ServerProcess(tmp_path, "--workers", "2", "--max-worker-rss", "200M", *patient) as server:
        server.ready()
        server.get("/grow/300")
        server.see(r"is replaced: its memory is [34]\d\d\.\d MiB")
        server.see("is ready", 3)
        server.see("has ended")
        assert server.stop() == 0


@pytest.mark.parametrize("balance", ["shared", "reuseport"])
def test_a_retired_worker_loses_no_connection(tmp_path, balance):
    """Connections that wait in a queue when its worker goes are served by the others."""
    with ServerProcess(tmp_path, "--workers", "3", "--balance", balance) as server:
        server.ready()
        stop, failures, count = threading.Event(), [], [0]

        def load() -> None:
            while not stop.is_set():
                try:
                    server.get()
                    count[0] += 1
                except (OSError, ValueError) as exc:
                    failures.append(exc)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        server.signal(signal.SIGTTOU)
        server.see("has ended")
        server.restart()
        server.signal(signal.SIGTTIN)
        server.see("Worker 2 .* is ready", 2)
        server.signal(signal.SIGTTOU)
        server.see("has ended", 4)
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures
        assert count[0] > 20
        assert server.stop() == 0


@pytest.mark.parametrize("balance", ["auto", "reuseport"])
def test_a_blocked_worker_gets_no_connections(tmp_path, balance):
    """Long before it is found to be stuck, and killed."""
    with ServerProcess(tmp_path, "--workers", "2", "--balance", balance) as server:
        server.ready()
        client = server.send_request("/block/600")
        victim = None
        while victim is None:
            try:
                seen = {server.get(timeout=3)["pid"] for _ in range(12)}
            except TimeoutError:
                continue  # one that came too early into a queue of its own
            if len(seen) == 1:
                victim = (set(server.worker_pids()) - seen).pop()
        os.kill(victim, signal.SIGKILL)
        server.see("is ready", 3)
        client.close()
        assert server.stop() == 0


CHANCE = 5 * math.sqrt((1 - 1 / 8) / 50)  # five standard deviations of what a worker gets


@pytest.mark.parametrize("pause", [0.0, 0.004], ids=["high rate", "low rate"])
@pytest.mark.parametrize(("balance", "within"), [("auto", 0.25), ("reuseport", CHANCE)])
def test_new_connections_are_spread_evenly(tmp_path, balance, within, pause):
    workers, connections = 8, 400
    with ServerProcess(tmp_path, "--workers", str(workers), "--balance", balance) as server:
        server.ready()
        counts = dict.fromkeys(server.worker_pids(), 0)
        wait = threading.Event().wait
        clients = []
        for _ in range(connections):
            client = server.connect()
            client.request("GET", "/")
            clients.append(client)
            wait(pause)
        for client in clients:
            counts[json.loads(client.getresponse().read())["pid"]] += 1
            client.close()
        mean = connections / workers
        assert all(abs(count - mean) <= within * mean for count in counts.values()), counts
        assert server.stop() == 0
