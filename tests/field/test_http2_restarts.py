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


@pytest.mark.timeout(120)
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
    with ServerProcess(tmp_path, "--drain-delay", "1", *SUPERVISED) as server:
        server.ready()
        with Client(server) as client:
            client.has_answers.wait(DEADLINE)
            server.signal(signal.SIGTERM)
            server.see("Stopping")
            client.is_told.wait(DEADLINE)  # the end is announced, and connections are still taken
            client.stop()
        assert not client.failures
        assert client.answered > 50
        assert server.wait() == 0


def test_h2load_over_a_restart(tmp_path):
    """h2load opens no new connections, so it ends early; what it has sent must be answered."""
    path = shutil.which("h2load")
    if path is None:
        pytest.skip("h2load is not installed (apt-get install nghttp2-client)")
    with ServerProcess(tmp_path, "--workers", "1", *SUPERVISED) as server:
        server.ready()
        command = [path, "-D", "2", "-c", "4", "-m", "8", f"{server.address}/"]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        server.restart()
        output, _ = load.communicate(timeout=DEADLINE)
        assert " 0 errored, 0 timeout" in output, output
        assert server.stop() == 0
