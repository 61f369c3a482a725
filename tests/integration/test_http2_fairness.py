"""A large download does not hold up a small answer on the same connection."""

import asyncio
import socket

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from fakes import WAIT, until

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

MUCH = 2**30
HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "x")]


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    if scope["path"] == "/small":
        await send({"type": "http.response.body", "body": b"small"})
        return
    part = bytes(1_000_000)
    while True:
        await send({"type": "http.response.body", "body": part, "more_body": True})


class Client:
    """Reads what it wants, when it wants, through a socket that keeps little."""

    def __init__(self, port):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.sock.connect(("127.0.0.1", port))
        self.sock.settimeout(WAIT)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: MUCH})
        self.h2.increment_flow_control_window(MUCH)

    def request(self, path):
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, [*HEAD, (":path", path)], end_stream=True)
        self.sock.sendall(self.h2.data_to_send())
        return number

    def read_until_end_of(self, number):
        """The bytes of other streams that came before the end of this one."""
        others = 0
        while True:
            for event in self.h2.receive_data(self.sock.recv(65536)):
                if isinstance(event, h2.events.DataReceived) and event.stream_id != number:
                    others += len(event.data)
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id == number:
                    return others

    def fill(self, size):
        """Read `size` bytes, so that the connection has got up speed."""
        while size > 0:
            data = self.sock.recv(65536)
            self.h2.receive_data(data)
            size -= len(data)


async def test_a_small_answer_overtakes_a_large_download(serve):
    server = await serve(app)
    client = await asyncio.to_thread(Client, server.listeners[0].port)
    try:
        client.request("/large")
        await asyncio.to_thread(client.fill, 8_000_000)
        (connection,) = server.context.connections
        await until(lambda: connection.output.write_paused)
        ahead = await asyncio.to_thread(client.read_until_end_of, client.request("/small"))
        assert ahead < 1_000_000
    finally:
        client.sock.close()
