"""``--static`` over real sockets, on both event loops, plain and under TLS."""

from __future__ import annotations

import asyncio
import os
import ssl

import httpx
import pytest
from fakes import until
from pki import Authority

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

LARGE = bytes(range(256)) * 16384  # 4 MiB
SCRIPT = b"console.log('\xc3\xa9')\n" * 100


@pytest.fixture(scope="module")
def ca():
    return Authority()


@pytest.fixture
def public(tmp_path):
    public = tmp_path / "public"
    (public / "docs").mkdir(parents=True)
    (public / "docs/index.html").write_text("<h1>docs</h1>")
    (public / "video.mp4").write_bytes(LARGE)
    (public / "app.js").write_bytes(SCRIPT)
    (public / "app.js.br").write_bytes(b"brotli")
    (public / ".env").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    (public / "link").symlink_to(tmp_path / "secret")
    return public


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"application"})


@pytest.fixture(params=["plain", "tls"])
async def site(request, serve, public, ca, tmp_path):
    """A client of a server with ``--static /assets=public``."""
    options, verify = {}, True
    if request.param == "tls":
        crt, key = ca.issue("localhost", "127.0.0.1").write(tmp_path, "server")
        options = {"ssl_certfile": crt, "ssl_keyfile": key}
        verify = ssl.create_default_context(cadata=ca.pem)
    server = await serve(application, static=(f"/assets={public}",), **options)
    base = server.addresses[0]
    async with httpx.AsyncClient(base_url=base, verify=verify, trust_env=False) as client:
        yield client
        assert server.context.stats.connections == 1  # whatever was asked for, it stayed open


async def test_as_a_browser_uses_it(site):
    video = await site.get("/assets/video.mp4")
    assert video.content == LARGE
    assert video.headers["content-type"] == "video/mp4"
    assert "transfer-encoding" not in video.headers
    part = await site.get(
        "/assets/video.mp4",
        headers={"range": "bytes=1000000-1999999", "if-range": video.headers["etag"]},
    )
    assert (part.status_code, part.content) == (206, LARGE[1_000_000:2_000_000])
    again = await site.get("/assets/video.mp4", headers={"if-none-match": video.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await site.get("/")).content == b"application"


async def test_several_ranges(site):
    ranges = [(0, 99_999), (4_000_000, 4_099_999), (200_000, 200_009)]
    wanted = "bytes=" + ",".join(f"{first}-{last}" for first, last in ranges)
    reply = await site.get("/assets/video.mp4", headers={"range": wanted})
    boundary = reply.headers["content-type"].partition("boundary=")[2].encode()
    assert reply.headers["content-length"] == str(len(reply.content))
    pieces = reply.content.split(b"--" + boundary)
    assert (pieces[0], pieces[-1]) == (b"", b"--\r\n")
    for (first, last), piece in zip(ranges, pieces[1:-1], strict=True):
        head, _, body = piece.partition(b"\r\n\r\n")
        assert b"content-range: bytes %d-%d/%d" % (first, last, len(LARGE)) in head
        assert body.removesuffix(b"\r\n") == LARGE[first : last + 1]


async def test_the_precompressed_form(site):
    plain = await site.get("/assets/app.js", headers={"accept-encoding": "identity"})
    assert plain.content == SCRIPT
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    async with site.stream(
        "GET", "/assets/app.js", headers={"accept-encoding": "gzip, br"}
    ) as reply:
        assert reply.headers["content-encoding"] == "br"
        assert b"".join([part async for part in reply.aiter_raw()]) == b"brotli"
    assert plain.headers["vary"] == reply.headers["vary"] == "accept-encoding"
    assert plain.headers["etag"] != reply.headers["etag"]


async def test_index_redirect_and_methods(site):
    moved = await site.get("/assets/docs?x=1")
    assert (moved.status_code, moved.headers["location"]) == (301, "/assets/docs/?x=1")
    assert (await site.get(moved.headers["location"])).text == "<h1>docs</h1>"
    head = await site.head("/assets/video.mp4")
    assert (head.headers["content-length"], head.content) == (str(len(LARGE)), b"")
    assert (await site.post("/assets/app.js", content=b"x" * 1000)).status_code == 405
    assert (await site.head("/assets/none")).status_code == 404


@pytest.mark.parametrize(
    "target",
    [
        b"/assets/../secret",
        b"/assets/%2e%2e/secret",
        b"/assets/%2e%2e%2fsecret",
        b"/assets/..%2f..%2f..%2f..%2fetc/passwd",
        b"/assets/..%5csecret",
        b"/assets/docs/%2e%2e/%2e%2e/secret",
        b"/assets//etc/passwd",
        b"/assets/%2fetc/passwd",
        b"/assets/.env",
        b"/assets/%2eenv",
        b"/assets/link",
        b"/assets/app.js%00.txt",
        b"/assets/%ff%fe",
        b"http://a/assets/../secret",
    ],
)
async def test_no_way_out(serve, dial, public, target):
    peer = await dial(await serve(application, static=(f"/assets={public}",)))
    await peer.get(target)
    reply = await peer.reply()
    assert (reply.status, reply.body) == (404, b"Not Found")


async def test_a_client_that_leaves_leaves_nothing_open(serve, dial, public, caplog):
    (public / "huge").write_bytes(b"")
    os.truncate(public / "huge", 1 << 30)
    server = await serve(application, static=(f"/assets={public}",))
    before = len(os.listdir("/dev/fd"))
    peers = [await dial(server, read_buffer=4096) for _ in range(3)]
    for peer in peers:
        await peer.get(b"/assets/huge")
    await until(lambda: [c for c in server.context.connections if c.output.write_paused][2:])
    for peer in peers:
        peer.reset()
    await until(lambda: not server.context.connections and not server.context.running)
    await asyncio.gather(*[peer.close() for peer in peers])
    await until(lambda: len(os.listdir("/dev/fd")) <= before)
    assert "Exception" not in caplog.text
