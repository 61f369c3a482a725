"""Which wire a connection gets, over real sockets."""

import functools

import pytest

from asgiserver.h1.codecs import make_codecs
from asgiserver.h1.connection import H1Connection
from asgiserver.h2.frames import PREFACE
from asgiserver.wire.choose import HTTP_1, HTTP_2, Wires
from asgiserver.wire.connection import StreamConnection
from asgiserver.wire.output import Output, OutputTurn
from asgiserver.wire.server_fields import make_server_fields
from asgiserver.wire.waiting import times_of

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


class Echo(StreamConnection):
    """A second wire: it returns what comes, and ends with its client."""

    def __init__(self, context, passed_on):
        super().__init__(
            context, Output(OutputTurn(context.loop)), times_of(context.config), passed_on
        )

    def data_received(self, data):
        self.output.write(data)

    def eof_received(self):
        self.give_up()

    def begin_drain(self):
        self.end()


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def two_wires(config, clock, loop):
    codecs = make_codecs(config, make_server_fields(config), OutputTurn(loop), Echo)
    return Wires({HTTP_2: Echo, HTTP_1: functools.partial(H1Connection, codecs)})


async def test_the_first_bytes_choose_the_wire(serve, dial, monkeypatch):
    monkeypatch.setattr("asgiserver.server.frontend.make_wires", two_wires)
    server = await serve(hello)
    other = await dial(server)
    for number in range(len(PREFACE)):
        await other.send(PREFACE[number : number + 1])
    await other.read_until(PREFACE)
    await other.send(b"GET / HTTP/1.1\r\n\r\n")
    await other.read_until(b"GET / HTTP/1.1\r\n\r\n")
    client = await dial(server)
    await client.get()
    assert (await client.reply()).body == b"hello"
    await server.stop(timeout=5)
    await other.ended()
