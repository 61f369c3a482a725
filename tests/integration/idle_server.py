"""Measures the process memory of idle keep-alive connections.

Run as ``python idle_server.py asyncio|uvloop COUNT``; prints the bytes of each connection.
"""

import asyncio
import gc
import os
import resource
import socket
import sys
from pathlib import Path

import uvloop

from asgiserver import Config, Server

REQUEST = (
    b"GET /some/path?with=query HTTP/1.1\r\nHost: www.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef\r\n\r\n"
)


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})


def resident():
    """Bytes of memory that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def clients(port, count, ready, done):
    """Connect, get one answer on each connection, report, and stay until the server closes."""
    open_ones = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(REQUEST)
        assert sock.recv(1000).endswith(b"hello")
        open_ones.append(sock)
    os.write(ready, b"x")
    os.read(done, 1)


async def measure(server, count):
    port = int(server.addresses[0].rpartition(":")[2])
    ready, done = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        os.close(done[1])
        try:
            clients(port, count, ready[1], done[0])
        finally:
            os._exit(0)
    os.close(ready[1])
    all_there = asyncio.Event()
    asyncio.get_running_loop().add_reader(ready[0], all_there.set)
    await all_there.wait()
    asyncio.get_running_loop().remove_reader(ready[0])
    connections = len(server.context.connections)
    gc.collect()
    held = resident()
    os.close(done[1])
    os.waitpid(pid, 0)
    while server.context.connections:
        await asyncio.sleep(0.01)
    assert connections == count, "some could not connect"
    return held


async def main(count):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    config = Config(app, port=0, lifespan="off", access_log=False, log_level="warning")
    async with Server(config) as server:
        few = count // 20
        before = await measure(server, few)  # loads and caches what stays
        held = await measure(server, count)
        print(round((held - before) / (count - few)))


factory = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}[sys.argv[1]]
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main(int(sys.argv[2])))
