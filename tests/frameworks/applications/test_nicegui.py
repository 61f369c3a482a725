"""NiceGUI: its page and assets, its Socket.IO connection, and clicks in Chromium."""

from __future__ import annotations

import asyncio
import re
import signal

import pytest
import socketio

served = pytest.mark.parametrize("served", [("nicegui_app:app",)], indirect=True, scope="module")


@served
def test_the_page_has_its_assets(served):
    with served.client() as client:
        page = client.get("/")
        assert page.status_code == 200
        assets = re.findall(r"/_nicegui/[^\"'()\s]+\.(?:js|css)", page.text)
        assert {asset.rpartition(".")[2] for asset in assets} == {"js", "css"}
        for asset in assets:
            response = client.get(asset)
            assert response.status_code == 200, response.text
            assert response.content


@served
@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]])
async def test_its_socket_tells_of_the_timer(served, transports):
    with served.client() as client:
        page = client.get("/").text
    visitor = re.search(r"'client_id': '([0-9a-f-]+)'", page).group(1)
    updates: asyncio.Queue = asyncio.Queue()
    client = socketio.AsyncClient(reconnection=False)
    client.on("update", updates.put)
    query = f"client_id={visitor}&tab_id=tab&document_id=document&implicit_handshake=true"
    path = "/_nicegui_ws/socket.io"
    await client.connect(f"{served.url}?{query}", transports=transports, socketio_path=path)
    try:
        async with asyncio.timeout(20):
            while "'text': '3'" not in str(await updates.get()):
                pass
    finally:
        await client.disconnect()


async def shown(browser, server):
    """The page, after its timer has ticked."""
    page = await browser.open(server.url)
    await page.until("document.querySelector('#ticked')?.innerText > 1")
    return page


@served
async def test_in_a_browser(served, browser):
    page = await shown(browser, served)
    for clicks in (1, 2, 3):
        await page.evaluate("document.querySelector('#click').click()")
        await page.until(f"document.querySelector('#clicked').innerText === '{clicks} clicks'")


async def test_it_stops_before_an_open_page(run, browser):
    with run("nicegui_app:app") as server:
        await shown(browser, server)
        await asyncio.to_thread(server.stop, signal.SIGINT)
