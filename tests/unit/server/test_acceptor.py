"""Accepting: with the loop's own servers, through a gate, and without file descriptors."""

import asyncio
import errno
import socket

import pytest
import uvloop
from fakes import until

from asgiserver.config.fields import Config
from asgiserver.errors import BindError, ConfigError
from asgiserver.server.acceptor import Acceptor
from asgiserver.server.listener import Listener
from asgiserver.server.server import Server


class Echo(asyncio.Protocol):
    def __init__(self, made):
        self.made = made

    def connection_made(self, transport):
        self.made.append(transport)
        transport.write(b"hello")
        transport.close()


class Gate:
    """Says for how long to leave the queue to others, each time something else."""

    def __init__(self, *delays):
        self.delays = list(delays)

    def __call__(self):
        return self.delays.pop(0) if self.delays else 0.0


@pytest.fixture
def listener():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    listener = Listener(sock)
    yield listener
    listener.close()


async def read(address):
    reader, writer = await asyncio.open_connection(*address)
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return data


@pytest.mark.parametrize("gate", [None, Gate(), Gate(0.01, 0.01)], ids=["none", "open", "waits"])
async def test_accept_and_close(listener, gate):
    made = []
    acceptor = Acceptor(asyncio.get_running_loop(), lambda: Echo(made), gate=gate)
    await acceptor.open([listener])
    address = listener.socket.getsockname()
    assert await read(address) == b"hello"
    assert await read(address) == b"hello"
    acceptor.close()
    await acceptor.finish_handshakes(1)
    with pytest.raises(ConnectionRefusedError):
        await read(address)
    assert len(made) == 2
    assert "sockets=0" in repr(acceptor)


class BlindLoop(asyncio.SelectorEventLoop):
    """It watches no sockets for others, as Windows' proactor."""

    def add_reader(self, fd, callback, *args):
        raise NotImplementedError

    add_writer = add_reader


LOOPS = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
    "blind": BlindLoop,
}


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def test_a_loop_without_readers_serves():
    async def main():
        server = Server(Config(hello, port=0, lifespan="off"))
        await server.start()
        address = server.listeners[0].socket.getsockname()
        replies = await asyncio.gather(*(ask(address) for _ in range(20)))
        await server.stop()
        with pytest.raises(ConnectionRefusedError):
            await ask(address)
        return replies

    async def ask(address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = await reader.read()
        writer.close()
        await writer.wait_closed()
        return data

    with asyncio.Runner(loop_factory=BlindLoop) as runner:
        replies = runner.run(main())
    assert all(reply.startswith(b"HTTP/1.1 200") for reply in replies)


@pytest.mark.parametrize("gate", [None, Gate(9.0)], ids=["none", "waits"])
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("take", [True, False], ids=["taken", "left"])
def test_what_waits_when_it_is_closed(listener, gate, loop, take):
    """Clients that the kernel has accepted have been promised a server."""
    heard = []

    class Listening(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            heard.append(data)
            self.transport.close()

    async def main():
        acceptor = Acceptor(asyncio.get_running_loop(), Listening, gate=gate)
        await acceptor.open([listener])
        address = listener.socket.getsockname()
        clients = [socket.create_connection(address) for _ in range(20)]
        for client in clients:
            client.sendall(b"hello")
        acceptor.close(take_waiting=take)
        assert acceptor.is_busy is take  # before they count as connections
        await acceptor.finish_handshakes(1)
        return clients

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        clients = runner.run(main())
    assert heard == ([b"hello"] * 20 if take else [])
    for client in clients:
        client.close()


def test_a_loop_without_readers_cannot_read_a_proxy_header():
    config = Config(hello, port=0, lifespan="off", proxy_protocol="v1")
    with asyncio.Runner(loop_factory=BlindLoop) as runner, pytest.raises(ConfigError, match="loop"):
        runner.run(Server(config).start())


async def test_two_cannot_listen_on_one_port(listener):
    """The second can bind, with SO_REUSEADDR, as long as nobody listens."""
    listener.socket.close()
    pair = [socket.socket(), socket.socket()]
    for sock in pair:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(pair[0].getsockname() if sock is pair[1] else ("127.0.0.1", 0))
        sock.setblocking(False)
    acceptor = Acceptor(asyncio.get_running_loop(), lambda: Echo([]))
    with pytest.raises(BindError, match=r"127\.0\.0\.1:\d+: Address already in use"):
        await acceptor.open([Listener(sock) for sock in pair])
    acceptor.close()
    pair[1].close()


async def test_out_of_descriptors_is_said_once_and_survived(listener, monkeypatch, caplog):
    class Exhausted:
        """A socket whose accept fails as long as `failing`."""

        def __init__(self, sock):
            self._sock = sock
            self.failing = 3

        def accept(self):
            if self.failing:
                self.failing -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return self._sock.accept()

        def __getattr__(self, name):
            return getattr(self._sock, name)

    monkeypatch.setattr("asgiserver.server.acceptor.RETRY_DELAY", 0.001)
    made = []
    acceptor = Acceptor(asyncio.get_running_loop(), lambda: Echo(made), gate=Gate())
    real = listener.socket
    listener.socket = Exhausted(real)
    await acceptor.open([listener])
    assert await read(real.getsockname()) == b"hello"
    await until(lambda: len(caplog.records) == 2)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    acceptor.close()
    listener.socket = real
