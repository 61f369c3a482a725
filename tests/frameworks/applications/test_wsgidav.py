"""WsgiDAV: WebDAV as WSGI, by requests and by litmus, the conformance suite of WebDAV servers."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ET

import pytest

TARGETS = [("wsgidav_app:app",), ("wsgidav_app:app", "--workers", "2")]
NAMES = ["one", "two"]
CONTENT = bytes(range(256)) * 20_000
LOCK = b"""<?xml version="1.0" encoding="utf-8"?>
<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>
"""
PASSES = {"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What is served."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setenv("DAV_FOLDER", str(folder))
    return folder


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_files(run, folder, target):
    with run(*target) as server, server.client() as client:
        assert client.put("/tea.bin", content=CONTENT).status_code == 201
        assert (folder / "tea.bin").read_bytes() == CONTENT
        parts = (CONTENT[start : start + 100_000] for start in range(0, len(CONTENT), 100_000))
        assert client.put("/tea.bin", content=parts).status_code == 204
        assert client.get("/tea.bin").content == CONTENT
        part = client.get("/tea.bin", headers={"range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, CONTENT[1000:2000])
        assert part.headers["content-range"] == f"bytes 1000-1999/{len(CONTENT)}"
        assert client.request("MKCOL", "/box").status_code == 201
        move = client.request("MOVE", "/tea.bin", headers={"destination": "/box/tea.bin"})
        assert move.status_code == 201
        found = client.request("PROPFIND", "/box", headers={"depth": "1"})
        assert found.status_code == 207
        names = [element.text for element in ET.fromstring(found.text).iter("{DAV:}href")]
        assert names == ["/box/", "/box/tea.bin"]
        assert client.delete("/box").status_code == 204
        assert not list(folder.iterdir())


def test_a_lock_keeps_others_out(run, folder):
    with run("wsgidav_app:app") as server, server.client() as client:
        locked = client.request("LOCK", "/tea.txt", content=LOCK, headers={"timeout": "Second-60"})
        assert locked.status_code == 201
        token = locked.headers["lock-token"]
        assert client.put("/tea.txt", content=b"mine").status_code == 423
        held = {"if": f"({token})"}
        assert client.put("/tea.txt", content=b"tea", headers=held).status_code == 204
        freed = client.request("UNLOCK", "/tea.txt", headers={"lock-token": token})
        assert freed.status_code == 204
        assert client.put("/tea.txt", content=b"mine").status_code == 204


def test_litmus(run, folder, tmp_path):
    if not shutil.which("litmus"):
        pytest.skip("litmus is not installed (apt-get install litmus)")
    with run("wsgidav_app:app") as server:
        report = subprocess.run(
            ["litmus", "-k", f"{server.url}/"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        ).stdout
    summary = r"summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed"
    found = {suite: tuple(map(int, rest)) for suite, *rest in re.findall(summary, report)}
    assert found == {suite: (passes, passes, 0) for suite, passes in PASSES.items()}, report


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_it_stops_with_a_client_connected(run, folder, target):
    with run(*target) as server, server.client() as client:
        assert client.put("/tea.txt", content=b"tea").status_code == 201
        server.stop(signal.SIGINT)
