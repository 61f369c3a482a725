"""Starlette's background tasks, over real sockets and on both event loops."""

from __future__ import annotations

import asyncio

import pytest
from fakes import WAIT, until
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


async def passing(request, call_next):
    return await call_next(request)


class TestBackground:
    """A Starlette background task comes after its response, and before the end of the server."""

    @pytest.fixture(params=[[], [Middleware(BaseHTTPMiddleware, dispatch=passing)]])
    def app(self, request):
        go, ended = asyncio.Event(), []

        async def work():
            await go.wait()
            ended.append("work")

        async def mail(request):
            return PlainTextResponse("sent", background=BackgroundTask(work))

        async def page(request):
            return PlainTextResponse("page")

        routes = [Route("/mail", mail), Route("/page", page)]
        app = Starlette(routes=routes, middleware=request.param)
        app.state.go, app.state.ended = go, ended
        return app

    async def test_the_connection_takes_the_next_request(self, serve, dial, app):
        server = await serve(app)
        peer = await dial(server)
        await peer.get(b"/mail")
        assert (await peer.reply()).body == b"sent"
        for _ in range(2):
            await peer.get(b"/page")
            assert (await peer.reply()).body == b"page"
        await until(lambda: len(server.context.running) == 1)  # goes on after three responses
        assert not app.state.ended
        assert server.context.stats.connections == 1
        app.state.go.set()
        await until(lambda: app.state.ended == ["work"] and not server.context.running)

    @pytest.mark.parametrize("option", ["notify", "cancel"])
    async def test_it_goes_on_when_the_client_leaves(self, serve, dial, app, option):
        server = await serve(app, on_disconnect=option)
        peer = await dial(server)
        await peer.get(b"/mail")
        assert (await peer.reply()).body == b"sent"
        peer.reset()
        await until(lambda: not server.context.connections)
        app.state.go.set()
        await until(lambda: app.state.ended == ["work"])

    async def test_a_shutdown_waits_for_it_and_names_it(
        self, serve, dial, app, caplog, monkeypatch
    ):
        monkeypatch.setattr("asgiserver.server.unfinished.REPORT_DELAY", 0.01)  # seconds
        caplog.set_level("INFO", "asgiserver")
        server = await serve(app)
        peer = await dial(server)
        await peer.get(b"/mail?to=ann")
        assert (await peer.reply()).body == b"sent"
        stopping = asyncio.create_task(server.stop(timeout=WAIT))
        await until(lambda: "Waiting for GET /mail" in caplog.text)
        await peer.ended()  # nobody waits for the response any more
        assert not stopping.done()
        app.state.go.set()
        await stopping
        assert app.state.ended == ["work"]
        assert "Cancelled" not in caplog.text

    async def test_one_that_takes_too_long_is_cancelled_and_named(self, serve, dial, app, caplog):
        server = await serve(app)
        peer = await dial(server)
        await peer.get(b"/mail")
        assert (await peer.reply()).body == b"sent"
        await server.stop(timeout=0.01)
        assert "Cancelled at shutdown: GET /mail" in caplog.text
        assert not app.state.ended
