"""The outages of docs/operations.md: for each the line or the figure that names it."""

import signal
import ssl

import pytest
from pki import Authority
from process_server import ServerProcess
from test_dump import dump_when, requests_of

APP = """
import asyncio, gc, os

kept = []
pool = asyncio.Semaphore(2)


async def acquire():
    await pool.acquire()


async def rows():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if not os.path.exists("stubborn"):
                raise


class Link:
    pass


def chain(length):
    for _ in range(length):
        link = Link()
        link.itself = [link]
        kept.append(link)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"][1:]
    if path == "leak":
        kept.append(os.urandom(1 << 20) * 200)
    elif path == "orders":
        await acquire()
        await asyncio.sleep(3600)
    elif path == "crash":
        os._exit(7)
    elif path == "export":
        await rows()
    elif path == "collect":
        chain(1_000_000)
        gc.collect()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b'"done"'})
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_a_memory_leak(folder):
    with ServerProcess(folder, "--workers", "1", "--max-worker-rss", "150M") as server:
        server.ready()
        server.get("/leak")
        server.see(r"Worker 0 \(pid \d+\) is replaced: its memory is \d+\.\d MiB")
        server.see("is ready", 2)


def test_slow_clients(folder):
    with ServerProcess(folder, "--timeout-request-head", "5") as server:
        server.ready()
        clients = [server.open_socket() for _ in range(20)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\n")
        dump_when(
            server.process.pid,
            lambda found: found["servers"][0]["connections"].get("HEAD") == 20,
        )
        server.see(r"Refused 127\.0\.0\.1:\d+: 408 request head timed out")
        server.see(r"Further refused requests of 127\.0\.0\.1 are not logged for a minute")
        for client in clients:
            client.close()


def test_a_saturated_pool(folder):
    with ServerProcess(folder, "--request-warn", "1") as server:
        server.ready()
        clients = [server.send_request("/orders?secret") for _ in range(5)]
        server.see(
            r"WARNING  Slow request: GET /orders has run for \d+\.\d s without an answer,"
            r" and waits for the application in app\.py:\d+ acquire",
            3,
        )
        server.see("Slow request", 5)
        found = dump_when(
            server.process.pid, lambda found: len(found["servers"][0]["requests"]) == 5
        )
        places = [request["where"] for request in found["servers"][0]["requests"]]
        assert sum("acquire" in place for place in places) == 3
        assert server.log.count("Slow request") == 5  # each of them once
        assert "secret" not in server.log
        for client in clients:
            client.close()


def test_a_crash_loop(folder):
    with ServerProcess(folder, "--supervise") as server:
        server.ready()
        for count in range(1, 6):
            server.see("is ready", count)
            server.send_request("/crash").close()
            server.see(r"Worker 0 \(pid \d+\) died: exit code 7, \d+ s old", count)
        server.see("5 workers failed within 60 s")
        assert server.wait() == 5


@pytest.mark.parametrize("mode", [(), ("--workers", "1", "--supervise")], ids=" ".join)
def test_a_stuck_shutdown(folder, mode):
    (folder / "stubborn").touch()
    with ServerProcess(folder, "--timeout-graceful-shutdown", "0.3", *mode) as server:
        server.ready()
        client = server.send_request("/export")
        dump_when(server.process.pid, lambda found: "/export" in requests_of(found))
        server.signal(signal.SIGTERM)
        server.see(r"Cancelled at shutdown: GET /export \(\d+\.\d s\) in app\.py:\d+ rows")
        server.see("Does not end though it was cancelled: GET /export")
        client.close()


def test_a_misconfigured_proxy(folder):
    with ServerProcess(folder, "--forwarded-allow-ips", "10.0.3.7") as server:
        server.ready()
        connection = server.connect()
        connection.request("GET", "/", headers={"X-Forwarded-For": "203.0.113.7"})
        assert connection.getresponse().read() == b'"done"'
        server.see(
            r"Ignored X-Forwarded-For from 127\.0\.0\.1, which is not a trusted proxy;"
            r" if it is one of yours: --forwarded-allow-ips 127\.0\.0\.1"
        )
        connection.close()


def test_an_expired_certificate(folder):
    files = Authority().issue("localhost", days=-3).write(folder, "expired")
    options = ("--ssl-certfile", str(files[0]), "--ssl-keyfile", str(files[1]))
    with ServerProcess(folder, *options) as server:
        server.ready()
        server.see(r"ERROR    TLS certificate \(default\) has expired on \d{4}-\d\d-\d\d")
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(server.open_socket(), server_hostname="localhost")


def test_a_pause_for_the_garbage_collector(folder):
    with ServerProcess(folder) as server:
        server.ready()
        server.get("/collect")
        server.see(
            r"WARNING  The garbage collector has paused this process for \d+ ms \(generation 2\)"
        )
