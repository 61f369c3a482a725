"""The fixture `asgi_server`, in test suites of its users."""

import importlib.metadata
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

APP = """
import pytest
import httpx

ended = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        ended.append(scope["type"])
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
"""
ENDED = """
def test_each_was_stopped():
    assert "lifespan" in ended
    assert not [t for t in __import__("threading").enumerate() if t.name == "asgiserver"]
"""


@pytest.fixture
def run_suite(pytester, monkeypatch):
    """Run the source of a test module in a process of its own; all of its tests must pass."""

    def run_suite(source, passed, *, ini=""):
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        pytester.makepyfile(APP + source)
        if "asyncio" not in ini:
            ini += "addopts = -p no:asyncio\n"
        pytester.makeini(f"[pytest]\nfilterwarnings = error\n{ini}")
        known = any(
            point.value == "asgiserver.testing"
            for point in importlib.metadata.entry_points(group="pytest11")
        )
        plugin = [] if known else ["-p", "asgiserver.testing"]
        result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *plugin)
        result.assert_outcomes(passed=passed)

    return run_suite


def test_in_a_thread(run_suite):
    run_suite(
        """
def test_sync(asgi_server):
    served = asgi_server(app)
    assert httpx.get(served.url, trust_env=False).text == "hello"
    assert served.url == f"http://{served.host}:{served.port}"
    other = asgi_server(app, root_path="/x")
    assert other.port != served.port
    assert other.server.config.root_path == "/x"

def test_websocket(asgi_server):
    from websockets.sync.client import connect
    with connect(asgi_server(app).websocket_url, proxy=None) as client:
        assert client.recv() == "hello"

def test_options(asgi_server):
    import asgiserver
    with pytest.raises(asgiserver.StartupError):
        asgi_server("no_such_module:app")
"""
        + ENDED,
        4,
    )


TWO_ASYNC = (
    """
@pytest.mark.MARK
@pytest.mark.parametrize("times", [1, 2])
async def test_async(asgi_server, times):
    for _ in range(times):
        served = await asgi_server(app)
        async with httpx.AsyncClient(base_url=served.url, trust_env=False) as client:
            assert (await client.get("/")).text == "hello"
    assert "127.0.0.1" in repr(served)

class TestInAClass:
    @pytest.mark.MARK
    async def test_method(self, asgi_server):
        await asgi_server(app)

@pytest.mark.MARK
async def test_forgotten(asgi_server):
    with pytest.raises(RuntimeError, match="await asgi_server"):
        asgi_server(app).url
"""
    + ENDED
)


@pytest.mark.parametrize("scope", ["function", "session"])
def test_in_the_loop_with_pytest_asyncio(run_suite, scope):
    ini = f"""
asyncio_mode = auto
asyncio_default_fixture_loop_scope = {scope}
asyncio_default_test_loop_scope = {scope}
"""
    run_suite(TWO_ASYNC.replace("MARK", "asyncio"), 5, ini=ini)


def test_in_the_loop_with_anyio(run_suite):
    backend = """
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
    run_suite(backend + TWO_ASYNC.replace("MARK", "anyio"), 5)


def test_in_a_loop_of_the_test(run_suite):
    run_suite(
        """
def test_run(asgi_server):
    import asyncio
    async def main():
        served = await asgi_server(app)
        async with httpx.AsyncClient(base_url=served.url, trust_env=False) as client:
            assert (await client.get("/")).text == "hello"
    asyncio.run(main())
""",
        1,
    )


def test_it_costs_nothing_until_it_is_used(run_suite):
    run_suite(
        """
def test_imports():
    import sys
    assert "asgiserver.server.server" not in sys.modules
""",
        1,
    )
