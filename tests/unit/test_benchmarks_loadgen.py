"""Reading what wrk, h2load and the WebSocket load generator print, and what runs them."""

from __future__ import annotations

import math
import os

import pytest

from benchmarks.cases import CASES
from benchmarks.environment import BenchmarkError, Environment, find
from benchmarks.loadgen import Load, load_command, parse_h2load, parse_json
from benchmarks.servers import SERVERS, Launch, process_cpu_seconds, stat_fields

WRK = """\
Running 1s test @ http://127.0.0.1:8000/
  1 threads and 64 connections
{"requests": 5000, "seconds": 1.25, "errors": 2, "p50_us": 100, "p99_us": 900}
"""
WS_LOAD = '{"messages": 10, "seconds": 0.500000, "errors": 0, "p50_us": 3, "p99_us": 4}\n'
H2LOAD = """\
finished in 500.00ms, 32710.00 req/s, 3.74MB/s
requests: 32780 total, 32838 started, 32780 done, 32710 succeeded, 70 failed, 70 errored, 1 timeout
status codes: 32705 2xx, 0 3xx, 2 4xx, 3 5xx
traffic: 3.74MB (3925720) total, 2.50MB (2616800) headers (space savings 26.61%), 415.26KB data
                     min         max         mean         sd        +/- sd
time for request:      117us     25.07ms      3.62ms      1.92ms    82.31%
"""


def test_wrk_and_ws_load():
    assert parse_json(WRK) == Load(5000, 1.25, 2, 100, 900)
    assert parse_json(WS_LOAD) == Load(10, 0.5, 0, 3, 4)


def test_a_latency_that_wrk_cannot_know_is_nan():
    load = parse_json(WRK.replace("100", "null").replace("900", "null"))
    assert math.isnan(load.p50_us)
    assert math.isnan(load.p99_us)


@pytest.mark.parametrize("output", ["", "unable to connect", "{}", "[]", '{"requests": null}'])
def test_output_without_a_result(output):
    with pytest.raises(BenchmarkError, match="no result"):
        parse_json(output)
    with pytest.raises(BenchmarkError, match="no result"):
        parse_h2load(output)


def test_h2load_counts_wrong_statuses_as_errors():
    load = parse_h2load(H2LOAD)
    assert (load.requests, load.seconds, load.errors) == (32705, 0.5, 70 + 1 + 5)
    assert load.p50_us == pytest.approx(3620)
    assert math.isnan(load.p99_us)


def test_unknown_names_are_answered_with_the_closest():
    with pytest.raises(BenchmarkError, match="did you mean plaintext"):
        find(CASES, "plaintxt")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_server_of_a_case_has_a_command_line_on_loopback(case, tmp_path):
    environment = Environment(tmp_path / "bin" / "python")
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    for name in case.servers():
        line = " ".join(SERVERS[name].command(Launch(environment, case.wanted, 4711)))
        assert "4711" in line
        assert name in case.limits or case.wanted.app in line
        assert ("cert.pem" in line) == case.wanted.tls
        assert "0.0.0.0" not in line.split()


def test_the_load_stays_on_loopback(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.loadgen.require", lambda tool, package: tool)
    monkeypatch.setattr(Environment, "websocket_load", lambda self: "ws_load")
    environment = Environment(tmp_path / "bin" / "python")
    for case in CASES.values():
        line, _ = load_command(environment, case, 4711, 1.0, "uvicorn")
        assert line[0] == "ws_load" or line[-1].partition("://")[2].startswith("127.0.0.1:4711/")


def test_websockets_over_http2_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(Environment, "websocket_load", lambda self: "ws_load")
    environment = Environment(tmp_path / "bin" / "python")
    for name, mode in (("websocket-64", "1000"), ("http2-websocket-64", "http2")):
        line, _ = load_command(environment, CASES[name], 4711, 1.0, "asgiserver")
        assert line[-1] == mode


def test_wrk_is_told_what_to_send(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.loadgen.require", lambda tool, package: tool)
    environment = Environment(tmp_path / "bin" / "python")
    for name, variable in (
        ("post-10k", ("BENCH_BODY", "10240")),
        ("pipelined", ("BENCH_PIPELINE", "16")),
        ("request-ids", ("BENCH_NUMBERS", "20000")),
    ):
        line, variables = load_command(environment, CASES[name], 1, 1.0, "uvicorn")
        assert variable in variables.items()
        assert line[-2].endswith("wrk.lua")


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_cpu_time_of_a_process():
    assert process_cpu_seconds(os.getpid()) > 0
    assert stat_fields(os.getpid())[1] == str(os.getppid())
    gone = 2**22 + 1  # above the largest pid
    assert process_cpu_seconds(gone) == 0.0
