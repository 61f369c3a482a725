"""Model Context Protocol (the Python SDK): a tool that tells of its progress.

    asgiserver examples.frameworks.mcp_app:app

An MCP client finds it at http://127.0.0.1:8000/mcp. `stateless` is for several workers, since a
session lives in one process; `sse` is the older transport, at http://127.0.0.1:8000/sse.
"""

from __future__ import annotations

import asyncio
import itertools

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("asgiserver")


@server.tool()
async def count(number: int, context: Context) -> str:
    """Count to a number."""
    for done in range(1, number + 1):
        await context.report_progress(done, number)
    return f"counted to {number}"


@server.tool()
async def tick(context: Context) -> None:
    """Tell of progress until nobody wants to hear of it."""
    for number in itertools.count(1):
        await context.report_progress(number)
        await asyncio.sleep(0.05)


app = server.streamable_http_app()
stateless = server.streamable_http_app(stateless_http=True)
sse = server.sse_app()
