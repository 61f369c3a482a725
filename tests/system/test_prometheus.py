"""A real Prometheus reads the figures, with the configuration of examples/monitoring."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from admin_client import admin_of
from ports import held_port
from process_server import ServerProcess
from proxies import Proxy, program

FOLDER = Path(__file__).parents[2] / "examples" / "monitoring"
ENOUGH = 30.0  # seconds


def query(port, expression):
    """The samples that an expression has now; none while Prometheus starts, when it answers 503."""
    text = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{text}") as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return []


def until(port, expression):
    """Wait until an expression has samples."""
    end = time.monotonic() + ENOUGH
    while not (found := query(port, expression)):
        assert time.monotonic() < end, expression
        time.sleep(0.1)
    return found


def test_promtool_finds_no_fault_with_the_rules_and_the_configuration():
    promtool = program("promtool")
    for command in (["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"]):
        done = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_no_fault_with_the_names(tmp_path):
    promtool = program("promtool")
    with ServerProcess(tmp_path, "--admin", "127.0.0.1:0") as server:
        text = admin_of(server.ready()).ask("/metrics")[1]
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_prometheus_scrapes_a_server(tmp_path, workers):
    command = program("prometheus")
    port = held_port()
    with ServerProcess(tmp_path, "--admin", "127.0.0.1:0", "--workers", workers) as server:
        target = urlsplit(admin_of(server.ready()).address).netloc
        for _ in range(7):
            server.get()
        config = (FOLDER / "prometheus.yml").read_text()
        config = config.replace("127.0.0.1:9000", target).replace("15s", "1s")
        (tmp_path / "prometheus.yml").write_text(config)
        (tmp_path / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text())
        options = [
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        async with Proxy([command, *options], port, tmp_path / "prometheus.log"):
            (up,) = until(port, 'up{job="asgiserver"} == 1')
            assert up["metric"]["instance"] == target
            until(port, 'asgiserver_requests_total{method="GET",status="2xx",outcome="ok"} == 7')
            until(port, f'asgiserver_workers{{state="ready"}} == {workers}')
            until(port, "asgiserver_request_duration_seconds_count == 7")
            assert not query(port, "ALERTS")
