"""Figures as text: both formats are read by the parsers that Prometheus' own client has."""

from __future__ import annotations

import re

import pytest
from metrics_table import PAGE, page
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus
from states import figures, row, server, worker

from asgiserver.admin.exposition import families, render
from asgiserver.metrics.figures import FIGURES
from asgiserver.metrics.histogram import BOUNDS, BUCKETS

ROWS = {"GET 2xx ok": row(3, 0.006, sent=30), "POST 5xx app_error": row(1, 2.0, received=9)}
EARLY = [0.0, 0.0, 1.0, *[0.0] * (BUCKETS - 3), -1.5]
EARLY[1] = -1.0


def state():
    one = figures(
        connections=5,
        refused={'a "quoted" \\ reason\nof two lines': 2},
        states={"http/1.1 idle": 4, "h2 application": 1},
        ended=ROWS,
        early=EARLY,
        rss=1 << 20,
        cpu=1.25,
        certificates={"default": 2e9},
    )
    other = figures(connections=2, states={"http/1.1 idle": 1}, cpu=0.5, rss=1 << 20)
    workers = worker(figures=one), worker(1, figures=other), worker(1, "draining", figures=other)
    return server(*workers, gone={"connections": 10}, restarts={"died": 1})


def samples(text, read):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in read(text)
        for sample in family.samples
    }


FORMATS = pytest.mark.parametrize(
    ("openmetrics", "read"), [(True, read_openmetrics), (False, read_prometheus)]
)


@FORMATS
def test_each_figure_is_read_with_its_labels(openmetrics, read):
    found = samples(render(families(state()), openmetrics), read)
    assert found["asgiserver_connections_accepted_total",] == 19
    idle = ("state", "idle"), ("wire", "http/1.1")
    assert found["asgiserver_connections", *idle] == 6
    reason = 'a "quoted" \\ reason\nof two lines'
    assert found["asgiserver_refused_total", ("reason", reason)] == 2
    assert found["asgiserver_worker_cpu_seconds_total", ("worker", "1")] == 1.0
    assert found["asgiserver_worker_resident_memory_bytes", ("worker", "1")] == 2 << 20
    assert found["asgiserver_worker_restarts_total", ("cause", "died")] == 1
    assert found["asgiserver_certificate_expiry_timestamp_seconds", ("name", "default")] == 2e9
    assert found["asgiserver_workers", ("state", "ready")] == 2
    assert found["asgiserver_workers", ("state", "draining")] == 1


@FORMATS
def test_requests_and_their_times_are_read(openmetrics, read):
    found = samples(render(families(state()), openmetrics), read)
    ended = ("method", "POST"), ("outcome", "app_error"), ("status", "5xx")
    assert found["asgiserver_requests_total", *ended] == 1
    name = "asgiserver_request_duration_seconds"
    assert found[f"{name}_count",] == found[f"{name}_bucket", ("le", "+Inf")] == 4
    assert found[f"{name}_sum",] == pytest.approx(2.006)
    buckets = [found[f"{name}_bucket", ("le", repr(bound))] for bound in BOUNDS]
    assert buckets == sorted(buckets)
    first = "asgiserver_time_to_first_byte_seconds"
    assert found[f"{first}_bucket", ("le", "0.0025")] == 3
    assert found[f"{first}_bucket", ("le", "0.005")] == 4
    assert found[f"{first}_sum",] == pytest.approx(0.506)
    assert found["asgiserver_response_body_bytes_total",] == 30
    assert found["asgiserver_request_body_bytes_total",] == 9


def test_a_request_without_an_answer_has_no_first_byte():
    ended = {"GET 2xx ok": row(3, 0.006), "GET 0xx client_gone": row(2, 9.0, bucket=11)}
    shown = server(worker(figures=figures(ended=ended)))
    found = samples(render(families(shown), openmetrics=True), read_openmetrics)
    assert found["asgiserver_request_duration_seconds_count",] == 5
    assert found["asgiserver_time_to_first_byte_seconds_count",] == 3
    assert found["asgiserver_time_to_first_byte_seconds_sum",] == pytest.approx(0.006)


@FORMATS
def test_a_server_that_has_counted_nothing_shows_every_metric(openmetrics, read):
    text = render(families(server(worker(phase="starting"), started=False)), openmetrics)
    found = {family.name: family for family in read(text)}
    for figure in FIGURES:
        if figure.kind != "rows" and figure.name != "early":
            assert f"asgiserver_{figure.metric or figure.name}" in found
    assert found["asgiserver_request_duration_seconds"].samples


def test_no_sample_comes_twice():
    lines = render(families(state()), openmetrics=True).splitlines()
    names = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(names) == len(set(names))


def test_the_page_has_the_metrics_that_there_are():
    text = "docs/admin.md is old: run python tests/unit/admin/metrics_table.py"
    assert PAGE.read_text() == page(), text


def test_names_are_those_that_prometheus_wants():
    for family in families(state()):
        assert re.fullmatch(r"asgiserver_[a-z0-9_]+", family.name)
        assert not family.name.endswith("_total")
        assert family.help
