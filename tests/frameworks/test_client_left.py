"""A client that left is noticed, by FIN or RST, directly or through nginx, with each framework."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from pathlib import Path

import pytest
from cli_server import ROOT, Command
from ports import held_port

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "system"))
from proxies import Proxy, program  # noqa: E402

NOTICING = (
    "listening",
    "starlette",
    "base_http_middleware",
    "gzip_middleware",
    "fastapi",
    "sse_starlette",
    "litestar",
    "quart",
    "django",
)
"""They stop by themselves: they listen for `http.disconnect`."""

ONLY_SENDING = ("bare", "falcon", "falcon_sse", "blacksheep")
"""They notice when they send, or between two events: `--on-disconnect cancel` stops them."""

CANCELLING = ("quart", "django")
"""They cancel a view that has not answered yet, whatever the server thinks of half-closed."""

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn; events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream}; proxy_http_version 1.1; proxy_buffering off;
        }}
    }}
}}
"""


class Served:
    """An application of this directory, in a process of its own."""

    def __init__(self, name, folder, *flags):
        self.name = name
        target = f"waiting_apps:{name}"
        env = {"PYTHONPATH": f"{ROOT}:{HERE}"}
        options = ("--factory", "--lifespan", "off", "--port", "0", *flags)
        self.command = Command(folder, target, *options, env=env)
        (self.address,) = self.command.wait_ready()
        self.ended = 0

    def stream(self, path="/stream", address=None):
        """A client that has read the beginning of a stream."""
        client = self.command.connect(address)
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data or not data.partition(b"\r\n\r\n")[2]:
            part = client.recv(65536)
            assert part, data
            data += part
        assert data.startswith(b"HTTP/1.1 200"), data
        return client

    def wait_stopped(self, path="/stream"):
        """Wait for the end of one more stream, and for its line in the access log."""
        self.ended += 1
        self.command.wait_matches(r"^stopped$", self.ended)
        self.command.wait_matches(rf"GET {path} HTTP/1.1. 499 .*client_gone", self.ended)

    def stop(self):
        """End it; it had nothing to complain about."""
        self.command.kill()
        assert self.command.wait() == 0
        output = self.command.output
        self.command.close()
        assert "Traceback" not in output, output
        assert " ERROR " not in output, output
        assert "Waiting for" not in output, output


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    """Each application once, for all tests of it."""
    name, *flags = request.param
    served = Served(name, tmp_path_factory.mktemp(name), *flags)
    try:
        yield served
        served.stop()
    finally:
        if served.command.process.poll() is None:
            served.command.close()


def on(names, *flags):
    parameters = [pytest.param((name, *flags), id=name) for name in names]
    return pytest.mark.parametrize("server", parameters, indirect=True, scope="module")


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def half_close(client):
    client.shutdown(socket.SHUT_WR)


def read_all(client):
    data = b""
    while part := client.recv(65536):
        data += part
    return data


ALL = [(name,) for name in NOTICING] + [
    (name, "--on-disconnect", "cancel") for name in ONLY_SENDING
]


@pytest.mark.parametrize(
    "server", [pytest.param(name, id=name[0]) for name in ALL], indirect=True, scope="module"
)
class TestAStreamThatWaits:
    def test_is_stopped_by_fin(self, server):
        server.stream().close()
        server.wait_stopped()

    def test_is_stopped_by_half_a_close(self, server):
        """The same to TCP; who still reads sees that it is not whole."""
        with server.stream() as client:
            half_close(client)
            server.wait_stopped()
            assert not read_all(client).endswith(b"0\r\n\r\n")

    def test_is_stopped_by_rst(self, server):
        reset(server.stream())
        server.wait_stopped()

    async def test_is_stopped_through_nginx(self, server, tmp_path):
        port = held_port()
        config = tmp_path / "nginx.conf"
        config.write_text(NGINX.format(folder=tmp_path, port=port, upstream=server.address))
        command = [program("nginx"), "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]
        async with Proxy(command, port, tmp_path / "nginx.log"):
            client = await asyncio.to_thread(server.stream, address=f"http://127.0.0.1:{port}")
            client.close()
            await asyncio.to_thread(server.wait_stopped)

    def test_leaves_the_others_alone(self, server):
        """A client that stays has its stream, and a slow answer comes to one that only listens."""
        with server.stream() as stays, server.command.connect() as client:
            client.sendall(b"GET /slow/0.2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            half_close(client)
            assert read_all(client).endswith(b"at last")
            stays.setblocking(False)
            with pytest.raises(BlockingIOError):
                stays.recv(1)
        server.wait_stopped()

    def test_a_plain_answer_comes_to_who_listens_for_long(self, server):
        with server.command.connect() as client:
            client.sendall(b"GET /slow/2.2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            half_close(client)
            answer = read_all(client)
        if server.name in CANCELLING:
            assert b"at last" not in answer
        else:
            assert answer.endswith(b"at last")


@on(ONLY_SENDING)
def test_who_only_sends_is_stopped_by_rst_when_it_sends(server):
    """Without ``--on-disconnect cancel`` it waits on; the end of the server ends it."""
    server.stream().close()
    with server.command.connect() as client:
        client.sendall(b"GET /slow/1.2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert read_all(client).endswith(b"at last")
    assert "stopped" not in server.command.output


def test_a_streaming_response_of_fastapi(tmp_path):
    server = Served("fastapi", tmp_path)
    try:
        server.stream("/chunks").close()
        server.wait_stopped("/chunks")
        server.stop()
    finally:
        if server.command.process.poll() is None:
            server.command.close()
