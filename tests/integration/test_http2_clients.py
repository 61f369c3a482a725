"""Real HTTP/2 clients on real sockets: curl, nghttp, h2load and httpx."""

import asyncio
import json
import re
import shutil
import ssl

import httpx
import pytest
from fakes import WAIT
from pki import Authority

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

START = {"type": "http.response.start", "status": 200}
LAST = {"type": "http.response.body"}


async def app(scope, receive, send):
    """Answers with what it was asked, and the body."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    told = {
        "version": scope["http_version"],
        "method": scope["method"],
        "path": scope["path"],
        "scheme": scope["scheme"],
        "fields": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "received": len(body),
    }
    answer = json.dumps(told).encode()
    if scope["path"].startswith("/size/"):
        answer = bytes(int(scope["path"].rpartition("/")[2]))
    await send({**START, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({**LAST, "body": answer})


async def run(*command):
    """What a program prints; its exit code has to be 0."""
    path = shutil.which(command[0])
    if path is None:
        pytest.skip(f"{command[0]} is not installed (apt-get install curl nghttp2-client)")
    process = await asyncio.create_subprocess_exec(
        *(path, *command[1:]), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(4 * WAIT):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return output


@pytest.fixture
async def plain(serve):
    """The address of a server without TLS."""
    return (await serve(app)).addresses[0]


@pytest.fixture
async def secure(serve, tmp_path):
    """The address of a server with TLS, and its authority."""
    ca = Authority()
    (tmp_path / "ca.pem").write_text(ca.pem)
    crt, key = ca.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    server = await serve(app, ssl_certfile=crt, ssl_keyfile=key)
    return f"https://localhost:{server.listeners[0].port}", tmp_path / "ca.pem"


async def test_curl_by_prior_knowledge(plain):
    told = json.loads(await run("curl", "-s", "--http2-prior-knowledge", f"{plain}/a%20b"))
    assert (told["version"], told["path"], told["scheme"]) == ("2", "/a b", "http")
    told = json.loads(
        await run("curl", "-s", "--http2-prior-knowledge", plain, "--data", "x" * 100_000)
    )
    assert (told["version"], told["method"], told["received"]) == ("2", "POST", 100_000)


async def test_curl_over_tls(secure):
    url, ca = secure
    told = json.loads(await run("curl", "-s", "--http2", "--cacert", str(ca), url))
    assert (told["version"], told["scheme"]) == ("2", "https")
    told = json.loads(await run("curl", "-s", "--http1.1", "--cacert", str(ca), url))
    assert told["version"] == "1.1"


async def test_an_upgrade_to_h2c_is_ignored_and_answered_over_http_1(plain):
    told = json.loads(await run("curl", "-s", "--http2", plain, "--data", "a body"))
    assert (told["version"], told["method"], told["received"]) == ("1.1", "POST", 6)


async def test_curl_sends_and_gets_much(plain, tmp_path):
    file = tmp_path / "body"
    file.write_bytes(bytes(5_000_000))
    options = ("-s", "--http2-prior-knowledge")
    upload = f"@{file}"
    told = json.loads(await run("curl", *options, "--data-binary", upload, plain))
    assert told["received"] == 5_000_000
    assert len(await run("curl", *options, f"{plain}/size/5000000")) == 5_000_000


async def test_curl_asks_for_the_head_alone(plain):
    head = await run("curl", "-s", "-I", "--http2-prior-knowledge", f"{plain}/size/1234")
    assert head.startswith(b"HTTP/2 200")
    assert b"content-length: 1234" in head


async def test_nghttp(plain):
    urls = [f"{plain}/size/{size}" for size in (0, 1, 16384, 70_000, 1_000_000)]
    output = await run("nghttp", "--null-out", "--stat", *urls)
    assert len(re.findall(rb" 200 ", output)) == len(urls)
    assert b"some requests were not processed" not in output.lower()


@pytest.mark.parametrize("streams", [1, 16, 128])
async def test_h2load(plain, streams):
    command = ("h2load", "-n", "2000", "-c", "4", "-m", str(streams), f"{plain}/")
    output = (await run(*command)).decode()
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in output
    assert "Application protocol: h2c" in output


async def test_h2load_over_tls_with_bodies(secure, tmp_path):
    url, _ = secure
    file = tmp_path / "body"
    file.write_bytes(bytes(10_240))
    command = ("h2load", "-n", "500", "-c", "4", "-m", "10", "-d", str(file), f"{url}/size/20000")
    output = (await run(*command)).decode()
    assert "500 succeeded, 0 failed, 0 errored, 0 timeout" in output
    assert "Application protocol: h2" in output


async def test_httpx(secure):
    pytest.importorskip("h2")
    url, ca = secure
    context = ssl.create_default_context(cafile=str(ca))
    async with httpx.AsyncClient(http2=True, http1=False, verify=context, base_url=url) as client:
        answers = await asyncio.gather(
            *[
                client.post(f"/{number}", content=b"x" * number)
                for number in range(0, 100_000, 5000)
            ]
        )
        for number, answer in zip(range(0, 100_000, 5000), answers, strict=True):
            assert answer.http_version == "HTTP/2"
            told = answer.json()
            assert (told["path"], told["received"]) == (f"/{number}", number)
        head = await client.head("/size/1000")
        assert (head.headers["content-length"], head.content) == ("1000", b"")
        async with client.stream("GET", "/size/3000000") as answer:
            assert sum([len(part) async for part in answer.aiter_bytes()]) == 3_000_000


async def test_httpx_sends_cookies_and_gets_them_whole(plain):
    pytest.importorskip("h2")
    cookies = {f"name{number}": "value" for number in range(20)}
    async with httpx.AsyncClient(http2=True, http1=False, cookies=cookies) as client:
        told = (await client.get(plain)).json()
    fields = [value for name, value in told["fields"] if name == "cookie"]
    assert fields == ["; ".join(f"{name}={value}" for name, value in cookies.items())]
