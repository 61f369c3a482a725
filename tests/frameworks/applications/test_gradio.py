"""Gradio: its page and assets, a generator, an upload; by its own client and in Chromium."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import signal

import pytest
from gradio_client import Client, handle_file

CONTENT = b"tea " * 500_000
DIGEST = {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}

served = pytest.mark.parametrize("served", [("gradio_app:app",)], indirect=True, scope="module")


@pytest.fixture
def upload(tmp_path):
    """A file to be uploaded."""
    path = tmp_path / "tea.txt"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(scope="module")
def client(served):
    """Gradio's own client."""
    client = Client(served.url, verbose=False, analytics_enabled=False)
    yield client
    client.close()


@served
@pytest.mark.parametrize("encoding", ["identity", "gzip", "br"])
def test_the_page_has_its_assets(served, encoding):
    with served.client() as client:
        client.headers["accept-encoding"] = encoding
        page = client.get("/")
        assert page.status_code == 200
        assets = re.findall(r'(?:src|href)="\./(assets/[^"]+)"', page.text)
        assert {asset.rpartition(".")[2] for asset in assets} == {"js", "css"}
        for asset in assets:
            response = client.get(f"/{asset}")
            assert response.status_code == 200, response.text
            assert len(response.content) > 1000


@served
def test_a_generator(client):
    job = client.submit(4, api_name="/count")
    assert list(job) == ["1", "1 2", "1 2 3", "1 2 3 4"]


@served
def test_an_upload(client, upload):
    assert client.predict(handle_file(upload), api_name="/digest") == DIGEST


@served
async def test_in_a_browser(served, browser, upload):
    page = await browser.open(served.url)
    await page.until("document.querySelector('#count')")
    await page.evaluate("document.querySelector('#count').click()")
    await page.until("document.querySelector('#counted textarea').value === '1 2 3'")
    await page.choose_files("#file input[type=file]", upload)
    await page.until(f"document.querySelector('#digest').innerText.includes({DIGEST['size']})")
    await page.until(f"document.querySelector('#digest').innerText.includes({DIGEST['sha256']!r})")


async def test_it_stops_while_a_generator_runs(run, browser):
    with run("gradio_app:app") as server:
        page = await browser.open(server.url)
        await page.until("document.querySelector('#tick')")
        await page.evaluate("document.querySelector('#tick').click()")
        await page.until("document.querySelector('#ticks input').value > 2")
        await asyncio.to_thread(server.stop, signal.SIGINT)


def test_it_stops_while_its_client_listens(run):
    with run("gradio_app:app") as server, server.client() as client:
        session = {"session_hash": "listener"}
        client.post("/gradio_api/queue/join", json={"data": [], "fn_index": 1, **session})
        with client.stream("GET", "/gradio_api/queue/data", params=session) as events:
            for line in events.iter_lines():
                if line and json.loads(line.removeprefix("data:"))["msg"] == "process_generating":
                    break
            server.stop(signal.SIGINT)
