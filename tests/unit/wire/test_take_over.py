"""A connection without TLS that begins with the preface of HTTP/2 goes on on another wire."""

import functools
import gc

import pytest
from fakes import FakePeer, FakeServer

from asgiserver.h1.codecs import make_codecs
from asgiserver.h1.connection import H1Connection
from asgiserver.h2.frames import PREFACE
from asgiserver.wire.choose import HTTP_1, HTTP_2, Wires
from asgiserver.wire.connection import StreamConnection
from asgiserver.wire.output import Output, OutputTurn
from asgiserver.wire.server_fields import make_server_fields
from asgiserver.wire.waiting import BODY_BYTES, HEAD, IDLE, for_whom, times_of


class SecondWire(StreamConnection):
    """Says what it is, echoes all that comes, and then waits for the rest of a request."""

    def __init__(self, context, passed_on):
        output = Output(OutputTurn(context.loop))
        super().__init__(context, output, times_of(context.config), passed_on)

    def greet(self):
        self.output.write(b"second wire: ")

    def data_received(self, data):
        self.output.write(data)
        self.arm(len(data))

    def eof_received(self):
        self.give_up()

    def arm(self, received=0, leaving=False):
        self.enter(for_whom(self.waiting, BODY_BYTES))

    def forget(self):
        pass

    def too_late(self):
        self.abort("too late")


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
async def two_wires():
    """``two_wires(**options)`` is a peer of a server that speaks both wires."""
    servers = []

    def connect(*, extra=None, **options):
        server = FakeServer(hello, **options)
        servers.append(server)
        config, turn = server.context.config, OutputTurn(server.context.loop)
        codecs = make_codecs(config, make_server_fields(config), turn, SecondWire)
        h1 = functools.partial(H1Connection, codecs)
        server.wires = Wires({HTTP_2: SecondWire, HTTP_1: h1})
        return FakePeer(hello, server=server, extra=extra)

    yield connect
    for server in servers:
        await server.finish()


async def test_all_that_has_come_goes_to_the_second_wire(two_wires):
    peer = two_wires()
    peer.send(PREFACE + b"frames")
    assert peer.received == b"second wire: " + PREFACE + b"frames"
    peer.send(b" and more")
    assert peer.received.endswith(b"frames and more")
    assert type(peer.transport.protocol) is SecondWire
    assert peer.transport.protocol.peer.client == ("192.0.2.7", 50123)


async def test_the_preface_may_come_byte_by_byte_until_the_deadline_of_a_head(two_wires):
    """HTTP/1 sees the end of a head after 18 bytes; the second wire checks the others."""
    peer = two_wires(timeout_request_head=20)
    for number in range(17):
        peer.send(PREFACE[number : number + 1])
        assert peer.received == b""
        peer.advance(0.5)
    assert peer.connection.waiting is HEAD
    for number in range(17, 24):
        peer.send(PREFACE[number : number + 1])
    assert peer.received == b"second wire: " + PREFACE

    late = FakePeer(hello, server=peer.server)
    late.send(PREFACE[:17])
    late.advance(21)
    assert (await late.reply()).status == 408


async def test_the_second_wire_has_the_deadline_that_ran_already(two_wires, monkeypatch):
    monkeypatch.setattr(SecondWire, "arm", lambda *_: None)
    peer = two_wires(timeout_request_head=20)
    peer.advance(15)
    peer.send(PREFACE)
    peer.advance(4)
    assert not peer.transport.aborted
    peer.advance(2)
    assert peer.transport.aborted


async def test_the_connection_is_counted_and_admitted_once(two_wires):
    peer = two_wires(limit_connections=1)
    peer.send(PREFACE)
    context = peer.context
    assert context.stats.connections == len(context.connections) == 1
    assert peer.transport.protocol in context.connections
    peer.transport.lose()
    assert not context.connections


def alive():
    return sum(type(thing) is H1Connection for thing in gc.get_objects())


async def test_nothing_of_the_first_wire_is_left(two_wires):
    peer = two_wires()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        assert before > 0
        del peer.connection
        peer.send(PREFACE)
        assert alive() == before - 1
    finally:
        gc.enable()


async def test_tls_has_agreed_on_a_wire_already(two_wires):
    peer = two_wires(extra={"sslcontext": object()})
    peer.send(PREFACE)
    assert (await peer.reply()).status == 505


async def test_requests_of_the_first_wire_are_served_as_before(two_wires):
    peer = two_wires()
    for _ in range(2):
        peer.get()
        assert (await peer.reply()).body == b"hello"
    assert peer.connection.waiting is IDLE
    peer.send(PREFACE)
    assert (await peer.reply()).status == 505


async def test_a_pipelined_preface_is_refused(two_wires):
    """Else a proxy that passes on two requests could be led to pass on frames."""
    peer = two_wires()
    peer.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" + PREFACE)
    assert (await peer.reply()).status == 200
    assert (await peer.reply()).status == 505


async def test_without_a_second_wire_the_preface_is_refused(connect):
    peer = connect(hello, http2=False)
    peer.send(PREFACE)
    assert (await peer.reply()).status == 505
    assert peer.context.stats.refused == {"HTTP version is not supported": 1}
