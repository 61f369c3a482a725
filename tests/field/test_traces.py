"""OpenTelemetry with real processes: the SDK is set up in each worker, as OTEL_* variables say."""

import contextlib
import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from cli_server import WAIT, Command

pytest.importorskip("opentelemetry.sdk")

APP = """
import os
from opentelemetry import trace

async def app(scope, receive, send):
    with trace.get_tracer("shop").start_as_current_span("sell"):
        body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


@contextlib.contextmanager
def serving(folder, *options, env):
    (folder / "main.py").write_text(APP)
    flags = ["--port", "0", "--lifespan", "off", "--no-access-log", "--otel"]
    command = Command(folder, "main:app", *flags, *options, env=env)
    try:
        command.wait_ready()
        yield command
    finally:
        command.close()


def objects(text):
    """The JSON objects in a text that has lines of the log between them."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{\n", at)) >= 0:
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found


@pytest.mark.parametrize("mode", [("--workers", "2"), ("--workers", "2", "--preload")])
def test_each_worker_has_exporters_of_its_own(tmp_path, mode):
    exporters = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none"}
    with serving(tmp_path, *mode, env={**exporters, "OTEL_SERVICE_NAME": "shop"}) as server:
        pids = {server.get().rpartition(b"\r\n")[2].decode() for _ in range(20)}
        server.kill(signal.SIGTERM)
        assert server.wait() == 0
    spans = objects(server.output)
    outer = [span for span in spans if span["name"] == "GET"]
    inner = [span for span in spans if span["name"] == "sell"]
    assert (len(outer), len(inner)) == (20, 20)
    by_id = {span["context"]["span_id"]: span for span in outer}
    assert all(span["parent_id"] in by_id for span in inner)
    resources = [span["resource"]["attributes"] for span in outer]
    assert {str(resource["process.pid"]) for resource in resources} == pids
    assert {resource["service.name"] for resource in resources} == {"shop"}
    assert {resource["asgiserver.worker"] for resource in resources} <= {0, 1}


class Collector(BaseHTTPRequestHandler):
    got: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self):
        size = int(self.headers["content-length"])
        self.got.append((self.path, self.rfile.read(size)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_by_default_all_is_sent_with_otlp(tmp_path):
    collector = HTTPServer(("127.0.0.1", 0), Collector)
    Collector.got.clear()
    thread = threading.Thread(target=collector.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{collector.server_port}"
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "NO_PROXY": "127.0.0.1"}
        with serving(tmp_path, env=env) as server:
            server.get()
            server.kill(signal.SIGTERM)
            assert server.wait() == 0
    finally:
        collector.shutdown()
        thread.join(WAIT)
        collector.server_close()
    paths = {path for path, _ in Collector.got}
    assert paths == {"/v1/traces", "/v1/metrics"}
    sent = b"".join(body for _, body in Collector.got)
    for text in (b"main:app", b"http.request.method", b"http.server.request.duration", b"sell"):
        assert text in sent


def test_an_exporter_that_is_missing_is_one_line(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    flags = ["--port", "0", "--lifespan", "off", "--otel"]
    env = {"OTEL_TRACES_EXPORTER": "nonsense"}
    command = Command(tmp_path, "main:app", *flags, env=env, ready=False)
    try:
        assert command.wait() == 2
    finally:
        command.close()
    last = command.output.splitlines()[-1]
    assert last == "asgiserver: error: --otel: OTEL_TRACES_EXPORTER=nonsense is not installed"
