"""Static files: what is found, what never is, and what an HTTP request gets."""

import asyncio
import os
import threading

import pytest
from fakes import WAIT

from asgiserver import Config, ConfigError
from asgiserver.server.application import load
from asgiserver.static import lookup as static_lookup
from asgiserver.static.app import StaticFiles
from asgiserver.static.lookup import INDEX, StaticFile, find, media_type

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LARGE = bytes(range(256)) * 512  # more than is read at once


@pytest.fixture
def root(tmp_path):
    """A directory to serve, beside something that must never be."""
    root = tmp_path / "public"
    for name, content in {
        "a.txt": b"0123456789",
        "app.js": b"plain",
        "app.js.br": b"brotli",
        "app.js.gz": b"gzip!",
        "style.css": b"css",
        "style.css.gz": b"css-gz",
        "large.bin": LARGE,
        "empty": b"",
        "docs/index.html": b"<h1>docs</h1>",
        "docs/page one.html": b"page",
        "docs/none/file": b"",
        ".env": b"secret",
        ".git/config": b"secret",
        "index.html": b"home",
        "..data/real.txt": b"mounted",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (784111777, 784111777))
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "public-too").mkdir()
    (tmp_path / "public-too/secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "out-dir").symlink_to(tmp_path / "public-too")
    (root / "etc").symlink_to("/etc")
    (root / "in.txt").symlink_to("a.txt")
    (root / "mounted.txt").symlink_to("..data/real.txt")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    return root


class Answer:
    def __init__(self):
        self.status = 0
        self.fields = {}
        self.body = b""
        self.events = []
        self.done = False

    async def send(self, message):
        assert not self.done
        self.events.append(message["type"])
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.fields = {name.decode(): value.decode() for name, value in message["headers"]}
            assert len(self.fields) == len(message["headers"])
            return
        if message["type"] == "http.response.zerocopysend":
            fd = message["file"].fileno()
            self.body += os.pread(fd, message["count"], message["offset"])
        else:
            self.body += message.get("body", b"")
        self.done = not message.get("more_body", False)


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture
def ask(root):
    """``await ask(path, **request fields)``: what ``/assets`` answers."""

    async def ask(path, method="GET", *, routes=None, root_path="", query=b"", **fields):
        app = StaticFiles(application, routes or [f"/assets={root}"])
        answer = Answer()
        scope = {
            "type": "http",
            "method": method,
            "path": root_path + path,
            "root_path": root_path,
            "query_string": query,
            "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()
            ],
        }
        before = len(os.listdir("/dev/fd"))
        await app(scope, None, answer.send)
        assert len(os.listdir("/dev/fd")) == before
        assert answer.done
        if answer.status < 299 and method == "GET":
            assert answer.fields["content-length"] == str(len(answer.body))
        return answer

    return ask


class TestFinding:
    @pytest.mark.parametrize(
        ("path", "content"),
        [
            ("a.txt", b"0123456789"),
            ("docs/page one.html", b"page"),
            ("docs/", b"<h1>docs</h1>"),
            ("", b"home"),
            ("in.txt", b"0123456789"),
            ("mounted.txt", b"mounted"),
            ("empty", b""),
        ],
    )
    def test_found(self, root, path, content):
        file = find(str(root), path.split("/"), None)
        assert isinstance(file, StaticFile)
        assert (file.data, file.fd) == (content, -1)

    @pytest.mark.parametrize(
        "path",
        [
            "none",
            "none/",
            "none/a.txt",
            "a.txt/",
            "a.txt/b",
            "docs/none/",
            "/a.txt",
            "docs//index.html",
            "../secret",
            "docs/../../secret",
            "./a.txt",
            "..",
            "../",
            ".",
            ".env",
            ".git/config",
            "..data/real.txt",
            "out",
            "out-dir/secret",
            "out-dir/",
            "out-dir",
            "../public-too/secret",
            "etc/passwd",
            "etc/",
            "loop",
            "dangling",
            "pipe",
            "a.txt\0",
            "\0",
            "\udcff",
            "x" * 300,
            "/".join(["x"] * 3000),
        ],
    )
    def test_never_found(self, root, path):
        assert find(str(root), path.split("/"), None) == 404

    def test_a_directory_wants_its_slash(self, root):
        assert find(str(root), ["docs"], None) == 301
        assert find(str(root), [], None) == 301

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_unreadable(self, root):
        (root / "a.txt").chmod(0)
        assert find(str(root), ["a.txt"], None) == 403

    def test_unreadable_whoever_asks(self, root, monkeypatch):
        def refuse(*args):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(static_lookup.os, "open", refuse)
        assert find(str(root), ["a.txt"], None) == 403

    def test_trouble_of_the_machine_is_an_error(self, root, monkeypatch):
        def fail(*args):
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(static_lookup.os, "open", fail)
        with pytest.raises(OSError, match="Too many"):
            find(str(root), ["a.txt"], None)

    def test_a_root_that_is_a_moved_link(self, root, tmp_path):
        (tmp_path / "current").symlink_to(root)
        assert find(str(tmp_path / "current"), ["a.txt"], None).data == b"0123456789"
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to(root / "docs")
        assert find(str(tmp_path / "current"), [INDEX], None).data == b"<h1>docs</h1>"

    def test_the_whole_machine(self):
        file = find("/", ["etc", "passwd"], None)
        assert isinstance(file, StaticFile)
        file.close()

    def test_a_large_file_is_open(self, root):
        file = find(str(root), ["large.bin"], None)
        assert (file.data, file.size) == (None, len(LARGE))
        assert os.pread(file.fileno(), 4, 4) == LARGE[4:8]
        file.close()
        file.close()

    def test_tags_differ_by_content_and_coding(self, root):
        tags = {find(str(root), [name], b"br, gzip").etag for name in ("app.js", "style.css")}
        tags |= {find(str(root), [name], None).etag for name in ("app.js", "style.css", "a.txt")}
        assert len(tags) == 5

    def test_compressed_siblings_must_be_files_below_the_root(self, root, tmp_path):
        (root / "a.txt.gz").symlink_to(tmp_path / "secret")
        (root / "a.txt.br").mkdir()
        file = find(str(root), ["a.txt"], b"br, gzip")
        assert (file.data, file.coding, file.varies) == (b"0123456789", b"", False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.html", b"text/html; charset=utf-8"),
        ("a.css", b"text/css; charset=utf-8"),
        ("a.js", b"text/javascript; charset=utf-8"),
        ("a.mjs", b"text/javascript; charset=utf-8"),
        ("A.JS", b"text/javascript; charset=utf-8"),
        ("a.min.js", b"text/javascript; charset=utf-8"),
        ("a.txt", b"text/plain; charset=utf-8"),
        ("a.wasm", b"application/wasm"),
        ("a.json", b"application/json"),
        ("a.js.map", b"application/json"),
        ("a.webmanifest", b"application/manifest+json"),
        ("a.woff2", b"font/woff2"),
        ("a.svg", b"image/svg+xml"),
        ("a.webp", b"image/webp"),
        ("a.avif", b"image/avif"),
        ("a.ico", b"image/x-icon"),
        ("a.tar.gz", b"application/gzip"),
        ("a.unknown", b"application/octet-stream"),
        ("js", b"application/octet-stream"),
        ("", b"application/octet-stream"),
    ],
)
def test_media_type(name, expected):
    assert media_type(name) == expected


class TestAnswers:
    async def test_a_file(self, ask):
        answer = await ask("/assets/a.txt")
        assert (answer.status, answer.body) == (200, b"0123456789")
        assert answer.fields == {
            "etag": f'"{784111777 * 10**9:x}-a"',
            "last-modified": DATE,
            "accept-ranges": "bytes",
            "content-type": "text/plain; charset=utf-8",
            "content-length": "10",
        }

    async def test_a_large_file_goes_by_zerocopysend(self, ask):
        answer = await ask("/assets/large.bin")
        assert answer.body == LARGE
        assert answer.events == ["http.response.start", "http.response.zerocopysend"]

    @pytest.mark.parametrize("name", ["a.txt", "large.bin"])
    async def test_head(self, ask, name):
        got = await ask(f"/assets/{name}")
        head = await ask(f"/assets/{name}", "HEAD", range="bytes=0-1")
        assert (head.status, head.body, head.fields) == (200, b"", got.fields)

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
    async def test_other_methods(self, ask, method):
        answer = await ask("/assets/a.txt", method)
        assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD")

    @pytest.mark.parametrize("path", ["/assets/none", "/assets/.env", "/assets/docs/none/"])
    async def test_not_found(self, ask, path):
        answer = await ask(path)
        assert (answer.status, answer.body) == (404, b"Not Found")

    async def test_head_of_nothing_has_no_body_on_the_wire(self, ask):
        assert (await ask("/assets/none", "HEAD")).status == 404

    @pytest.mark.parametrize(
        ("path", "query", "location"),
        [
            ("/assets/docs", b"", "/assets/docs/"),
            ("/assets/docs", b"a=1&b=%2F", "/assets/docs/?a=1&b=%2F"),
            ("/assets", b"", "/assets/"),
        ],
    )
    async def test_a_directory_is_redirected(self, ask, path, query, location):
        answer = await ask(path, query=query)
        assert (answer.status, answer.fields["location"]) == (301, location)

    async def test_redirection_keeps_the_prefix_of_the_proxy_and_quotes(self, ask, root):
        (root / "ä b\r").mkdir()
        answer = await ask("/assets/ä b\r", root_path="/api")
        assert answer.fields["location"] == "/api/assets/%C3%A4%20b%0D/"

    @pytest.mark.parametrize(
        "path", ["/", "/asset", "/assetsx", "/assets.txt", "/other", "//assets/a.txt"]
    )
    async def test_everything_else_is_the_applications(self, ask, path):
        answer = await ask(path)
        assert (answer.status, answer.body) == (299, path.encode())

    async def test_other_protocols_pass(self, root):
        scopes = []

        async def app(scope, receive, send):
            scopes.append(scope["type"])

        layer = StaticFiles(app, [f"/={root}"])
        for kind in ("lifespan", "websocket"):
            await layer({"type": kind, "path": "/a.txt", "root_path": ""}, None, None)
        assert scopes == ["lifespan", "websocket"]

    async def test_a_root_path(self, ask):
        assert (await ask("/assets/a.txt", root_path="/api")).status == 200

    async def test_the_longest_route_is_taken(self, ask, root):
        routes = [f"/a={root}", f"/a/b={root / 'docs'}", "/.well-known=" + str(root)]
        assert (await ask("/a/a.txt", routes=routes)).body == b"0123456789"
        assert (await ask("/a/b/", routes=routes)).body == b"<h1>docs</h1>"
        assert (await ask("/a/bc", routes=routes)).status == 404
        assert (await ask("/.well-known/a.txt", routes=routes)).body == b"0123456789"

    @pytest.mark.parametrize(
        ("method", "path", "expected"),
        [
            ("GET", "/a.txt", b"0123456789"),
            ("GET", "/", b"home"),
            ("GET", "/api/users", b"/api/users"),
            ("POST", "/a.txt", b"/a.txt"),
            ("GET", "/.env", b"/.env"),
            ("GET", "//evil.example/..", b"//evil.example/.."),
            ("GET", "//docs", b"//docs"),
        ],
    )
    async def test_at_the_top_the_application_has_the_rest(self, ask, root, method, path, expected):
        assert (await ask(path, method, routes=[f"/={root}"])).body == expected

    async def test_cancelled_meanwhile_nothing_stays_open(self, root, monkeypatch):
        go, looking = threading.Event(), threading.Event()
        real = static_lookup.find

        def slow(*args):
            looking.set()
            assert go.wait(WAIT)
            return real(*args)

        monkeypatch.setattr("asgiserver.static.app.find", slow)
        before = len(os.listdir("/dev/fd"))
        scope = {"type": "http", "method": "GET", "path": "/large.bin", "root_path": ""}
        layer = StaticFiles(application, [f"/={root}"])
        task = asyncio.create_task(layer({**scope, "headers": []}, None, None))
        await asyncio.to_thread(looking.wait, WAIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        await asyncio.get_running_loop().shutdown_default_executor()
        assert len(os.listdir("/dev/fd")) == before


class TestConditions:
    async def test_not_modified(self, ask):
        etag = (await ask("/assets/app.js")).fields["etag"]
        for fields in ({"if_none_match": f'"x", W/{etag}'}, {"if_modified_since": DATE}):
            for method in ("GET", "HEAD"):
                answer = await ask("/assets/app.js", method, **fields)
                assert (answer.status, answer.body) == (304, b"")
                assert answer.fields["etag"] == etag
                assert answer.fields["vary"] == "accept-encoding"
                assert "content-length" not in answer.fields

    async def test_precondition_failed(self, ask):
        assert (await ask("/assets/a.txt", if_match='"x"')).status == 412
        old = "Sun, 06 Nov 1994 08:49:36 GMT"
        assert (await ask("/assets/a.txt", if_unmodified_since=old)).status == 412

    async def test_several_lines_are_one_list(self, root):
        tag = find(str(root), ["a.txt"], None).etag
        answer = Answer()
        headers = [(b"if-none-match", b'"x"'), (b"if-none-match", tag)]
        scope = {"type": "http", "method": "GET", "path": "/a.txt", "root_path": ""}
        await StaticFiles(application, [f"/={root}"])(
            {**scope, "headers": headers}, None, answer.send
        )
        assert answer.status == 304


class TestRanges:
    async def test_single(self, ask):
        answer = await ask("/assets/a.txt", range="bytes=2-4")
        assert (answer.status, answer.body) == (206, b"234")
        assert answer.fields["content-range"] == "bytes 2-4/10"

    async def test_single_of_a_large_file(self, ask):
        answer = await ask("/assets/large.bin", range="bytes=-70000")
        assert (answer.status, answer.body) == (206, LARGE[-70000:])
        assert answer.events[1:] == ["http.response.zerocopysend"]

    @pytest.mark.parametrize(
        ("name", "content", "media"),
        [
            ("a.txt", b"0123456789", "text/plain; charset=utf-8"),
            ("large.bin", LARGE, "application/octet-stream"),
        ],
    )
    async def test_multiple(self, ask, name, content, media):
        answer = await ask(f"/assets/{name}", range="bytes=5-6, 0-1,-1")
        kind, _, boundary = answer.fields["content-type"].partition("; boundary=")
        assert (answer.status, kind) == (206, "multipart/byteranges")
        assert "content-range" not in answer.fields
        size = len(content)
        expected = ""
        for first, last in ((5, 6), (0, 1), (size - 1, size - 1)):
            expected += f"\r\n--{boundary}\r\ncontent-type: {media}\r\n"
            expected += f"content-range: bytes {first}-{last}/{size}\r\n\r\n"
            expected += content[first : last + 1].decode("latin-1")
        expected += f"\r\n--{boundary}--\r\n"
        assert answer.body == expected.removeprefix("\r\n").encode("latin-1")

    async def test_unsatisfiable(self, ask):
        answer = await ask("/assets/a.txt", range="bytes=10-")
        assert (answer.status, answer.fields["content-range"]) == (416, "bytes */10")

    @pytest.mark.parametrize("value", ["lines=0-1", "bytes=9-0", "bytes=0-,0-", "x"])
    async def test_ignored(self, ask, value):
        answer = await ask("/assets/a.txt", range=value)
        assert (answer.status, answer.body) == (200, b"0123456789")

    async def test_if_range(self, ask):
        etag = (await ask("/assets/a.txt")).fields["etag"]
        for if_range, status in ((etag, 206), (DATE, 206), ('"x"', 200), ("W/" + etag, 200)):
            answer = await ask("/assets/a.txt", range="bytes=0-0", if_range=if_range)
            assert answer.status == status

    async def test_a_condition_that_fails_comes_first(self, ask):
        answer = await ask("/assets/a.txt", range="bytes=0-0", if_modified_since=DATE)
        assert answer.status == 304


class TestCodings:
    @pytest.mark.parametrize(
        ("path", "accept", "coding", "body"),
        [
            ("app.js", "gzip, br", "br", b"brotli"),
            ("app.js", "gzip, br;q=0.1", "gzip", b"gzip!"),
            ("app.js", "", None, b"plain"),
            ("app.js", "identity, br;q=0.5", None, b"plain"),
            ("style.css", "gzip, br", "gzip", b"css-gz"),
            ("style.css", "br", None, b"css"),
        ],
    )
    async def test_precompressed(self, ask, path, accept, coding, body):
        answer = await ask("/assets/" + path, accept_encoding=accept)
        assert answer.fields.get("content-encoding") == coding
        assert answer.body == body
        assert answer.fields["vary"] == "accept-encoding"
        assert answer.fields["content-type"].startswith("text/")

    async def test_without_siblings_nothing_varies(self, ask):
        answer = await ask("/assets/a.txt", accept_encoding="gzip, br")
        assert not {"vary", "content-encoding"} & answer.fields.keys()

    async def test_asked_for_by_name(self, ask):
        answer = await ask("/assets/style.css.gz", accept_encoding="gzip")
        assert answer.fields["content-type"] == "application/gzip"
        assert "content-encoding" not in answer.fields

    async def test_ranges_are_of_the_coded_form(self, ask):
        answer = await ask("/assets/app.js", accept_encoding="br", range="bytes=0-2")
        assert (answer.status, answer.body) == (206, b"bro")
        assert answer.fields["content-encoding"] == "br"
        assert answer.fields["content-range"] == "bytes 0-2/6"


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ConfigError, match="static: '/no/dir' of '/a=/no/dir' is not a directory"):
        StaticFiles(application, ["/a=/no/dir"])


def test_the_option_puts_it_in_front(root):
    loaded = load(Config(application, static=(f"/assets={root}",)))
    assert repr(loaded) == f"<StaticFiles {{'/assets': '{root}'}}>"
    assert load(Config(application)) is application
