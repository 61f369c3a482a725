"""Behind a real HAProxy: forwarding fields, and the PROXY protocol with and without TLS."""

import asyncio
import json
import ssl

import httpx
import pytest
from pki import Authority
from ports import held_port
from proxies import Proxy, echo, program
from websockets.asyncio.client import connect

FRAME = """
global
    maxconn 100
defaults
    mode {mode}
    timeout connect 5s
    timeout client 10s
    timeout server 10s
    {defaults}
frontend in
    bind 127.0.0.1:{port} {bind}
    default_backend app
backend app
    {backend}
    server app {upstream} {server}
"""


def haproxy(tmp_path, upstream, *, mode="http", defaults="", bind="", backend="", server=""):
    port = held_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        FRAME.format(
            mode=mode,
            defaults=defaults,
            port=port,
            bind=bind,
            backend=backend,
            upstream=upstream,
            server=server,
        )
    )
    command = [program("haproxy"), "-db", "-f", str(config)]
    return Proxy(command, port, tmp_path / "haproxy.log")


def address(server):
    return f"127.0.0.1:{server.listeners[0].port}"


@pytest.fixture(autouse=True)
def _installed():
    program("haproxy")


async def test_forwardfor(serve, tmp_path):
    server = await serve(echo)
    proxy = haproxy(
        tmp_path,
        address(server),
        defaults="option forwardfor",
        backend="http-request set-header X-Forwarded-Proto https",
    )
    async with proxy, httpx.AsyncClient() as client:
        headers = {"X-Forwarded-For": "6.6.6.6", "Host": "example.com"}
        answer = await client.get(f"http://127.0.0.1:{proxy.port}/", headers=headers)
    told = answer.json()
    # HAProxy adds a field of its own behind the one of the client. It is loopback itself here, and
    # so is trusted: the walk goes on to what it was told.
    assert ["x-forwarded-for", "6.6.6.6"] in told["fields"]
    assert ["x-forwarded-for", "127.0.0.1"] in told["fields"]
    assert told["client"] == ["6.6.6.6", 0]
    assert told["scheme"] == "https"


async def test_what_a_client_says_passes_haproxy_and_is_not_believed(serve, tmp_path):
    server = await serve(echo)
    proxy = haproxy(tmp_path, address(server), defaults="option forwardfor")
    spoofed = {
        "Host": "example.com",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
    }
    async with proxy, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{proxy.port}/a", headers=spoofed)
    told = answer.json()
    assert ["x-forwarded-host", "evil.example"] in told["fields"]
    assert told["host"] == "example.com"
    assert told["server"] == ["127.0.0.1", server.listeners[0].port]
    assert (told["root_path"], told["path"]) == ("", "/a")


async def test_all_fields(serve, tmp_path):
    server = await serve(echo, forwarded_fields="for,proto,host,port,prefix")
    rules = [
        "http-request set-header X-Forwarded-Host %[req.hdr(Host)]",
        "http-request set-header X-Forwarded-Port 8443",
        "http-request set-header X-Forwarded-Prefix /shop",
    ]
    proxy = haproxy(
        tmp_path, address(server), defaults="option forwardfor", backend="\n    ".join(rules)
    )
    spoofed = {"Host": "example.com", "X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "1"}
    async with proxy, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{proxy.port}/a", headers=spoofed)
    told = answer.json()
    assert told["host"] == "example.com"
    assert told["server"] == ["example.com", 8443]
    assert (told["root_path"], told["path"]) == ("/shop", "/shop/a")


async def test_hops(serve, tmp_path):
    server = await serve(echo, proxy_hops=1)
    proxy = haproxy(tmp_path, address(server), defaults="option forwardfor")
    async with proxy, httpx.AsyncClient() as client:
        headers = {"X-Forwarded-For": "6.6.6.6"}
        answer = await client.get(f"http://127.0.0.1:{proxy.port}/", headers=headers)
    assert answer.json()["client"] == ["127.0.0.1", 0]


@pytest.mark.parametrize(("send", "version"), [("send-proxy", "v1"), ("send-proxy-v2", "v2")])
@pytest.mark.parametrize("mode", ["tcp", "http"])
async def test_proxy_protocol(serve, tmp_path, send, version, mode):
    server = await serve(echo, proxy_protocol=version)
    proxy = haproxy(tmp_path, address(server), mode=mode, server=send)
    async with proxy, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{proxy.port}/")
        told = answer.json()
        assert told["client"][0] == "127.0.0.1"
        assert told["server"] == ["127.0.0.1", proxy.port]  # where the client came to
        assert told["scheme"] == "http"


async def test_balancer_that_ends_tls(serve, tmp_path):
    ca = Authority()
    crt, key = ca.issue("localhost", "127.0.0.1").write(tmp_path, "balancer")
    pem = tmp_path / "balancer.pem"
    pem.write_bytes(b"".join(map(read, (crt, key))))
    server = await serve(echo, proxy_protocol="v2")
    proxy = haproxy(
        tmp_path,
        address(server),
        mode="tcp",
        bind=f"ssl crt {pem}",
        server="send-proxy-v2-ssl",
    )
    context = ssl.create_default_context(cadata=ca.pem)
    async with proxy, httpx.AsyncClient(verify=context) as client:
        answer = await client.get(f"https://127.0.0.1:{proxy.port}/")
    told = answer.json()
    assert told["scheme"] == "https"
    assert told["tls"] is False


async def test_balancer_that_passes_tls_through(serve, tmp_path):
    ca = Authority()
    crt, key = ca.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    server = await serve(echo, proxy_protocol="v2", ssl_certfile=crt, ssl_keyfile=key)
    proxy = haproxy(tmp_path, address(server), mode="tcp", server="send-proxy-v2 check")
    context = ssl.create_default_context(cadata=ca.pem)
    async with proxy, httpx.AsyncClient(verify=context) as client:
        answer = await client.get(f"https://127.0.0.1:{proxy.port}/")
    told = answer.json()
    assert told["tls"] is True
    assert told["server"] == ["127.0.0.1", proxy.port]


@pytest.mark.parametrize("tls", [False, True])
async def test_http2_to_the_server(serve, tmp_path, tls):
    options, server_options = {}, "proto h2"
    if tls:
        crt, key = Authority().issue("localhost", "127.0.0.1").write(tmp_path, "server")
        options = {"ssl_certfile": crt, "ssl_keyfile": key}
        server_options = "ssl verify none alpn h2"
    server = await serve(echo, **options)
    proxy = haproxy(tmp_path, address(server), defaults="option forwardfor", server=server_options)
    async with proxy, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{proxy.port}"
        asked = [client.post(f"{url}/{number}", content=b"x" * 50_000) for number in range(20)]
        answers = await asyncio.gather(*asked)
    for number, answer in enumerate(answers):
        told = answer.json()
        assert (told["path"], told["http_version"]) == (f"/{number}", "2")
        assert told["client"] == ["127.0.0.1", 0]
        assert answer.headers["x-received"] == "50000"


async def test_a_websocket_over_http2_to_the_server(serve, tmp_path):
    server = await serve(echo)
    proxy = haproxy(tmp_path, address(server), server="proto h2")
    async with proxy, connect(f"ws://127.0.0.1:{proxy.port}/chat", proxy=None) as websocket:
        assert json.loads(await websocket.recv())["http_version"] == "2"
        for size in (1, 1000, 100_000):
            await websocket.send("x" * size)
            assert await websocket.recv() == "x" * size


def read(file):
    with open(file, "rb") as opened:
        return opened.read()
