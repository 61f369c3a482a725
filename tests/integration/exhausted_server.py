"""A server with few descriptors, and clients that take them all.

Run as ``python exhausted_server.py asyncio|uvloop``; prints what the clients saw, logs to stderr.
"""

import asyncio
import os
import resource
import socket
import sys
import time

import uvloop

from asgiserver import Config, Server
from asgiserver.server import acceptor

LIMIT, CLIENTS = 64, 100
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})


def clients(port, go_on):
    """Connect more clients than the server can take, let some go, and check all answers."""
    open_ones = []
    for _ in range(CLIENTS):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.settimeout(10)
        sock.sendall(GET)
        open_ones.append(sock)
    answered = 0
    for sock in open_ones[:20]:
        answered += sock.recv(100).startswith(b"HTTP/1.1 200")
    os.read(go_on, 1)  # until the server has logged that it has no more descriptors
    resets = 0
    for sock in open_ones:
        try:
            sock.sendall(GET)
            while chunk := sock.recv(1000):
                if chunk.startswith(b"HTTP/1.1 200"):
                    answered += 1
                    break
            else:
                resets += 1
        except ConnectionError:
            resets += 1
        sock.close()
    print("resets", resets, flush=True)


async def main():
    async with Server(Config(app, port=0, lifespan="off", access_log=False)) as server:
        port = int(server.addresses[0].rpartition(":")[2])
        readable, writable = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(writable)
            try:
                clients(port, readable)
            finally:
                os._exit(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        begun = time.process_time()
        most = 0
        told = False
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            await asyncio.sleep(0.02)
            most = max(most, len(server.context.connections))
            if not told and server._frontend.acceptors[0]._exhausted:
                os.write(writable, b"x")
                told = True
        print("busy", time.process_time() - begun > 2, flush=True)
        print("most", most, flush=True)


acceptor.RETRY_DELAY = 0.05
factory = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}[sys.argv[1]]
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
