"""TLS over real sockets: certificates by name, renewal, client certificates, and mistakes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import ssl
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import uvloop
from cryptography.x509.oid import NameOID
from fakes import WAIT, read_reply, until
from pki import Authority, name

from asgiserver import Config, Server
from asgiserver.errors import ConfigError
from asgiserver.h1.connection import H1Connection


@pytest.fixture(scope="module")
def ca():
    return Authority()


@pytest.fixture
def files(ca, tmp_path):
    """A certificate for localhost, as options."""
    crt, key = ca.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    return {"ssl_certfile": crt, "ssl_keyfile": key}


@pytest.fixture
async def serve_tls(serve, files):
    async def serve_tls(app=None, **options):
        return await serve(app or Recorder(), **{**files, **options})

    return serve_tls


@pytest.fixture(params=["asyncio", "uvloop"])
def serve_on(request, files):
    """``serve_on(test)`` runs ``await test(server)`` on each event loop."""
    factories = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

    def serve_on(test):
        async def main():
            config = Config(Recorder(), port=0, access_log=False, lifespan="off", **files)
            server = Server(config)
            await server.start()
            try:
                await test(server)
            finally:
                await server.stop(timeout=0)

        with asyncio.Runner(loop_factory=factories[request.param]) as runner:
            runner.run(main())

    return serve_on


def tcp_port(server):
    return int(server.addresses[0].rpartition(":")[2])


GARBAGE = [
    b"",
    b"\x00" * 100,
    b"\x16\x03\x01",
    b"\x16\x03\x01\x00\x05hello",
    b"\x16\x03\x01\xff\xff" + b"a" * 20000,
    b"SSH-2.0-x\r\n",
    b"\x80\x2e\x01\x00\x02",
    b"CONNECT a:443 HTTP/1.1\r\n\r\n",
]


class Recorder:
    """Answers with what it was asked, and keeps the scopes."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body or b"hello"})

    @property
    def tls(self):
        return self.scopes[-1]["extensions"]["tls"]


def client_context(ca, *, client=None, tmp_path=None, version=None, alpn=("http/1.1",)):
    context = ssl.create_default_context(cadata=ca.pem)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if client is not None:
        context.load_cert_chain(*client.write(tmp_path, "client"))
    return context


async def get(server, ca, target="/", *, context=None, name="localhost", content=None):
    context = context or client_context(ca)
    async with httpx.AsyncClient(verify=context) as client:
        url = f"https://127.0.0.1:{tcp_port(server)}{target}"
        extensions = {"sni_hostname": name}
        if content is None:
            return await client.get(url, extensions=extensions)
        return await client.post(url, extensions=extensions, content=content)


# asyncio closes without the alert that says why.
HANDSHAKE_ERRORS = (ssl.SSLError, ConnectionError)


async def shake_hands(server, context, name="localhost"):
    """A TLS connection; the reader and the writer."""
    return await asyncio.open_connection(
        "127.0.0.1", tcp_port(server), ssl=context, server_hostname=name
    )


async def hang_up(writer):
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def shown_certificate(server, ca, name):
    context = client_context(ca)
    context.check_hostname = False
    _, writer = await shake_hands(server, context, name)
    der = writer.get_extra_info("ssl_object").getpeercert(True)
    await hang_up(writer)
    return der


async def plain(server, data):
    """What comes back for raw bytes on the socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server))
    writer.write(data)
    try:
        async with asyncio.timeout(WAIT):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        await hang_up(writer)


async def logged(caplog, text):
    await until(lambda: text in caplog.text, f"{text!r} is not in the log")


# What works -----------------------------------------------------------------------------------


async def test_https(serve_tls, ca):
    app = Recorder()
    server = await serve_tls(app)
    assert server.addresses[0].startswith("https://")
    assert (await get(server, ca, "/x?y=1")).text == "hello"
    scope = app.scopes[0]
    assert scope["scheme"] == "https"
    assert scope["server"] == ("127.0.0.1", tcp_port(server))
    assert scope["client"][0] == "127.0.0.1"
    large = os.urandom(3_000_000)
    assert (await get(server, ca, content=large)).content == large


def test_uvloop(files, ca, caplog):
    caplog.set_level(logging.INFO)
    app = Recorder()

    async def main():
        config = Config(app, port=0, lifespan="off", timeout_request_head=0.5, **files)
        async with Server(config) as server:
            large = os.urandom(3_000_000)
            assert (await get(server, ca, content=large)).content == large
            for data in GARBAGE:
                await plain(server, data)
            with pytest.raises(HANDSHAKE_ERRORS):
                await shake_hands(server, client_context(Authority()))
            _, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server))
            await hang_up(writer)
            await until(lambda: not server.context.connections)
            await until(lambda: not server._frontend.acceptors[0]._handshakes)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert app.tls["tls_version"] == 0x0304
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    assert caplog.text.count("Refused 127.0.0.1") == 1


async def test_plain_has_no_tls_extension(serve):
    app = Recorder()
    server = await serve(app)
    async with httpx.AsyncClient() as client:
        await client.get(server.addresses[0])
    assert "tls" not in app.scopes[0]["extensions"]


@pytest.mark.parametrize(
    ("version", "number", "suites"),
    [
        (ssl.TLSVersion.TLSv1_2, 0x0303, {0xC02B, 0xC02C, 0xCCA9}),
        (ssl.TLSVersion.TLSv1_3, 0x0304, {0x1301, 0x1302, 0x1303}),
    ],
)
async def test_extension(serve_tls, ca, files, version, number, suites):
    app = Recorder()
    server = await serve_tls(app)
    await get(server, ca, context=client_context(ca, version=version))
    tls = app.tls
    assert tls.pop("cipher_suite") in suites
    assert tls == {
        "server_cert": Path(files["ssl_certfile"]).read_text(),
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": number,
    }


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["http/1.1"], "http/1.1"),
        (["h2", "http/1.1"], "h2"),
        (["http/1.1", "h2"], "h2"),
        ([], None),
    ],
)
async def test_alpn(serve_tls, ca, offered, chosen):
    server = await serve_tls()
    _, writer = await shake_hands(server, client_context(ca, alpn=offered))
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
    await hang_up(writer)


async def test_old_versions_are_refused(serve_tls, ca, caplog):
    caplog.set_level(logging.INFO, "asgiserver")
    server = await serve_tls(ssl_min_version="1.3")
    context = client_context(ca, version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(HANDSHAKE_ERRORS):
        await shake_hands(server, context)
    await logged(caplog, "TLS version too old")


async def test_encrypted_key(serve_tls, ca, tmp_path):
    crt, key = ca.issue("localhost").write(tmp_path, "secret", password="s3cret")
    options = {"ssl_certfile": crt, "ssl_keyfile": key}
    server = await serve_tls(**options, ssl_keyfile_password="s3cret")
    assert (await get(server, ca)).status_code == 200


async def test_context_factory(serve_tls, ca):
    seen = []

    def factory(config, default):
        seen.append(config.port)
        context = default()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    app = Recorder()
    server = await serve_tls(app, ssl_context_factory=factory)
    await get(server, ca)
    assert seen == [0]
    assert app.tls["server_cert"].startswith("-----BEGIN CERTIFICATE-----")


async def test_unix_socket(serve_tls, ca, tmp_path):
    path = str(tmp_path / "s")
    app = Recorder()
    await serve_tls(app, uds=path)
    transport = httpx.AsyncHTTPTransport(uds=path, verify=client_context(ca))
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.get("https://localhost/")).text == "hello"
    assert app.scopes[0]["client"] is None
    assert app.tls["tls_version"] == 0x0304


# Names ----------------------------------------------------------------------------------------


async def test_certificates_by_name(serve_tls, ca, tmp_path, files):
    issued = {host: ca.issue(host) for host in ("a.example", "*.b.example", "x.b.example")}
    sni = []
    for number, (host, certificate) in enumerate(issued.items()):
        crt, key = certificate.write(tmp_path, f"sni{number}")
        sni.append(f"{host}={crt}:{key}")
    app = Recorder()
    server = await serve_tls(app, ssl_sni=sni)
    default = ssl.PEM_cert_to_DER_cert(Path(files["ssl_certfile"]).read_text())
    for host, expected in {
        "a.example": issued["a.example"].der,
        "A.Example": issued["a.example"].der,
        "y.b.example": issued["*.b.example"].der,
        "x.b.example": issued["x.b.example"].der,
        "b.example": default,
        "z.y.b.example": default,
        "other.example": default,
    }.items():
        assert await shown_certificate(server, ca, host) == expected, host
    await get(server, ca, name="a.example")
    assert app.tls["server_cert"] == issued["a.example"].pem
    assert app.tls["cipher_suite"] is not None


async def test_only_names(serve, ca, tmp_path):
    crt, key = ca.issue("a.example").write(tmp_path, "a")
    server = await serve(Recorder(), ssl_sni=[f"a.example={crt}:{key}"])
    assert (await get(server, ca, name="a.example")).status_code == 200


# Client certificates --------------------------------------------------------------------------

PERSON = name(
    (NameOID.COUNTRY_NAME, "DE"),
    (NameOID.ORGANIZATION_NAME, 'Example, "Inc."'),
    (NameOID.COMMON_NAME, "Zoë"),
)


async def test_client_certificate(serve_tls, ca, tmp_path):
    (tmp_path / "ca.pem").write_text(ca.pem)
    middle = Authority("Intermediate", ca)
    person = middle.issue(subject=PERSON, client=True)
    app = Recorder()
    server = await serve_tls(app, ssl_ca_certs=str(tmp_path / "ca.pem"), ssl_cert_reqs="required")
    await get(server, ca, context=client_context(ca, client=person, tmp_path=tmp_path))
    tls = app.tls
    assert tls["client_cert_name"] == 'CN=Zoë,O=Example\\, \\"Inc.\\",C=DE'
    assert tls["client_cert_name"] == person.certificate.subject.rfc4514_string()
    assert tls["client_cert_error"] is None
    chain = [person.pem, middle.pem] if sys.version_info >= (3, 13) else [person.pem]
    assert tls["client_cert_chain"] == chain


async def test_optional_client_certificate(serve_tls, ca, tmp_path):
    (tmp_path / "ca.pem").write_text(ca.pem)
    app = Recorder()
    server = await serve_tls(app, ssl_ca_certs=str(tmp_path / "ca.pem"), ssl_cert_reqs="optional")
    await get(server, ca)
    assert app.tls["client_cert_chain"] == []
    assert app.tls["client_cert_name"] is None
    assert app.tls["server_cert"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("none", "no client certificate"),
        ("stranger", "client certificate is not accepted"),
        ("expired", "client certificate is not accepted"),
    ],
)
async def test_wrong_client_certificate(serve_tls, ca, tmp_path, caplog, version, kind, reason):
    caplog.set_level(logging.INFO, "asgiserver")
    (tmp_path / "ca.pem").write_text(ca.pem)
    client = {
        "none": None,
        "stranger": Authority("Stranger").issue(subject=PERSON, client=True),
        "expired": ca.issue(subject=PERSON, client=True, days=-1),
    }[kind]
    app = Recorder()
    server = await serve_tls(app, ssl_ca_certs=str(tmp_path / "ca.pem"), ssl_cert_reqs="required")
    context = client_context(ca, client=client, tmp_path=tmp_path, version=version)
    with pytest.raises((httpx.TransportError, ssl.SSLError)):  # the alert that says why
        await get(server, ca, context=context)
    await logged(caplog, reason)
    assert app.scopes == []
    assert "Traceback" not in caplog.text


# Renewal --------------------------------------------------------------------------------------


async def test_reload(serve_tls, ca, files, tmp_path):
    server = await serve_tls()
    reader, writer = await shake_hands(server, client_context(ca))
    renewed = ca.issue("localhost", "127.0.0.1")
    renewed.write(tmp_path, "server")
    assert server.reload_tls()
    assert await shown_certificate(server, ca, "localhost") == renewed.der
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"hello" in await reader.read()  # what was connected stays so
    await hang_up(writer)


async def test_changed_files_are_noticed(serve_tls, ca, files, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("asgiserver.server.tls.WATCH_INTERVAL", 0.0)
    caplog.set_level(logging.INFO, "asgiserver")
    server = await serve_tls()
    renewed = ca.issue("localhost", days=3)
    renewed.write(tmp_path, "server")
    async with asyncio.timeout(WAIT):
        while "TLS certificates reloaded" not in caplog.text:
            await asyncio.sleep(0.05)
    assert await shown_certificate(server, ca, "localhost") == renewed.der
    assert "TLS certificate (default) expires in 2 days" in caplog.text


@pytest.mark.parametrize("fault", ["missing", "garbage", "mismatch", "expired", "factory"])
async def test_a_bad_renewal_changes_nothing(serve_tls, ca, files, tmp_path, caplog, fault):
    faults = []

    def factory(config, default):
        if faults:
            raise RuntimeError("no luck")
        return default()

    options = {"ssl_context_factory": factory} if fault == "factory" else {}
    server = await serve_tls(**options)
    before = await shown_certificate(server, ca, "localhost")
    match fault:
        case "missing":
            os.unlink(files["ssl_keyfile"])
        case "garbage":
            (tmp_path / "server.crt").write_text("not a certificate")
        case "mismatch":
            (tmp_path / "server.crt").write_text(ca.issue("localhost").pem)
        case "expired":
            ca.issue("localhost", days=-2).write(tmp_path, "server")
        case "factory":
            faults.append(1)
    assert not server.reload_tls()
    assert "TLS certificates are not reloaded, the old ones stay: " in caplog.text
    assert await shown_certificate(server, ca, "localhost") == before
    assert (await get(server, ca)).status_code == 200


async def test_hangup_signal(ca, files, tmp_path):
    """A process of its own, as the signal is one for all."""
    ready, app = tmp_path / "ready", tmp_path / "hangup_app.py"
    app.write_text("async def app(scope, receive, send):\n    raise RuntimeError\n")
    options = {**files, "port": "0", "app_dir": str(tmp_path), "ready_file": str(ready)}
    flags = [
        part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", value)
    ]
    command = [sys.executable, "-m", "asgiserver", "hangup_app:app", "--lifespan", "off", *flags]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(20):
            await line_with(process, "Serving on")
            await until(ready.exists)
            renewed = ca.issue("localhost")
            renewed.write(tmp_path, "server")
            process.send_signal(signal.SIGHUP)
            await line_with(process, "TLS certificates reloaded")
            server = SimpleNamespace(addresses=json.loads(ready.read_text())["addresses"])
            assert await shown_certificate(server, ca, "localhost") == renewed.der
    finally:
        process.terminate()
        _, rest = await process.communicate()
    assert process.returncode == 0, rest


async def line_with(process, text):
    while line := await process.stderr.readline():
        if text in line.decode():
            return
    raise AssertionError(f"ended without {text!r}")


# Mistakes and attacks -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HEAD / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000,
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    ],
    ids=lambda data: data[:4].decode(),
)
def test_plain_http_on_a_tls_port_is_told_so(serve_on, ca, data):
    """On both loops nothing but the answer leaves, and the server goes on."""

    async def test(server):
        answer = await plain(server, data)
        reply = read_reply(answer, eof=True)
        assert reply.status == 400
        assert b"HTTPS" in reply.body
        assert reply.value(b"connection") == b"close"
        assert reply.rest == b""
        assert (await get(server, ca)).status_code == 200
        await until(lambda: not server._frontend.acceptors[0].is_busy)

    serve_on(test)


async def test_plain_http_on_a_tls_port_without_descriptors(serve_tls, monkeypatch):
    monkeypatch.setattr("asgiserver.server.handshake.duplicate", lambda sock: None)
    server = await serve_tls()
    assert await plain(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""


async def test_plain_http_on_a_tls_port_is_logged_once(serve_tls, caplog):
    caplog.set_level(logging.INFO, "asgiserver")
    server = await serve_tls()
    for _ in range(3):
        await plain(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    reason = "plain HTTP on a TLS port; use https"
    await until(lambda: server.context.stats.refused.get(reason) == 3)
    assert caplog.text.count(reason) == 1
    assert "Refused 127.0.0.1:" in caplog.text


async def test_tls_on_a_plain_port(serve, ca, caplog):
    caplog.set_level(logging.INFO, "asgiserver")
    server = await serve(Recorder())
    with pytest.raises(HANDSHAKE_ERRORS):
        await shake_hands(server, client_context(ca))
    await logged(caplog, "TLS on a plain HTTP port")


@pytest.mark.parametrize("data", GARBAGE, ids=lambda data: repr(data[:8]))
async def test_garbage(serve_tls, ca, caplog, capfd, data):
    caplog.set_level(logging.INFO)
    server = await serve_tls()
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server))
    writer.write(data)
    if len(data) < 5 or data[0] == 0x80:
        writer.write_eof()
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(WAIT):
            await reader.read()
    await hang_up(writer)
    assert (await get(server, ca)).status_code == 200
    assert "Traceback" not in caplog.text + capfd.readouterr().err
    assert all(record.levelno < logging.WARNING for record in caplog.records)


async def test_silent_handshake_times_out(serve_tls, caplog):
    caplog.set_level(logging.INFO, "asgiserver")
    server = await serve_tls(timeout_request_head=0.2)
    assert await plain(server, b"\x16\x03\x01") == b""
    await logged(caplog, "TLS handshake timed out")


async def test_a_handshake_that_drips_times_out(serve_tls):
    server = await serve_tls(timeout_request_head=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server))
    end = asyncio.create_task(reader.read())
    writer.write(b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03")
    async with asyncio.timeout(WAIT):
        while not end.done():  # a byte now and then wins no time
            writer.write(b"a")
            await asyncio.sleep(0.02)
    with contextlib.suppress(ConnectionError):
        assert await end == b""
    await hang_up(writer)
    assert server.context.stats.refused == {"TLS handshake timed out": 1}


async def test_failed_handshakes_free_everything(serve_tls, ca):
    server = await serve_tls()
    await get(server, ca)

    def alive():
        gc.collect()
        return sum(isinstance(obj, H1Connection | ssl.SSLObject) for obj in gc.get_objects())

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    await until(lambda: not server.context.connections)
    await asyncio.sleep(0)
    objects, opened = alive(), descriptors()
    wrong = client_context(Authority())
    for _ in range(5):
        await plain(server, b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(HANDSHAKE_ERRORS):
            await shake_hands(server, wrong)
        _, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server))
        await hang_up(writer)
    del writer
    async with asyncio.timeout(WAIT):
        while descriptors() > opened or alive() > objects:
            await asyncio.sleep(0.02)
    assert not server.context.connections


async def test_stop_during_a_handshake(serve_tls):
    server = await serve_tls()
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server))
    writer.write(b"\x16\x03\x01")
    await until(lambda: server._frontend.acceptors[0]._handshakes)
    started = time.monotonic()
    await server.stop(timeout=5)
    assert time.monotonic() - started < 5
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    await hang_up(writer)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ssl_certfile": "/nowhere.crt"}, "cannot use /nowhere.crt"),
        ({"ssl_ciphers": "NONSENSE"}, "ssl_ciphers: no such cipher in 'NONSENSE'"),
        ({"ssl_ca_certs": "/nowhere.pem"}, "ssl_ca_certs: cannot use /nowhere.pem: No such file"),
        ({"ssl_context_factory": lambda config, default: None}, "must return an ssl.SSLContext"),
        ({"ssl_sni": ["a=/nowhere.crt:/nowhere.key"]}, "ssl_sni: cannot use /nowhere.crt"),
    ],
)
async def test_wrong_options(serve_tls, options, text):
    with pytest.raises(ConfigError, match=text.replace("(", r"\(")):
        await serve_tls(**options)


async def test_wrong_password(serve_tls, ca, tmp_path):
    crt, key = ca.issue("localhost").write(tmp_path, "secret", password="s3cret")
    for password in ({}, {"ssl_keyfile_password": "wrong"}):
        with pytest.raises(ConfigError, match="password"):
            await serve_tls(ssl_certfile=crt, ssl_keyfile=key, **password)


# The redirecting listener ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "target", "location"),
    [
        (b"example.com", b"/a?b=c", b"https://example.com/a?b=c"),
        (b"example.com:8080", b"/", b"https://example.com:%d/"),
        (b"[::1]:8080", b"/x", b"https://[::1]:%d/x"),
        (b"[::1]", b"//x/%2e", b"https://[::1]//x/%2e"),
    ],
)
async def test_redirect(serve_tls, dial, host, target, location):
    app = Recorder()
    server = await serve_tls(app, ssl_redirect="127.0.0.1:0")
    assert [address.partition(":")[0] for address in server.addresses] == ["https", "http"]
    client = await dial(server, address=server.addresses[1])
    await client.send(
        b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Length: 1\r\n\r\nx" % (target, host)
    )
    reply = await client.reply()
    assert reply.status == 308
    expected = location % tcp_port(server) if b"%d" in location else location
    assert reply.value(b"location") == expected
    assert reply.value(b"connection") == b"close"
    await client.ended()
    assert app.scopes == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
async def test_redirect_needs_a_host(serve_tls, dial, head):
    server = await serve_tls(ssl_redirect="127.0.0.1:0")
    client = await dial(server, address=server.addresses[1])
    await client.send(head)
    reply = await client.reply()
    assert reply.status == 400
    assert reply.value(b"location") is None


async def test_stop_with_a_silent_client_of_the_redirect(serve_tls, dial):
    server = await serve_tls(ssl_redirect="127.0.0.1:0")
    await dial(server, address=server.addresses[1])
    await until(lambda: server.context.connections)
    async with asyncio.timeout(WAIT):
        await server.stop(timeout=60)


def test_other_transports_are_refused_in_words(files):
    config = Config("a:b", tls_transport="aiofastnet", **files)
    assert config.notes == ("tls_transport=aiofastnet is not available here: auto is used",)
