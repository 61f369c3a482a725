"""A client of HTTP/2 that asks for much and reads nothing costs a process little memory."""

import resource
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from process_server import ServerProcess

STREAMS = 100
SIZE = 16 << 20  # bytes of each response
MOST = 8 << 20
"""Bytes that the process may grow by: 1 MiB of responses (docs/http2.md), the streams themselves,
and what the system's allocator likes. It is half of one response."""

APP = f"""
WHOLE = bytes({SIZE})
PART = bytes(65536)
PATH = "large"


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({{"type": "http.response.start", "status": 200}})
    if scope["path"] == "/whole":
        await send({{"type": "http.response.body", "body": WHOLE}})
    elif scope["path"] == "/file":
        await send({{"type": "http.response.pathsend", "path": PATH}})
    elif scope["path"] == "/small":
        await send({{"type": "http.response.body", "body": PART}})
    else:
        for _ in range({SIZE} // 65536):
            await send({{"type": "http.response.body", "body": PART, "more_body": True}})
        await send({{"type": "http.response.body"}})
"""


class Client:
    """A connection whose streams have no window until `widen` gives them one."""

    def __init__(self, server):
        config = h2.config.H2Configuration(header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self.socket = server.open_socket()
        self.heads = set()  # of the streams whose head has come
        self.bodies = {}  # bytes of each stream
        self.ended = set()
        self.pongs = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, path):
        """Send a request, and return its stream."""
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", path)]
        self.h2.send_headers(stream, head, end_stream=True)
        self.flush()
        return stream

    def widen(self, stream, size):
        """Let the server send so many bytes of a stream."""
        self.h2.increment_flow_control_window(size, stream)
        self.h2.increment_flow_control_window(size)
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def wait(self, ready):
        """Read until `ready` is true."""
        while not ready():
            data = self.socket.recv(65536)
            assert data, "the server has closed the connection"
            for event in self.h2.receive_data(data):
                assert not isinstance(event, h2.events.ConnectionTerminated), event
                assert not isinstance(event, h2.events.StreamReset), event
                if isinstance(event, h2.events.ResponseReceived):
                    self.heads.add(event.stream_id)
                elif isinstance(event, h2.events.DataReceived):
                    so_far = self.bodies.get(event.stream_id, 0)
                    self.bodies[event.stream_id] = so_far + len(event.data)
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended.add(event.stream_id)
                elif isinstance(event, h2.events.PingAckReceived):
                    self.pongs += 1
            self.flush()

    def settle(self):
        """Wait until the server has acted on all that was sent."""
        wanted = self.pongs + 1
        self.h2.ping(b"settled?")
        self.flush()
        self.wait(lambda: self.pongs == wanted)


def memory_of(process):
    """The resident bytes of a process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.parametrize("path", ["/whole", "/parts", "/file", "/small"])
def test_a_hundred_large_responses_that_are_never_read(tmp_path, path):
    (tmp_path / "app.py").write_text(APP)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(SIZE)
    options = ("--pathsend", "--h2-max-concurrent-streams", str(STREAMS + 1))
    with ServerProcess(tmp_path, *options) as server:
        server.ready()
        with Client(server) as client:
            first = client.ask(path)
            client.wait(lambda: first in client.heads)  # what is done once is done
            client.settle()
            before = memory_of(server.process)
            streams = [client.ask(path) for _ in range(STREAMS)]
            client.wait(lambda: client.heads.issuperset(streams))
            client.settle()
            assert memory_of(server.process) - before < MOST
            assert not client.bodies
            # The others cost nothing while one is read, and do not hold it up.
            size = 65536 if path == "/small" else SIZE
            client.widen(first, size)
            client.wait(lambda: first in client.ended)
            assert client.bodies == {first: size}
            assert memory_of(server.process) - before < MOST
        assert server.stop() == 0
