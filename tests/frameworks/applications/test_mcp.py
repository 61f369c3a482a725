"""The MCP Python SDK by its own client: streamable HTTP with and without sessions, and SSE."""

from __future__ import annotations

import asyncio
import signal

import pytest
from mcp import Client
from mcp.client.sse import sse_client

TARGETS = {
    "sessions": ("mcp_app:app",),
    "stateless": ("mcp_app:stateless", "--workers", "2"),
    "sse": ("mcp_app:sse",),
}

served = pytest.mark.parametrize(
    "served", TARGETS.values(), ids=TARGETS, indirect=True, scope="module"
)


def client_of(server, target, mode="auto"):
    """A client of `server` by the transport of the target."""
    if target == "mcp_app:sse":
        return Client(sse_client(f"{server.url}/sse"), mode=mode)
    return Client(f"{server.url}/mcp", mode=mode)


@served
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_call_with_progress(served, mode, request):
    target = request.node.callspec.params["served"][0]
    heard = []

    async def hear(progress, total, message):
        heard.append((progress, total))

    async with client_of(served, target, mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"count", "tick"}
        result = await client.call_tool("count", {"number": 5}, progress_callback=hear)
    assert [content.text for content in result.content] == ["counted to 5"]
    assert heard == [(number, 5) for number in range(1, 6)]


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
async def test_it_stops_during_a_call(run, target):
    """What the client makes of it is its own business."""
    heard = asyncio.Event()

    async def hear(progress, total, message):
        if progress > 2:
            heard.set()

    with run(*target) as server:
        async with client_of(server, target[0]) as client:
            call = asyncio.create_task(client.call_tool("tick", progress_callback=hear))
            await heard.wait()
            await asyncio.to_thread(server.stop, signal.SIGINT)
            call.cancel()
            await asyncio.wait([call])
