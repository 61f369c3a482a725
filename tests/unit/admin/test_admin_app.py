"""What the admin application answers."""

from __future__ import annotations

import json

import pytest
from states import figures, row, server, worker

from asgiserver.admin.access import Access
from asgiserver.admin.app import AdminApp, wants_openmetrics
from asgiserver.admin.source import OrderRefused
from asgiserver.config.fields import Config
from asgiserver.config.options import resolve


class FakeSource:
    """Shows one state, and notes the orders."""

    def __init__(self, state):
        self._state = state
        self.config = resolve("app:app", flags={"port": 9}, keywords={"admin_token": "x"}).config
        self.orders = []

    def state(self):
        return self._state

    async def dump(self, as_json):
        return '{"workers": []}' if as_json else "Supervisor"

    def reload(self):
        self.orders.append("reload")
        return "reloading"

    def drain(self):
        self.orders.append("drain")
        return "draining"

    def restart_worker(self, index):
        if index:
            raise OrderRefused(404, f"there is no worker {index}")
        self.orders.append("restart 0")
        return "replaced"

    def set_log_level(self, level):
        self.orders.append(level)
        return level


class Asked:
    """One answer, with its body as text."""

    def __init__(self, messages):
        start, body = messages
        self.status = start["status"]
        self.fields = dict(start["headers"])
        self.body = body["body"].decode()


@pytest.fixture
def source():
    slow = {"method": "GET", "path": "/slow", "age": 3.0, "state": "START"}
    fast = {**slow, "path": "/fast", "age": 0.5}
    shown = figures(ended={"GET 2xx ok": row(2, 0.1)}, requests=2)
    return FakeSource(
        server(worker(figures=shown, running=[slow]), worker(1, silence=9.0, running=[fast]))
    )


@pytest.fixture
def ask(source):
    app = AdminApp(source, Access("unix", None))

    async def ask(path, method="GET", **fields):
        messages = []

        async def send(message):
            messages.append(message)

        target, _, query = path.partition("?")
        headers = [(name.encode(), value.encode()) for name, value in fields.items()]
        scope = {
            "type": "http",
            "method": method,
            "path": target,
            "query_string": query.encode(),
            "headers": headers,
        }
        await app(scope, None, send)
        return Asked(messages)

    return ask


async def test_health_is_a_status_and_a_reason(ask):
    answer = await ask("/readyz")
    assert (answer.status, answer.body) == (200, "ready\n")
    answer = await ask("/readyz?verbose")
    assert "worker 1 (pid 101): its event loop has not turned" in answer.body


async def test_a_server_that_is_not_ready_is_unavailable(source, ask):
    source._state = server(worker(), stopping=True)
    assert (await ask("/readyz")).status == 503
    assert (await ask("/livez")).status == 200
    assert (await ask("/startupz")).status == 200


async def test_figures_come_in_the_format_that_is_asked_for(ask):
    answer = await ask("/metrics")
    assert answer.fields[b"content-type"].startswith(b"text/plain; version=0.0.4")
    assert "# EOF" not in answer.body
    answer = await ask("/metrics", accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    assert answer.fields[b"content-type"].startswith(b"application/openmetrics-text")
    assert answer.body.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", False),
        (b"*/*", False),
        (b"text/plain", False),
        (b"application/openmetrics-text", True),
        (b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2", True),
        (b"application/openmetrics-text;q=0.2,text/plain;q=0.5", False),
        (b"application/openmetrics-text;q=0", False),
        (b"application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5", False),
        (b"application/openmetrics-text;q=high", False),
    ],
)
def test_which_format_a_client_prefers(accept, expected):
    assert wants_openmetrics(accept) is expected


async def test_the_status_tells_what_runs_and_where_options_come_from(ask):
    answer = await ask("/status")
    assert answer.fields[b"content-type"] == b"application/json"
    status = json.loads(answer.body)
    assert [one["path"] for one in status["running"]] == ["/fast", "/slow"]  # it is blocked for 9 s
    assert [one["phase"] for one in status["workers"]] == ["ready", "stalled"]
    assert status["totals"]["requests"] == 2
    assert status["options"]["port"] == {"value": 9, "from": "flag --port"}
    assert status["options"]["host"]["from"] == "default"
    assert status["options"]["admin_token"] == {"value": "***", "from": "keyword admin_token"}
    assert status["health"]["ready"] == {"passed": True, "reason": "ready"}
    assert status["versions"]["asgiserver"]


async def test_options_of_a_program_are_said_to_be_its(source, ask):
    source.config = Config("app:app", workers=3, timeout_request="off")
    options = json.loads((await ask("/status")).body)["options"]
    assert options["workers"] == {"value": 3, "from": "program"}
    assert options["timeout_request"]["value"] == "off"


async def test_a_dump_is_for_people_or_for_programs(ask):
    answer = await ask("/dump")
    assert (answer.status, answer.body) == (200, "Supervisor")
    assert answer.fields[b"content-type"].startswith(b"text/plain")
    answer = await ask("/dump?json")
    assert json.loads(answer.body) == {"workers": []}
    assert answer.fields[b"content-type"] == b"application/json"


async def test_orders_are_followed(source, ask):
    for path in ("/reload", "/drain", "/workers/0/restart", "/log-level?level=DEBUG"):
        assert (await ask(path, "POST")).status == 202
    assert source.orders == ["reload", "drain", "restart 0", "debug"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/workers/7/restart", "POST", 404),
        ("/workers/x/restart", "POST", 404),
        ("/workers//restart", "POST", 404),
        ("/log-level", "POST", 400),
        ("/log-level?level=loud", "POST", 400),
        ("/reload", "GET", 405),
        ("/metrics", "POST", 405),
        ("/dump", "POST", 405),
        ("/nothing", "GET", 404),
        ("/", "GET", 200),
    ],
)
async def test_what_cannot_be_done_is_refused(path, method, status, source, ask):
    assert (await ask(path, method)).status == status
    assert source.orders == []


async def test_nobody_keeps_an_answer(ask):
    assert (await ask("/status")).fields[b"cache-control"] == b"no-store"
