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
OPTIONS = ("--supervise", "--drain-delay", "2s", "--timeout-graceful-shutdown", "10s")


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


async def drained(hosts, load):
    """An operator orders a drain, and starts the server again."""
    await hosts.drain("a")
    await load.moved_to("b")
    await hosts.start("a")


async def stopped(hosts, load):
    """The server is stopped and started as systemd and Kubernetes do."""
    await hosts.stop("a")
    await load.moved_to("b")
    await hosts.start("a")


async def upgraded(hosts, load):
    """Another supervisor takes over, and is stopped as any other."""
    new = await hosts.upgrade("a")
    await load.served_by("a", "b")
    os.kill(new, signal.SIGTERM)
    await asyncio.to_thread(wait_until_gone, [new])
    await load.moved_to("b")
    await hosts.start("a")


async def killed(hosts, load):
    """All processes of a host die at once; the server is started again."""
    await hosts.kill("a")
    await load.moved_to("b")
    assert len(load.lost) <= load.clients_at_work  # each had one request at the most
    load.lost.clear()
    await hosts.start("a")


SCENARIOS = pytest.mark.parametrize("happens", [drained, stopped, upgraded, killed])


async def lives_through(happens, hosts, load):
    """One host leaves and comes back, and clients notice nothing but a kill."""
    await load.served_by("a", "b")
    await happens(hosts, load)
    await load.served_by("a", "b")
    assert load.lost == []
    if happens is not killed:
        assert set(load.closed) <= {1012}  # service restart: clients open the WebSocket anew
    assert load.clients == {"127.0.0.1"}  # not the address of the proxy


@SCENARIOS
async def test_behind_haproxy(edge, tmp_path, happens):
    program("haproxy")
    trust = ("--proxy-protocol", "v2", "--proxy-protocol-allow-ips", edge.address)
    async with (
        Hosts(edge, tmp_path, *OPTIONS, *trust) as hosts,
        haproxy(tmp_path) as proxy,
        Load(80) as load,
    ):
        await lives_through(happens, hosts, load)
    left_out = "Server chat/a is DOWN, reason: Layer7 wrong status, code: 503"
    assert (left_out in proxy.log.read_text()) == (happens in (drained, stopped, upgraded))


@SCENARIOS
async def test_behind_nginx(edge, tmp_path, happens):
    program("nginx")
    async with (
        Hosts(edge, tmp_path, *OPTIONS, "--forwarded-allow-ips", edge.address) as hosts,
        nginx(tmp_path, edge),
        Load(80) as load,
    ):
        await lives_through(happens, hosts, load)
