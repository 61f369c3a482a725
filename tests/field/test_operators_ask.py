"""What operators and their programs learn from the admin listener, whatever the server does."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time

import pytest
from admin_client import ORDER, AdminClient, admin_of
from process_server import ServerProcess, replace, wait_until_gone

ADMIN = ("--admin", "127.0.0.1:0")
ENDED = "asgiserver_requests_total"
OK = (ENDED, ("method", "GET"), ("outcome", "ok"), ("status", "2xx"))


@pytest.fixture(params=[(), ("--workers", "2")], ids=["one process", "two workers"])
def how(request):
    return request.param


@pytest.fixture(
    params=[(), ("--workers", "2"), ("--reload",)], ids=["one process", "two workers", "reload"]
)
def mode(request):
    return request.param


def test_a_server_that_starts_is_alive_and_not_ready(tmp_path, mode):
    (tmp_path / "held").touch()
    with ServerProcess(tmp_path, *ADMIN, *mode) as server:
        admin = admin_of(server)
        assert admin.ask("/livez")[0] == 200
        assert admin.ask("/startupz") == (503, "starting\n")
        assert admin.ask("/readyz") == (503, "starting\n")
        (tmp_path / "held").unlink()
        server.ready()
        admin.until("/startupz", 200)
        admin.until("/readyz", 200)


def test_a_server_that_drains_is_alive_and_not_ready(tmp_path, mode):
    with ServerProcess(tmp_path, *ADMIN, *mode) as server:
        admin = admin_of(server.ready())
        with server.send_request("/stream") as client:
            client.recv(100)
            assert admin.order("/drain") == (202, "draining\n")
            assert admin.until("/readyz", 503) == "stopping\n"
            assert admin.ask("/livez")[0] == 200
        assert server.wait() == 0


def test_a_wedged_loop_fails_and_a_busy_one_does_not(tmp_path):
    with ServerProcess(tmp_path, *ADMIN, "--timeout-worker-stuck", "3") as server:
        admin = admin_of(server.ready())
        with server.send_request("/block/0.8") as busy:
            busy.recv(1000)
        assert admin.ask("/livez")[0] == 200
        assert admin.ask("/readyz")[0] == 200
        (tmp_path / "gate").touch()
        with server.send_request("/hold/gate") as blocked:
            verbose = admin.until("/livez?verbose", 503)
            assert "no event loop turns" in verbose
            assert re.search(r"worker 0 .*has not turned for ([3-9]|\d\d+)\.\d s", verbose)
            assert admin.ask("/readyz")[0] == 503
            (status,) = admin.status()["workers"]
            assert status["phase"] == "stalled"
            (tmp_path / "gate").unlink()
            blocked.recv(1000)
        admin.until("/livez", 200)
        admin.until("/readyz", 200)


def test_a_worker_that_is_stuck_does_not_hide_and_the_others_keep_the_server_ready(tmp_path):
    with ServerProcess(tmp_path, *ADMIN, "--workers", "2") as server:
        admin = admin_of(server.ready())
        admin.until("/readyz", 200)
        (tmp_path / "gate").touch()
        with server.send_request("/hold/gate") as blocked:
            key = "asgiserver_workers", ("state", "stalled")
            metrics = admin.until_metric(*key, at_least=1)
            assert metrics["asgiserver_workers", ("state", "ready")] == 1
            assert admin.ask("/readyz")[0] == 200
            assert admin.ask("/livez")[0] == 200
            assert {server.get()["index"] for _ in range(10)} == {
                int(worker["index"])
                for worker in admin.status()["workers"]
                if worker["phase"] == "ready"
            }
            (tmp_path / "gate").unlink()
            blocked.recv(1000)


def test_no_total_falls_when_workers_are_replaced_or_killed(tmp_path):
    with ServerProcess(tmp_path, *ADMIN, "--workers", "2") as server:
        admin = admin_of(server.ready())
        for _ in range(20):
            server.get()
        before = admin.until_metric(*OK, at_least=20)
        since = len(server.lines)
        server.signal(signal.SIGHUP)
        while not any("Restart complete" in line for line in server.lines[since:]):
            before = assert_none_has_fallen(before, admin.metrics())
        restarts = "asgiserver_worker_restarts_total", ("cause", "restart")
        before = assert_none_has_fallen(before, admin.until_metric(*restarts, at_least=1))
        workers = admin.status()["workers"]
        victim = next(worker["pid"] for worker in workers if worker["phase"] == "ready")
        os.kill(victim, signal.SIGKILL)
        wait_until_gone([victim])
        died = "asgiserver_worker_restarts_total", ("cause", "died")
        before = assert_none_has_fallen(before, admin.until_metric(*died, at_least=1))
        assert before[OK] == 20
        assert server.stop() == 0


def assert_none_has_fallen(before, after):
    totals = {key for key in before if key[0].endswith(("_total", "_bucket", "_count"))}
    fallen = {key: (before[key], after.get(key)) for key in totals if after[key] < before[key]}
    assert not fallen
    return after


def test_the_status_says_what_runs_now_the_slowest_first(tmp_path, how):
    with ServerProcess(tmp_path, *ADMIN, *how, "--log-level", "info") as server:
        admin = admin_of(server.ready())
        with server.send_request("/sleep/30"):
            key = ("asgiserver_requests_in_flight",)
            admin.until_metric(*key, at_least=1)
            with server.send_request("/sleep/31"):
                admin.until_metric(*key, at_least=2)
                status = admin.status()
                assert [one["path"] for one in status["running"]] == ["/sleep/30", "/sleep/31"]
                first, second = status["running"]
                assert first["age"] >= second["age"] >= 0
                assert status["options"]["log_level"]["from"] == "flag --log-level"
                assert status["options"]["admin"]["from"] == "flag --admin"
                server.signal(signal.SIGTERM)
                server.signal(signal.SIGINT)


def test_a_dump_shows_what_runs_also_while_the_loop_is_blocked(tmp_path, how):
    with ServerProcess(tmp_path, *ADMIN, *how, "--loop-stall-warn", "0.1") as server:
        admin = admin_of(server.ready())
        assert admin.ask("/dump")[0] == 403
        (tmp_path / "gate").touch()
        with server.send_request("/hold/gate") as blocked:
            server.see("The event loop has been blocked .* GET /hold/gate ")
            code, text = admin.ask("/dump", **ORDER)
            assert code == 200
            assert "The event loop has been blocked for" in text
            assert re.search(r"GET /hold/gate\b", text)
            assert "time.sleep" in text or "app.py" in text
            code, body = admin.ask("/dump?json", **ORDER)
            dump = json.loads(body)
            processes = [one["dump"] for one in dump["workers"]] if how else [dump]
            paths = {
                request["path"]
                for process in processes
                for one in process["servers"]
                for request in one["requests"]
            }
            assert paths == {"/hold/gate"}
            (tmp_path / "gate").unlink()
            blocked.recv(1000)


def test_an_order_replaces_one_worker(tmp_path):
    with ServerProcess(tmp_path, *ADMIN, "--workers", "2") as server:
        admin = admin_of(server.ready())
        before = {worker["index"]: worker["pid"] for worker in admin.status()["workers"]}
        assert admin.order("/workers/1/restart")[0] == 202
        operator = "asgiserver_worker_restarts_total", ("cause", "operator")
        admin.until_metric(*operator, at_least=1)
        after = {worker["index"]: worker["pid"] for worker in admin.status()["workers"]}
        assert after[0] == before[0]
        assert after[1] != before[1]
        assert admin.order("/workers/7/restart")[0] == 404


def test_an_order_replaces_all_workers(tmp_path):
    with ServerProcess(tmp_path, *ADMIN, "--supervise") as server:
        admin = admin_of(server.ready())
        assert admin.order("/reload")[0] == 202
        server.see("Restart complete")


def test_an_order_changes_the_level_of_the_log_in_every_process(tmp_path):
    with ServerProcess(tmp_path, *ADMIN, "--supervise") as server:
        admin = admin_of(server.ready())
        assert admin.order("/log-level?level=debug") == (202, "the log's level is debug\n")
        assert admin.order("/workers/0/restart")[0] == 202
        server.see("is told to end: an operator asked for it")  # the supervisor's, at debug


def test_a_page_of_another_site_gets_nothing(tmp_path):
    with ServerProcess(tmp_path, *ADMIN) as server:
        admin = admin_of(server.ready())
        assert admin.ask("/status", Host="attacker.example")[0] == 403
        assert admin.ask("/drain", "POST")[0] == 403
        assert admin.ask("/readyz")[0] == 200


def test_a_token_is_asked_for_but_not_by_health(tmp_path):
    with ServerProcess(tmp_path, "--admin", "0.0.0.0:0", ASGISERVER_ADMIN_TOKEN="s3cret") as server:
        admin = admin_of(server.ready())
        assert admin.until("/readyz", 200)
        assert admin.ask("/metrics")[0] == 401
        assert admin.ask("/metrics", Authorization="Bearer s3cret")[0] == 200
        assert "s3cret" not in admin.ask("/status", Authorization="Bearer s3cret")[1]


@pytest.mark.parametrize("address", ["0.0.0.0:9000", ":9000", "[::]:9000", "example.org:9000"])
def test_the_network_is_told_nothing_without_a_token(tmp_path, address):
    with ServerProcess(tmp_path, "--admin", address) as server:
        assert server.wait() == 2
        assert "give --admin-token, or --admin-insecure" in server.log


def test_a_unix_socket_is_for_its_owner_and_goes_with_the_server(tmp_path, how):
    path = tmp_path / "admin.sock"
    with ServerProcess(tmp_path, "--admin", f"unix:{path}", *how) as server:
        server.ready()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert AdminClient(f"unix:{path}").status()["workers"]
        assert server.stop() == 0
        assert not path.exists()


def test_an_address_that_is_taken_is_an_error_before_anything_starts(tmp_path, how):
    with ServerProcess(tmp_path, *ADMIN) as first:
        address = admin_of(first.ready()).address.removeprefix("http://")
        with ServerProcess(tmp_path, "--admin", address, *how) as second:
            assert second.wait() == 4
            assert "Address already in use" in second.log


def test_preloaded_workers_are_forked_while_nothing_else_runs(tmp_path):
    with ServerProcess(tmp_path, *ADMIN, "--workers", "2", "--preload") as server:
        admin = admin_of(server.ready())
        for round_ in range(1, 6):
            server.get()
            admin.metrics()
            server.restart()
            restarts = "asgiserver_worker_restarts_total", ("cause", "restart")
            assert admin.until_metric(*restarts, at_least=2 * round_)
        assert server.stop() == 0


def test_a_new_supervisor_takes_the_admin_listener_over(tmp_path):
    with ServerProcess(tmp_path, *ADMIN, "--supervise") as server:
        admin = admin_of(server.ready())
        began = admin.status()["began"]
        server.signal(signal.SIGUSR2)
        new = int(server.see(r"new supervisor \(pid (\d+)\) serves")[1])
        try:
            end = time.monotonic() + 20
            while admin.status()["began"] == began:
                assert time.monotonic() < end
            assert admin.ask("/readyz")[0] == 200
        finally:
            os.kill(new, signal.SIGTERM)
            wait_until_gone([new])


def test_with_reload_the_new_worker_is_shown(tmp_path):
    with ServerProcess(tmp_path, *ADMIN, "--reload") as server:
        admin = admin_of(server.ready())
        server.see("Watching")
        (before,) = admin.status()["workers"]
        app = tmp_path / "app.py"
        replace(app, app.read_text() + "\n# changed\n")
        server.see("Restart complete")
        wait_until_gone([before["pid"]])
        restarts = "asgiserver_worker_restarts_total", ("cause", "restart")
        admin.until_metric(*restarts, at_least=1)
        (after,) = admin.status()["workers"]
        assert after["pid"] != before["pid"]
        assert after["phase"] == "ready"


def test_the_health_path_is_answered_without_the_application(tmp_path, how):
    (tmp_path / "app.py").write_text(
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        raise RuntimeError\n"
        "    assert scope['path'] != '/healthz'\n"
        "    await send({'type': 'http.response.start', 'status': 204})\n"
        "    await send({'type': 'http.response.body'})\n"
    )
    with ServerProcess(tmp_path, "--health-path", "/healthz", *how) as server:
        server.ready()
        connection = server.connect()
        for path, status in (("/healthz", 200), ("/", 204), ("/healthz?verbose", 200)):
            connection.request("GET", path)  # all on one connection
            response = connection.getresponse()
            response.read()
            assert (path, response.status, response.will_close) == (path, status, False)
        connection.close()
