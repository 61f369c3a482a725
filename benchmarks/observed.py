"""What figures, logs, ids and OpenTelemetry cost a request: ``python -m benchmarks.observed``.

A plain GET with five fields runs in this process, without sockets, in each configuration in turn;
the least CPU time of many rounds counts. OpenTelemetry exports to nowhere.
"""

from __future__ import annotations

import logging
import os
import sys
import time

from benchmarks import apps
from benchmarks.budget import Bench
from benchmarks.scenarios import Scenario, head

REQUESTS = 200  # a round
ROUNDS = 150
FIELDS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: */*",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
SCENARIO = Scenario("get", "GET", apps.plain, (head(*FIELDS),), apps.HELLO, turns=2)
LOG = {"access_log": True, "access_log_file": os.devnull}

CONFIGURATIONS = {
    "no log": {},
    "--admin": {"admin": "127.0.0.1:0"},
    "--request-id on": {"request_id": "on"},
    "--request-id send": {"request_id": "send"},
    "log, text": LOG,
    "log, combined": {**LOG, "access_log_format": "combined"},
    "log, logfmt": {**LOG, "log_format": "logfmt"},
    "log, json": {**LOG, "log_format": "json"},
    "log, gcp": {**LOG, "log_format": "gcp"},
    "log, ecs": {**LOG, "log_format": "ecs"},
    "log, text, not buffered": {**LOG, "access_log_buffer": False},
    "--otel, sampled": {"otel": True},
}


def main() -> int:
    """Print microseconds of a request, and the difference to one without a log."""
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    metrics.set_meter_provider(MeterProvider())
    logging.getLogger("asgiserver").setLevel(logging.INFO)  # which the first server would change
    benches = {
        name: Bench(SCENARIO, **{"log_level": "info", "log_file": os.devnull, **options})
        for name, options in CONFIGURATIONS.items()
    }
    least = dict.fromkeys(benches, float("inf"))
    for _ in range(ROUNDS):
        for name, bench in benches.items():
            begun = time.process_time()
            for _ in range(REQUESTS):
                bench.request()
            least[name] = min(least[name], (time.process_time() - begun) / REQUESTS)
    first = least["no log"]
    for name, seconds in least.items():
        print(f"{name:<26}{seconds * 1e6:8.1f} us  {(seconds - first) * 1e6:+8.1f} us")
    for bench in benches.values():
        bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
