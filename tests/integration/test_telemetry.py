"""Spans and metrics of requests, in the SDK's exporters that keep them in memory."""

import asyncio

import pytest
from fakes import WAIT
from raw_client import RawClient

from asgiserver import Config, Server, request_id

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)
from opentelemetry.trace import SpanKind, StatusCode

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"traceparent: 00-{TRACE}-{SPAN}-01\r\n".encode()


@pytest.fixture(scope="module")
def exporters():
    """Of this process, because providers can be set only once."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    return spans, reader


@pytest.fixture
def spans(exporters):
    exporters[0].clear()
    return exporters[0]


def points(exporters, name):
    """The points of a metric, by their attributes."""
    data = exporters[1].get_metrics_data()
    found = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name == name:
                    assert metric.unit == {"http.server.request.duration": "s"}.get(
                        name, "{request}"
                    )
                    for point in metric.data.data_points:
                        found[tuple(sorted(point.attributes.items()))] = point
    return found


class Route:
    path = "/items/{item}"
    may_go: asyncio.Event  # for the request to /wait


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    if scope["path"] == "/fail":
        raise LookupError("no")
    if scope["path"] == "/wait":
        await Route.may_go.wait()
    if scope["path"].startswith("/items/"):
        scope["route"] = Route()
        await receive()
        with trace.get_tracer("app").start_as_current_span("inner"):
            await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(5):
        await send({"type": "http.response.body", "body": b"x", "more_body": number < 4})


def serve(**options):
    return Server(Config(app, port=0, lifespan="off", access_log=False, otel=True, **options))


async def ended(spans, count):
    """The spans, once so many have ended."""
    async with asyncio.timeout(WAIT):
        while len(spans.get_finished_spans()) < count:
            await asyncio.sleep(0.001)
    return {span.name: span for span in spans.get_finished_spans()}


async def test_a_request_is_one_span_by_the_conventions(spans):
    async with serve() as server:
        client = await RawClient.connect(server)
        await client.get(b"/a%20b?q=1", fields=b"user-agent: test/1\r\n" + PARENT)
        await client.reply()
        found = await ended(spans, 1)
        await client.close()
    port = int(server.addresses[0].rpartition(":")[2])
    assert port
    span = found["GET"]
    assert span.kind is SpanKind.SERVER
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "url.path": "/a%20b",
        "url.query": "q=1",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "user_agent.original": "test/1",
        "server.address": "a",
        "http.response.status_code": 200,
    }
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN
    assert span.parent.is_remote


async def test_spans_of_the_application_are_its_children(spans):
    async with serve() as server:
        client = await RawClient.connect(server)
        await client.get(b"/items/3")
        await client.reply()
        found = await ended(spans, 2)
        await client.close()
    outer, inner = found["GET /items/{item}"], found["inner"]
    assert outer.attributes["http.route"] == "/items/{item}"
    assert inner.parent.span_id == outer.context.span_id
    assert inner.context.trace_id == outer.context.trace_id
    assert len(found) == 2  # nothing for what was received and sent


async def test_an_exception_is_recorded(spans):
    async with serve() as server:
        client = await RawClient.connect(server)
        await client.get(b"/fail")
        assert (await client.reply()).status == 500
        span = (await ended(spans, 1))["GET"]
        await client.close()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "LookupError"
    assert span.attributes["http.response.status_code"] == 500
    assert [event.name for event in span.events] == ["exception"]


async def test_unknown_methods_are_bounded(spans):
    async with serve() as server:
        client = await RawClient.connect(server)
        await client.send(b"PROPFIND / HTTP/1.1\r\nhost: a:80\r\n\r\n")
        await client.reply()
        span = (await ended(spans, 1))["HTTP"]
        await client.close()
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "PROPFIND"
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("a", 80)


async def test_a_client_that_leaves_has_no_status_and_is_no_error_of_ours(spans):
    Route.may_go = asyncio.Event()
    async with serve() as server:
        client = await RawClient.connect(server)
        await client.get(b"/wait")
        async with asyncio.timeout(WAIT):
            while not server.view.running:
                await asyncio.sleep(0.001)
        client.reset()
        span = (await ended(spans, 1))["GET"]
        Route.may_go.set()
    assert "http.response.status_code" not in span.attributes
    assert span.attributes["error.type"] == "client_gone"
    assert span.status.status_code is StatusCode.UNSET


async def test_a_websocket_is_one_span_until_its_end(spans, exporters):
    before = sum(
        point.count for point in points(exporters, "http.server.request.duration").values()
    )
    async with serve() as server:
        client = await RawClient.connect(server)
        await client.send(
            b"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await client.read_until(b"\r\n\r\n")
        assert spans.get_finished_spans() == ()
        await client.send(b"\x88\x82\0\0\0\0\x03\xe8")
        span = (await ended(spans, 1))["GET"]
        await client.close()
    assert span.attributes["http.response.status_code"] == 101
    after = sum(point.count for point in points(exporters, "http.server.request.duration").values())
    assert after == before  # it lasts as long as its client likes


async def test_durations_are_a_histogram_with_bounded_labels(spans, exporters):
    async with serve() as server:
        client = await RawClient.connect(server)
        for target in (b"/one", b"/two?q=3"):
            await client.get(target)
            await client.reply()
        await ended(spans, 2)
        await client.close()
    labels = {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }
    point = points(exporters, "http.server.request.duration")[tuple(sorted(labels.items()))]
    assert point.count >= 2
    assert point.explicit_bounds[:3] == (0.005, 0.01, 0.025)


async def test_active_requests_are_those_that_run(spans, exporters):
    Route.may_go = asyncio.Event()
    async with serve() as server:
        client = await RawClient.connect(server)
        await client.get(b"/wait")
        async with asyncio.timeout(WAIT):
            while not server.view.running:
                await asyncio.sleep(0.001)
        found = points(exporters, "http.server.active_requests")
        labels = (("http.request.method", "GET"), ("url.scheme", "http"))
        assert found[labels].value == 1
        Route.may_go.set()
        await client.reply()
        await ended(spans, 1)
        await client.close()


async def test_ids_of_the_span_are_those_of_the_log(spans, caplog):
    caplog.set_level("INFO", "asgiserver.access")
    options = {"access_log_format": "{path} {trace_id} {span_id} {request_id}", "request_id": "on"}
    server = Server(Config(app, port=0, lifespan="off", otel=True, **options))
    async with server:
        client = await RawClient.connect(server)
        await client.get(b"/logged", fields=PARENT)
        await client.reply()
        span = (await ended(spans, 1))["GET"]
        await client.close()
    line = next(line for line in caplog.messages if line.startswith("/logged"))
    own = f"{span.context.span_id:016x}"
    assert line.startswith(f"/logged {TRACE} {own} ")
    assert request_id.get() == ""
