"""Behind a real nginx, configured as docs/deployment/nginx.md says."""

import asyncio
import json
import re
import ssl
from pathlib import Path

import httpx
import pytest
from pki import Authority
from ports import held_port
from proxies import Proxy, echo, program
from websockets.asyncio.client import connect

DOCUMENT = Path(__file__).parents[2] / "docs" / "deployment" / "nginx.md"

FRAME = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {http}
}}
"""


def documented():
    """The nginx configuration of the documentation, but for its TLS and its redirect to that."""
    text = re.search(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]
    text, count = re.subn(r"server \{[^{}]*return 308 [^{}]*\}\n", "", text)
    assert count == 1
    text = re.sub(r"    ssl_certificate.*\n", "", text)
    assert "listen 443 ssl http2;" in text
    return text.replace("listen 443 ssl http2;", "listen 80;")


ALL_FIELDS = """
        proxy_set_header X-Forwarded-Host   $http_host;
        proxy_set_header X-Forwarded-Port   8443;
        proxy_set_header X-Forwarded-Prefix /shop;
"""


def nginx(tmp_path, upstream, *, tls=None, more=""):
    port = held_port()
    http = documented().replace("unix:/run/shop/shop.sock", upstream)
    http = http.replace("proxy_http_version 1.1;", f"proxy_http_version 1.1; {more}")
    http = http.replace("listen 80;", f"listen 127.0.0.1:{port};")
    if tls is not None:
        certificate = "ssl_certificate {}; ssl_certificate_key {};".format(*tls)
        http = http.replace(f"{port};", f"{port} ssl; {certificate}")
    config = tmp_path / "nginx.conf"
    config.write_text(FRAME.format(directory=tmp_path, http=http))
    command = [program("nginx"), "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]
    return Proxy(command, port, tmp_path / "nginx.log")


@pytest.fixture(params=["tcp", "unix"])
async def upstream(request, serve, tmp_path):
    """The address of a server, as nginx writes it."""
    program("nginx")
    if request.param == "unix":
        path = tmp_path / "app.sock"
        await serve(echo, uds=str(path))
        return f"unix:{path}"
    server = await serve(echo)
    return f"127.0.0.1:{server.listeners[0].port}"


async def test_request(upstream, tmp_path):
    async with nginx(tmp_path, upstream) as proxy, httpx.AsyncClient() as client:
        spoofed = {
            "Host": "example.com",
            "X-Forwarded-For": "6.6.6.6",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Port": "1",
            "X-Forwarded-Prefix": "/evil",
            "Forwarded": "for=6.6.6.6",
        }
        answer = await client.get(f"http://127.0.0.1:{proxy.port}/a%2Fb?c", headers=spoofed)
    told = answer.json()
    assert told["client"] == ["127.0.0.1", 0]
    assert told["scheme"] == "http"
    assert told["host"] == "example.com"
    assert told["server"][0] != "evil.example"
    assert told["server"][1] != 1
    assert (told["root_path"], told["path"], told["raw_path"]) == ("", "/a/b", "/a%2Fb")


async def test_all_fields(serve, tmp_path):
    program("nginx")
    server = await serve(echo, forwarded_fields="for,proto,host,port,prefix")
    upstream = f"127.0.0.1:{server.listeners[0].port}"
    async with (
        nginx(tmp_path, upstream, more=ALL_FIELDS) as proxy,
        httpx.AsyncClient() as client,
    ):
        spoofed = {
            "Host": "example.com",
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Port": "1",
            "X-Forwarded-Prefix": "/evil",
        }
        answer = await client.get(f"http://127.0.0.1:{proxy.port}/a", headers=spoofed)
    told = answer.json()
    assert told["host"] == "example.com"
    assert told["server"] == ["example.com", 8443]
    assert (told["root_path"], told["path"], told["raw_path"]) == ("/shop", "/shop/a", "/a")


async def test_https(upstream, tmp_path):
    ca = Authority()
    files = ca.issue("localhost", "127.0.0.1").write(tmp_path, "nginx")
    (tmp_path / "ca.pem").write_text(ca.pem)

    context = ssl.create_default_context(cadata=ca.pem)
    async with (
        nginx(tmp_path, upstream, tls=files) as proxy,
        httpx.AsyncClient(verify=context) as client,
    ):
        answer = await client.get(f"https://127.0.0.1:{proxy.port}/")
    told = answer.json()
    assert told["scheme"] == "https"
    assert told["tls"] is False
    assert told["host"] == f"127.0.0.1:{proxy.port}"


async def test_large_bodies_and_kept_connections(upstream, tmp_path):
    async with nginx(tmp_path, upstream) as proxy, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{proxy.port}/"
        answer = await client.post(url, content=b"x" * 900_000)
        assert answer.headers["x-received"] == "900000"
        answers = await asyncio.gather(*(client.get(url) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}


async def test_websocket(upstream, tmp_path):
    async with (
        nginx(tmp_path, upstream) as proxy,
        connect(f"ws://127.0.0.1:{proxy.port}/ws") as socket,
    ):
        told = json.loads(await socket.recv())
        assert told["scheme"] == "ws"
        assert told["client"][0] == "127.0.0.1"
        await socket.send("hello")
        assert await socket.recv() == "hello"
