"""What the examples of all frameworks have in common, over a socket and on both event loops."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.sync.client import connect

FILE = (
    Path(__file__).resolve().parents[2] / "examples" / "frameworks" / "public" / "about.txt"
).read_bytes()
COMPLETE = (  # of everything that is driven here
    "fastapi_full_app:app",
    "starlette_full_app:app",
    "quart_app:app",
    "litestar_app:app",
    "falcon_app:app",
    "blacksheep_app:app",
)
ASGI = (*COMPLETE, "django_app:app")
WSGI = ("django_app:wsgi", "flask_app:app")
WITHOUT_LIFESPAN = ("django_app:app", "channels_app:app")
LOOPS = ("asyncio", "uvloop")


def on(*targets: str) -> pytest.MarkDecorator:
    """Run a test with each of these applications, on each event loop."""
    both = [(target, "--loop", loop) for target in targets for loop in LOOPS]
    ids = [f"{target}-{loop}" for target, _, loop in both]
    return pytest.mark.parametrize("served", both, ids=ids, indirect=True, scope="module")


@on(*ASGI, *WSGI, "channels_app:app")
def test_it_has_started(served):
    with served.client() as client:
        answer = client.get("/").json()
        assert answer.pop("framework")
        assert answer == {"started": True}


@on(*WSGI, *WITHOUT_LIFESPAN)
def test_what_it_is_stands_in_the_log(served):
    assert ("is served as WSGI" in served.log) != ("does not support lifespan" in served.log)


def test_flask_simply_works(run):
    flags = ("--interface", "auto", "--static", "/assets=examples/frameworks/public")
    with run("flask_app:app", *flags) as server, server.client() as client:
        assert "The application is served as WSGI" in server.log
        assert client.get("/").json() == {"framework": "Flask", "started": True}
        file = client.get("/assets/about.txt", headers={"range": "bytes=0-5"})
        assert (file.status_code, file.content) == (206, FILE[:6])


@on(*ASGI, *WSGI)
def test_routes_and_json(served):
    with served.client() as client:
        assert client.get("/items/7", params={"q": "té"}).json() == {"id": 7, "q": "té"}
        made = client.post("/items", json={"name": "tea"})
        assert (made.status_code, made.json()) == (201, {"name": "tea"})
        assert client.get("/nowhere").status_code == 404
        assert client.head("/items/7").content == b""


@on(*ASGI, *WSGI)
def test_upload_of_a_form(served):
    with served.client() as client:
        content = b"x" * 1_000_000
        response = client.post(
            "/upload", data={"title": "Big"}, files={"file": ("big.bin", content)}
        )
        assert response.json() == {"title": "Big", "filename": "big.bin", "size": len(content)}


@on(*ASGI, *WSGI)
def test_stream(served):
    with served.client() as client, client.stream("GET", "/count/5") as response:
        assert response.headers["transfer-encoding"] == "chunked"
        assert response.headers["content-type"].startswith("text/plain")
        assert list(response.iter_lines()) == ["5", "4", "3", "2", "1"]


@on(*ASGI, *WSGI, "channels_app:app")
def test_server_sent_events(served):
    with served.client() as client, client.stream("GET", "/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        data = [line for line in response.iter_lines() if line.startswith("data:")]
    assert [line.removeprefix("data:").strip() for line in data] == ["0", "1", "2"]


@on(*ASGI, *WSGI)
def test_a_client_that_leaves_a_stream(served):
    """The log is looked at when the server has stopped."""
    for _ in range(3):
        with served.client() as client, client.stream("GET", "/count/200000") as response:
            assert response.status_code == 200
            next(response.iter_lines())
    with served.client() as client:
        assert client.get("/").status_code == 200


@on(*COMPLETE, "channels_app:app")
def test_websocket(served):
    with connect(f"{served.websocket_url}/echo", proxy=None) as client:
        for text in ("hello", "é" * 70_000):
            client.send(text)
            assert client.recv(timeout=10) == text


@on(*COMPLETE)
def test_background_task(served):
    with served.client() as client:
        assert client.post("/tasks/tea").json() == {"accepted": "tea"}
        while "tea" not in client.get("/journal").json():
            pass


@on(*ASGI, *WSGI, "socketio_app:app")
def test_static_file(served):
    with served.client() as client:
        response = client.get("/static/about.txt")
        assert response.content == FILE
        assert response.headers["content-type"].startswith("text/plain")
        assert client.get("/static/missing.txt").status_code == 404


@on("flask_app:app")
def test_a_long_body_without_length(served):
    with served.client() as client:
        parts = (b"y" * 100_000 for _ in range(50))
        assert client.put("/size", content=parts).json() == {"size": 5_000_000}


@on("flask_app:app")
def test_one_that_blocks_does_not_stop_others(served):
    with (
        served.client() as slow,
        served.client() as quick,
        slow.stream("GET", "/blocked") as response,
    ):
        lines = response.iter_lines()
        assert next(lines) == "waiting"
        assert quick.get("/").status_code == 200
        assert quick.post("/unblock").status_code == 200
        assert next(lines) == "done"


@on("django_app:app")
def test_an_async_view(served):
    with served.client() as client:
        assert client.get("/slow").json() == {"slow": True}
