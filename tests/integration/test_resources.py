"""Resources: descriptors, memory, live objects, and turns of the loop; whatever clients do."""

import asyncio
import gc
import os
import re
import ssl
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from fakes import FakePeer, FakeServer, turns, until
from pki import Authority

from asgiserver.asgi.exchange import Exchange
from asgiserver.h1.connection import BODY_BUFFER, H1Connection
from asgiserver.wire.output import FLUSH_SIZE, TURN_SIZE

HERE = Path(__file__).parent
LOOPS = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
START = {"type": "http.response.start", "status": 200}
PART = {"type": "http.response.body", "body": bytes(65536), "more_body": True}
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"


async def hello(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": b"hello"})


async def endless(scope, receive, send):
    await send(START)
    while True:
        await send(PART)


async def read_all(scope, receive, send):
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    await hello(scope, receive, send)


async def wait_for_ever(scope, receive, send):
    while (await receive())["type"] != "http.disconnect":
        pass


def run(program, *arguments):
    """Run a program beside this file, to its end."""
    command = [sys.executable, str(HERE / program), *arguments]
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


# Descriptors


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_out_of_descriptors(loop):
    """It pauses, says so once, and recovers: everybody is answered in the end, nobody is reset."""
    done = run("exhausted_server.py", loop)
    said = dict(line.split() for line in done.stdout.splitlines())
    assert said["resets"] == "0"
    assert said["busy"] == "False", "it spins"
    assert 8 <= int(said["most"]) < 64
    assert "Traceback" not in done.stderr
    levels = re.findall(r" (ERROR|WARNING) ", done.stderr)
    assert levels == ["ERROR", "WARNING"], done.stderr


# Live objects


def alive(kind):
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


async def reset_when_answered(client):
    await client.send(GET)
    await client.reply()
    client.reset()


async def reset_while_running(client):
    await client.send(GET.replace(b"/ ", b"/wait "))
    client.reset()


async def reset_within_a_body(client):
    await client.send(POST + b"content-length: 100\r\n\r\nabc")
    client.reset()


async def reset_within_a_head(client):
    await client.send(GET[:20])
    client.reset()


async def half_open(client):
    await client.send(GET.replace(b"/ ", b"/wait "))
    client.send_eof()
    await turns()
    client.reset()


async def probe(client):
    await client.close()


async def nonsense(client):
    await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    await client.ended()


@pytest.mark.parametrize(
    "leave",
    [
        reset_when_answered,
        reset_while_running,
        reset_within_a_body,
        reset_within_a_head,
        half_open,
        probe,
        nonsense,
    ],
)
@LOOPS
async def test_200_of_them_leave_nothing(serve, dial, leave, caplog):
    async def app(scope, receive, send):
        waits = scope["path"] == "/wait" or scope["method"] == "POST"
        await (wait_for_ever if waits else hello)(scope, receive, send)

    server = await serve(app)
    connections, exchanges = alive(H1Connection), alive(Exchange)
    for _ in range(10):
        clients = [await dial(server) for _ in range(20)]
        await asyncio.gather(*(leave(client) for client in clients))
    context = server.context
    await until(lambda: not context.connections and not context.running)
    caplog.clear()
    await turns()
    assert alive(H1Connection) == connections
    assert alive(Exchange) == exchanges
    assert context.stats.lingering == 0
    assert context.stats.connections == 200


@LOOPS
async def test_200_failed_tls_handshakes_leave_nothing(serve, tmp_path, caplog):
    cert, key = Authority().issue("localhost").write(tmp_path, "server")
    server = await serve(hello, ssl_certfile=cert, ssl_keyfile=key)
    port = int(server.addresses[0].rpartition(":")[2])
    connections = alive(H1Connection)
    trusting_nobody = ssl.create_default_context()
    for number in range(200):
        if number % 2:
            with pytest.raises(ssl.SSLError):
                await asyncio.open_connection(
                    "127.0.0.1", port, ssl=trusting_nobody, server_hostname="localhost"
                )
        else:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET)
            writer.transport.abort()
    acceptor = server._frontend.acceptors[0]
    await until(lambda: not acceptor._handshakes and not server.context.connections)
    caplog.clear()
    await turns()
    assert alive(H1Connection) == connections


# Memory


async def test_a_slow_reader_holds_little(connect):
    """What an endless response may have ahead of its reader."""
    peer = connect(endless)
    peer.transport.stall()
    peer.get()
    for _ in range(50):
        await turns()
    assert peer.transport.unread <= peer.transport.high_water + 2 * FLUSH_SIZE + 1000
    assert not peer.connection.output.gathered


async def test_a_slow_application_holds_little(connect, task_start):
    peer = connect(sleeper)
    peer.send(POST + b"content-length: 100000000\r\n\r\n")
    await turns()
    for _ in range(50):
        peer.send(bytes(65536))
    (session,) = peer.context.running.values()
    assert session.buffered <= BODY_BUFFER + 65536
    assert not peer.transport.reading


async def sleeper(scope, receive, send):
    await asyncio.Event().wait()


@pytest.mark.parametrize("how", ["body", "tiny chunks", "pipelined", "head"])
async def test_memory_of_a_flooded_connection(connect, how):
    """All that one client can make us hold, measured."""
    peer = connect(sleeper)
    flood = {
        "body": POST + b"content-length: 100000000\r\n\r\n",
        "tiny chunks": POST + b"transfer-encoding: chunked\r\n\r\n",
        "pipelined": GET,
        "head": GET[:-2],
    }[how]
    more = {
        "body": bytes(65536),
        "tiny chunks": b"1\r\nx\r\n" * 10_000,
        "pipelined": GET * 2000,
        "head": b"x: " + b"y" * 8000 + b"\r\n",
    }[how]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        peer.send(flood)
        for _ in range(100):
            if not peer.transport.reading or peer.transport.eof_written:
                break
            peer.send(more)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peer.transport.eof_written or not peer.transport.reading
    assert after - before < 400_000


# Fairness


async def answered_among(server, app):
    """Turns of the loop until another client has its answer."""
    other = FakePeer(app, server=server)
    other.get(b"/other")
    count = 0
    while b"\r\n\r\n" not in other.received:
        await asyncio.sleep(0)
        count += 1
        assert count < 20, "starved"
    return count


@pytest.mark.parametrize("flood", ["pipelined", "tiny chunks", "huge body", "endless response"])
async def test_a_flood_does_not_starve_others(connect, flood, task_start):
    async def app(scope, receive, send):
        if scope["path"] == "/other":
            await hello(scope, receive, send)
        elif flood == "endless response":
            await endless(scope, receive, send)
        else:
            await read_all(scope, receive, send)

    peer = connect(app)
    requests = peer.context.stats
    if flood == "pipelined":
        peer.send(GET * 2000)
    elif flood == "endless response":
        peer.get()
    elif flood == "huge body":
        peer.send(POST + b"content-length: 100000000\r\n\r\n")
    else:
        peer.send(POST + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(5):
        if flood == "tiny chunks":
            peer.send(b"1\r\nx\r\n" * 40_000)
        elif flood == "huge body":
            peer.send(bytes(262_144))
        await answered_among(peer.server, app)
    if flood == "pipelined":
        assert requests.requests < 16 * 5 * 20
    elif flood == "endless response":
        assert len(peer.transport.written) <= (TURN_SIZE + 2 * FLUSH_SIZE) * 100


async def test_a_pipelined_flood_takes_16_in_a_turn(connect):
    peer = connect(hello)
    peer.send(GET * 2000)
    for turn in range(1, 20):
        assert peer.context.stats.requests <= 16 * turn + 1
        await asyncio.sleep(0)


async def test_tiny_chunks_become_one_message(connect):
    """100,000 chunks of a byte are not 100,000 wake-ups of the application."""
    messages = []

    async def app(scope, receive, send):
        while True:
            message = await receive()
            messages.append(len(message["body"]))
            if not message["more_body"]:
                return await hello(scope, receive, send)

    peer = connect(app)
    peer.send(POST + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(10):
        peer.send(b"1\r\nx\r\n" * 10_000)
        await turns()
    peer.send(b"0\r\n\r\n")
    assert (await peer.reply()).status == 200
    assert sum(messages) == 100_000
    assert len(messages) <= 12


# Growth


async def soak(count):
    """Serve `count` requests over connections that come and go; the growth in bytes."""
    server = FakeServer(read_all)
    requests = [
        GET,
        POST + b"content-length: 5\r\n\r\nhello",
        POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        GET.replace(b"host: a", b"host: a\r\nconnection: close"),
        b"nonsense\r\n\r\n",
    ]

    async def serve_some(number):
        done = 0
        while done < number:
            peer = FakePeer(read_all, server=server)
            for _ in range(20):
                peer.send(requests[done % len(requests)])
                done += 1
                if peer.transport.closing or peer.transport.eof_written:
                    break
                if done % 7 == 0:
                    await turns(2)
            peer.reset()
            server.records.clear()
            await turns(2)

    await serve_some(2000)  # caches fill
    gc.collect()
    tracemalloc.start()
    try:
        await serve_some(100)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        await serve_some(count)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not server.context.connections
    assert not server.context.running
    assert server.context.stats.lingering == 0
    return after - before


async def test_no_growth_over_20_000_requests(caplog):
    caplog.set_level("CRITICAL", "asgiserver")
    assert await soak(20_000) < 50_000


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_no_growth_over_500_000_requests(caplog):
    caplog.set_level("CRITICAL", "asgiserver")
    assert await soak(500_000) < 50_000


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_10_000_idle_connections(loop):
    """Process memory of each after a request of a browser's size: at most 6 KiB."""
    size = int(run("idle_server.py", loop, "10000").stdout)
    print(f"{loop}: {size} bytes of process memory for each idle connection")
    assert size <= 6 * 1024
