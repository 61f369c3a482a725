"""Every key of the `http` scope (ASGI www 2.3) with its exact type, on every wire."""

import asyncio
import contextvars
import copy
import socket
from collections.abc import Mapping

import pytest
from fakes import turns


class Recorder:
    """An application that keeps its scope and answers."""

    def __init__(self):
        self.scope = None

    async def __call__(self, scope, receive, send):
        self.scope = scope
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})


async def scope_of(wire, *args, **options):
    app = Recorder()
    stream = wire.request(app, *args, **options)
    assert (await stream.reply()).status == 200
    return app.scope


async def test_every_key_with_its_type(wire):
    scope = await scope_of(
        wire, "GET", "/a%20b%2Fc?q=%C3%A9&x", [(b"x-two", b"1"), (b"x-one", b"2")]
    )
    assert type(scope) is dict
    extensions = scope.pop("extensions")
    headers = scope.pop("headers")
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": wire.http_version,
        "method": "GET",
        "scheme": "http",
        "path": "/a b/c",
        "raw_path": b"/a%20b%2Fc",
        "query_string": b"q=%C3%A9&x",
        "root_path": "",
        "client": ("192.0.2.7", 50123),
        "server": ("192.0.2.1", 8000),
    }
    types = {key: type(value) for key, value in scope.items()}
    assert types == {
        "type": str,
        "asgi": dict,
        "http_version": str,
        "method": str,
        "scheme": str,
        "path": str,
        "raw_path": bytes,
        "query_string": bytes,
        "root_path": str,
        "client": tuple,
        "server": tuple,
    }
    assert [type(part) for part in scope["client"] + scope["server"]] == [str, int, str, int]
    assert type(headers) is list
    assert headers == [(b"host", b"example.org"), (b"x-two", b"1"), (b"x-one", b"2")]
    assert all(type(pair) is tuple for pair in headers)
    assert all(type(part) is bytes for pair in headers for part in pair)
    assert type(extensions) is dict
    assert all(isinstance(value, Mapping) for value in extensions.values())


async def test_headers_keep_order_and_duplicates_stay(wire):
    fields = [(b"x-tag", b"a=1"), (b"x-odd", b"\xe9"), (b"x-tag", b"b=2"), (b"empty", b"")]
    scope = await scope_of(wire, fields=fields)
    assert scope["headers"][1:] == [
        (b"x-tag", b"a=1"),
        (b"x-odd", b"\xe9"),
        (b"x-tag", b"b=2"),
        (b"empty", b""),
    ]


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/", "/", b"/", b""),
        ("/?", "/", b"/", b""),
        ("/?a?b", "/", b"/", b"a?b"),
        ("//x//", "//x//", b"//x//", b""),
        ("/%E4%BD%A0", "/你", b"/%E4%BD%A0", b""),
        ("/%ff", "/\ufffd", b"/%ff", b""),
        ("/a/../b", "/a/../b", b"/a/../b", b""),
        ("/%2e%00%0a", "/.\x00\n", b"/%2e%00%0a", b""),
        ("/100%", "/100%", b"/100%", b""),
        ("http://example.org/p%20q?r", "/p q", b"/p%20q", b"r"),
        ("http://example.org", "/", b"/", b""),
        ("http://example.org?r", "/", b"/", b"r"),
    ],
)
async def test_target(wire, target, path, raw_path, query):
    scope = await scope_of(wire, target=target)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


async def test_asterisk_form(wire):
    scope = await scope_of(wire, "OPTIONS", "*")
    assert (scope["path"], scope["raw_path"]) == ("*", b"*")
    scope = await scope_of(wire, "OPTIONS", "*", root_path="/api")
    assert scope["path"] == "*"


@pytest.mark.parametrize("root_path", ["/api", "/api/", "/"])
async def test_root_path_is_in_the_path_exactly_once(wire, root_path):
    prefix = root_path.rstrip("/")
    for target, path in [("/x", prefix + "/x"), ("/apix", prefix + "/apix"), ("/", prefix + "/")]:
        scope = await scope_of(wire, target=target, root_path=root_path)
        assert (scope["path"], scope["root_path"]) == (path, prefix)
        assert scope["raw_path"] == target.encode()
    if prefix:
        for target in ("/api", "/api/", "/api/x"):
            scope = await scope_of(wire, target=target, root_path=root_path)
            assert (scope["path"], scope["root_path"]) == (target, "/api")


async def test_no_request_header_sets_the_root_path(wire):
    fields = [(b"daphne-root-path", b"/evil"), (b"x-forwarded-prefix", b"/evil")]
    scope = await scope_of(wire, fields=fields)
    assert (scope["root_path"], scope["path"]) == ("", "/")


async def test_ipv6_addresses_are_pairs(wire):
    extra = {"peername": ("::1", 5, 0, 0), "sockname": ("::1", 80, 0, 0)}
    scope = await scope_of(wire, extra=extra)
    assert (scope["client"], scope["server"]) == (("::1", 5), ("::1", 80))


async def test_unix_socket(wire):
    class UnixSocket:
        family = socket.AF_UNIX

    extra = {"socket": UnixSocket(), "sockname": "/run/app.sock", "peername": ""}
    scope = await scope_of(wire, extra=extra)
    assert (scope["client"], scope["server"]) == (None, ("/run/app.sock", None))


async def test_a_client_that_is_gone_already_has_no_address(wire):
    scope = await scope_of(wire, extra={"peername": None})
    assert scope["client"] is None


async def test_state_is_a_shallow_copy_for_each_request(wire):
    shared = {"pool": object()}

    def setup(context):
        context.state = shared

    first = await scope_of(wire, setup=setup)
    first["state"]["mine"] = 1
    second = await scope_of(wire, setup=setup)
    assert second["state"] == shared
    assert second["state"]["pool"] is shared["pool"]
    assert "mine" not in shared


async def test_no_state_without_lifespan(wire):
    assert "state" not in await scope_of(wire)


CHANGES = (
    lambda value: value.update(mode="cancel"),
    lambda value: value.__setitem__("mode", "cancel"),
    lambda value: value.__delitem__("mode"),
    lambda value: value.__ior__({"mode": "cancel"}),
    lambda value: value.setdefault("mode", "cancel"),
    lambda value: value.pop("mode"),
    lambda value: value.popitem(),
    lambda value: value.clear(),
)


async def test_nothing_mutable_is_shared_between_requests(wire):
    first, second = await scope_of(wire), await scope_of(wire)
    for key in ("asgi", "headers", "extensions"):
        assert first[key] is not second[key]
    for extension in first["extensions"].values():
        for change in CHANGES:
            with pytest.raises(TypeError, match="put a new dict in its place"):
                change(extension)


async def test_a_scope_can_be_copied(wire):
    scope = await scope_of(wire)
    for copied in (copy.copy(scope), copy.deepcopy(scope)):
        assert copied == scope
    extensions = copy.deepcopy(scope)["extensions"]
    extensions["asgiserver.on_disconnect"]["mode"] = "cancel"
    assert (await scope_of(wire))["extensions"]["asgiserver.on_disconnect"]["mode"] == "notify"


async def test_shutdown_extension(wire):
    heard = []

    async def app(scope, receive, send):
        notice = scope["extensions"]["asgiserver.shutdown"]
        assert not notice["is_set"]()
        first = asyncio.create_task(notice["wait"]())
        await notice["wait"]()
        await first
        assert notice["is_set"]()
        heard.append("shutdown")
        await notice["wait"]()  # at once
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    stream = wire.request(app)
    await turns()
    assert not heard
    stream.context.shutdown.give()
    assert (await stream.reply()).status == 200
    assert heard == ["shutdown"]


async def test_requests_run_in_copies_of_the_base_context(wire):
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    def setup(context):
        context.base_context.run(variable.set, "lifespan")

    async def app(scope, receive, send):
        seen.append(variable.get())
        variable.set("leak")
        await Recorder()(scope, receive, send)

    variable.set("caller")
    stream = wire.request(app, setup=setup)
    await stream.reply()
    assert stream.context.base_context[variable] == "lifespan"
    assert seen == ["lifespan"]
    assert variable.get() == "caller"
