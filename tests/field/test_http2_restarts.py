"""Restarts under HTTP/2 lose no request: the clients are told in time to go elsewhere."""

import shutil
import signal
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import pytest
from process_server import DEADLINE, ServerProcess

SUPERVISED = ("--pid", "server.pid")


class Client:
    """Sends requests one after the other, and never one again that may have been processed.

    A client of HTTP/2 may send a request again whose stream is above the last one that a GOAWAY
    names, as that was not processed (RFC 9113 section 8.7).
    """

    def __init__(self, server):
        self.server = server
        self.answered = 0
        self.connections = 0
        self.failures = []
        self.has_answers = threading.Event()  # 50 of them
        self.is_told = threading.Event()  # to go elsewhere
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        self._thread.join(DEADLINE)

    def _run(self):
        try:
            while not self._stop.is_set():
                self._use_a_connection()
        except BaseException as error:
            self.failures.append(error)

    def _use_a_connection(self):
        self.connections += 1
        config = h2.config.H2Configuration(header_encoding="utf-8")
        protocol = h2.connection.H2Connection(config)
        protocol.initiate_connection()
        with self.server.open_socket() as sock:
            sock.sendall(protocol.data_to_send())
            while not self._stop.is_set():
                number = protocol.get_next_available_stream_id()
                head = [
                    (":method", "GET"),
                    (":scheme", "http"),
                    (":authority", "x"),
                    (":path", "/"),
                ]
                protocol.send_headers(number, head, end_stream=True)
                sock.sendall(protocol.data_to_send())
                if not self._answered(sock, protocol, number):
                    return

    def _answered(self, sock, protocol, number):
        """Read until stream `number` is answered; False when the server wants no more of them."""
        ended, going, last = False, False, 2**31 - 1
        while not ended and number <= last:
            data = sock.recv(65536)
            assert data, f"the connection has ended before its answer, going={going}"
            for event in events_of(protocol, data):
                if isinstance(event, h2.events.ResponseReceived):
                    assert dict(event.headers)[":status"] == "200"
                elif isinstance(event, h2.events.DataReceived):
                    size = event.flow_controlled_length
                    protocol.acknowledge_received_data(size, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    ended = True
                elif isinstance(event, h2.events.StreamReset):
                    raise AssertionError(f"reset with {event.error_code}")
                elif isinstance(event, h2.events.ConnectionTerminated):
                    assert event.error_code == 0
                    going, last = True, event.last_stream_id
                    self.is_told.set()
            sock.sendall(protocol.data_to_send())
        self.answered += ended
        if self.answered == 50:
            self.has_answers.set()
        return not going


def events_of(protocol, data):
    """The events of `data`; the library itself takes a GOAWAY for the end of all streams."""
    protocol._kept = data = getattr(protocol, "_kept", b"") + data
    while len(data) >= 9 and len(data) >= (size := 9 + int.from_bytes(data[:3], "big")):
        yield from protocol.receive_data(data[:size])
        protocol.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        protocol._kept = data = data[size:]


@pytest.mark.parametrize("workers", [1, 2])
def test_rolling_restarts_under_http2_fail_no_request(tmp_path, workers):
    with ServerProcess(tmp_path, "--workers", str(workers), *SUPERVISED) as server:
        server.ready()
        with Client(server) as one, Client(server) as two:
            for number in range(2):
                server.restart()
                server.see("has ended", (number + 1) * workers, deadline=2 * DEADLINE)
        for client in (one, two):
            assert not client.failures
            assert client.answered > 2
        assert one.connections + two.connections > 2
        assert server.stop() == 0
        assert "Traceback" not in server.log


def test_workers_that_are_recycled_fail_no_request(tmp_path):
    options = ("--workers", "2", "--limit-max-requests", "200")
    with ServerProcess(tmp_path, *options) as server:
        server.ready()
        with Client(server) as client:
            server.see("has ended", 1, deadline=2 * DEADLINE)
        assert not client.failures
        assert server.stop() == 0


def test_the_drain_delay_announces_the_end_and_fails_no_request(tmp_path):
    with ServerProcess(tmp_path, "--drain-delay", "600", *SUPERVISED) as server:
        server.ready()
        with Client(server) as client:
            client.has_answers.wait(DEADLINE)
            server.signal(signal.SIGTERM)
            server.see("Stopping")
            client.is_told.wait(DEADLINE)  # the end is announced, and connections are still taken
            client.stop()
            server.signal(signal.SIGINT)
        assert not client.failures
        assert client.answered > 50
        assert server.wait() == 0


COUNTING = """
import asyncio, sys

count = 0


async def app(scope, receive, send):
    global count
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        with open("counts", "a") as file:
            file.write(f"{count}\\n")
        await send({"type": "lifespan.shutdown.complete"})
        return
    count += 1
    if count == 50:
        print("fifty requests", file=sys.stderr, flush=True)
    await asyncio.sleep(DELAY)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"Hello, world!"})
"""


def needed(program):
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed (apt-get install nghttp2-client)")
    return path


@pytest.mark.parametrize("delay", [0, 0.1])
def test_h2load_over_a_restart_gets_an_answer_to_all_that_it_has_sent(tmp_path, delay):
    """h2load makes its next request for each answer, and opens no new connection after a GOAWAY.

    So after a GOAWAY it has up to one request for each stream, which its library takes and does not
    send; h2load reports these as started and failed. A trace of its system calls shows exactly as
    many HEADERS frames as it has successes. So the server is held to its own count: what has
    reached an application is what h2load got.
    """
    h2load = needed("h2load")
    (tmp_path / "app.py").write_text(COUNTING.replace("DELAY", str(delay)))
    with ServerProcess(tmp_path, "--workers", "1", *SUPERVISED) as server:
        server.ready()
        command = [h2load, "-n", "1000000", "-c", "4", "-m", "8", f"{server.address}/"]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        server.see("fifty requests")
        server.restart()
        output, _ = load.communicate(timeout=DEADLINE)
        assert server.stop() == 0
    requests = sum(map(int, (tmp_path / "counts").read_text().split()))
    assert requests >= 50
    assert f" {requests} succeeded" in output, output
    assert f" {requests} 2xx, 0 3xx, 0 4xx, 0 5xx" in output, output


def test_nghttp_gets_all_answers_in_flight_when_the_server_stops(tmp_path):
    nghttp = needed("nghttp")
    (tmp_path / "app.py").write_text(COUNTING.replace("DELAY", "0.5"))
    with ServerProcess(tmp_path, *SUPERVISED) as server:
        server.ready()
        command = [nghttp, "--no-dep", *(f"{server.address}/{number}" for number in range(100))]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        server.see("fifty requests")
        assert server.stop() == 0
        output, _ = client.communicate(timeout=DEADLINE)
    requests = sum(map(int, (tmp_path / "counts").read_text().split()))
    assert requests == 100
    assert output.count("Hello, world!") == 100
    assert client.returncode == 0
