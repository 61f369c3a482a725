"""Two hosts after a real proxy: what a drain, an upgrade, a stop and a kill do to clients."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from hosts import Hosts
from load import APP, Load
from process_server import wait_until_gone
from proxies import Proxy, program

FOLDER = Path(__file__).parents[2] / "examples" / "deploy"
OPTIONS = ("--supervise", "--drain-delay", "1s", "--timeout-graceful-shutdown", "10s")


@pytest.fixture(autouse=True)
def _app(tmp_path):
    (tmp_path / "app.py").write_text(APP)


def haproxy(tmp_path):
    """HAProxy with the configuration of the example; checks are as fast as the drain is."""
    text = (FOLDER / "haproxy.cfg").read_text()
    assert "inter 1s" in text
    config = tmp_path / "haproxy.cfg"
    config.write_text(text.replace("inter 1s", "inter 100ms"))
    return Proxy([program("haproxy"), "-db", "-f", str(config)], 80, tmp_path / "haproxy.log")


def nginx(tmp_path, edge):
    """nginx with the configuration of the example, which names the hosts as compose does."""
    text = (FOLDER / "nginx.conf").read_text()
    for host in (edge.a, edge.b):
        text = text.replace(f"chat-{host.name}:8000", f"{host.address}:8000")
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"    {place}_temp_path {tmp_path}/{place};\n" for place in places)
    text = text.replace("http {\n", f"http {{\n    access_log off;\n{temporary}")
    config = tmp_path / "nginx.conf"
    config.write_text(f"daemon off; pid {tmp_path}/nginx.pid; error_log stderr warn;\n{text}")
    command = [program("nginx"), "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]
    return Proxy(command, 80, tmp_path / "nginx.log")


async def nobody_notices(hosts, load):
    """A drain of one host, a stop of the other, and an upgrade."""
    await load.served_by("a", "b")
    for leave, leaver, other in ((hosts.drain, "a", "b"), (hosts.stop, "b", "a")):
        await leave(leaver)
        await load.moved_to(other)
        await hosts.start(leaver)
        await load.served_by("a", "b")
    new = await hosts.upgrade("a")
    await load.served_by("a", "b")
    os.kill(new, signal.SIGTERM)
    await asyncio.to_thread(wait_until_gone, [new])
    await load.moved_to("b")
    assert load.lost == []
    assert set(load.closed) == {1012}  # service restart: clients open the WebSocket anew
    assert load.clients == {"127.0.0.1"}  # not the address of the proxy


async def only_the_kill_is_noticed(hosts, load):
    """One host is killed and brought back."""
    await load.served_by("a", "b")
    assert load.lost == []
    await hosts.kill("b")
    await load.moved_to("a")
    lost = len(load.lost)
    assert lost <= load.clients_at_work, load.lost  # each had one request at the most
    await hosts.start("b")
    await load.served_by("a", "b")
    assert load.lost[lost:] == []


SCENARIOS = pytest.mark.parametrize("scenario", [nobody_notices, only_the_kill_is_noticed])


@SCENARIOS
async def test_behind_haproxy(edge, tmp_path, scenario):
    program("haproxy")
    trust = ("--proxy-protocol", "v2", "--proxy-protocol-allow-ips", edge.address)
    async with (
        Hosts(edge, tmp_path, *OPTIONS, *trust) as hosts,
        haproxy(tmp_path),
        Load(80) as load,
    ):
        await scenario(hosts, load)


@SCENARIOS
async def test_behind_nginx(edge, tmp_path, scenario):
    program("nginx")
    async with (
        Hosts(edge, tmp_path, *OPTIONS, "--forwarded-allow-ips", edge.address) as hosts,
        nginx(tmp_path, edge),
        Load(80) as load,
    ):
        await scenario(hosts, load)
