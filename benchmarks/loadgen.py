"""Runs a load generator for a bounded time and reads its counts; checks the answers first.

It talks to 127.0.0.1 only and knows nothing of CPU time or statistics.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import math
import os
import re
import socket
import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import heads
from benchmarks.environment import HERE, BenchmarkError, Environment, require

if TYPE_CHECKING:
    from benchmarks.cases import Case

GRACE_SECONDS = 20.0
H2LOAD = ("h2load", "h2load-h1")  # over HTTP/2, and over HTTP/1.1


@dataclass(frozen=True)
class Load:
    """A load generator's counts: requests (or messages), seconds, errors, latencies in us."""

    requests: int
    seconds: float
    errors: int
    p50_us: float
    p99_us: float


def ready(environment: Environment, case: Case) -> None:
    """Check that the case's load generator is there. Raises `BenchmarkError` naming the fix."""
    load_command(environment, case, 0, 1.0, "")


def generate(
    environment: Environment, case: Case, port: int, seconds: float, server: str = ""
) -> Load:
    """Load the server on this port. Raises `BenchmarkError` when the generator itself fails."""
    command, variables = load_command(environment, case, port, seconds, server)
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds + GRACE_SECONDS,
            env=os.environ | variables,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{command[0]} did not end in time") from None
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
        raise BenchmarkError(lines[-1])
    return (parse_h2load if case.tool in H2LOAD else parse_json)(result.stdout)


def load_command(
    environment: Environment, case: Case, port: int, seconds: float, server: str
) -> tuple[list[str], dict[str, str]]:
    """The command line of the case's load generator, and the variables it needs."""
    scheme = "https" if case.wanted.tls else "http"
    url = f"{scheme}://127.0.0.1:{port}{case.path}"
    if case.tool == "ws_load":
        numbers = [port, case.connections, case.body_bytes, round(seconds * 1000)]
        mode = ["http2"] if case.wanted.protocol == "http2" else []
        mode = ["masked"] if server == "limit" else mode
        return [environment.websocket_load(), *map(str, numbers), *mode], {}
    if case.tool in H2LOAD:
        return h2load_command(environment, case, url, seconds), {}
    line = [require("wrk", "wrk"), "-t1", f"-c{case.connections}", f"-d{max(1, round(seconds))}s"]
    for name, value in case.headers.items():
        line += ["-H", f"{name}: {value}"]
    variables = {
        "BENCH_BODY": str(case.body_bytes),
        "BENCH_PIPELINE": str(case.pipeline),
        "BENCH_NUMBERS": str(case.numbers),
        "BENCH_REQUESTS": str(heads.write(case.requests, environment.directory))
        if case.requests
        else "",
    }
    return [*line, "-s", str(HERE / "load" / "wrk.lua"), url], variables


def h2load_command(environment: Environment, case: Case, url: str, seconds: float) -> list[str]:
    """The command line of h2load. With `Case.numbers` no two of so many targets are the same."""
    line = [require("h2load", "nghttp2-client"), "-t1", f"-c{case.connections}"]
    # A check sends a fixed number of requests, so that none is cut off and counted as an error.
    amount = f"-D{round(seconds)}" if seconds >= 1 else f"-n{case.connections * case.pipeline}"
    line += [f"-m{case.pipeline}", amount]
    line += ["--h1"] if case.tool == "h2load-h1" else []
    for name, value in case.headers.items():
        line += ["-H", f"{name}: {value}"]
    if case.body_bytes:
        line += [
            "-d",
            str(environment.made_file(f"body-{case.body_bytes}", b"b" * case.body_bytes)),
        ]
    if not case.numbers:
        return [*line, url]
    targets = "".join(f"{url}?request={number:032x}\n" for number in range(case.numbers))
    return [*line, "-i", str(environment.made_file("targets", targets.encode())), "-B", url]


def parse_json(output: str) -> Load:
    """Read the last line of wrk (with wrk.lua) or ws_load: a JSON object, null is unknown."""
    lines = output.strip().splitlines()
    try:
        found = json.loads(lines[-1])
        requests = found.get("requests", found.get("messages"))
        times = [math.nan if found[key] is None else found[key] for key in ("p50_us", "p99_us")]
        return Load(int(requests), float(found["seconds"]), int(found["errors"]), *times)
    except (IndexError, ValueError, KeyError, TypeError, AttributeError):
        raise BenchmarkError("the load generator printed no result") from None


H2_TOTAL = re.compile(r"finished in ([\d.]+)(us|ms|s)")
H2_REQUESTS = re.compile(r"(\d+) succeeded, (\d+) failed, \d+ errored, (\d+) timeout")
H2_STATUS = re.compile(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")
H2_TIME = re.compile(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)")
UNIT = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def parse_h2load(output: str) -> Load:
    """Read h2load's output: its mean time stands for p50, and p99 is not known (nan)."""
    total, requests = H2_TOTAL.search(output), H2_REQUESTS.search(output)
    status, mean = H2_STATUS.search(output), H2_TIME.search(output)
    if not (total and requests and status and mean):
        raise BenchmarkError("h2load printed no result")
    succeeded, failed, timeout = map(int, requests.groups())
    wrong = sum(map(int, status.groups()))
    seconds = float(total[1]) * UNIT[total[2]]
    mean_us = float(mean[1]) * UNIT[mean[2]] * 1e6
    return Load(succeeded - wrong, seconds, failed + timeout + wrong, mean_us, math.nan)


def check(environment: Environment, case: Case, port: int, server: str) -> None:
    """Check that the server answers this case correctly. Raises `BenchmarkError`."""
    if case.tool == "wrk":
        check_http(case, port)
        return
    # The WebSocket generator itself compares every echo; h2load counts the statuses.
    load = generate(environment, case, port, 0.1, server)
    if load.errors or not load.requests:
        raise BenchmarkError(f"{load.errors} wrong answers, {load.requests} right ones")


def check_http(case: Case, port: int) -> None:
    """Check the status 200 and the body of two requests on one connection, or one if it closes."""
    if case.requests:
        check_raw(case, port)
        return
    closing = case.headers.get("Connection") == "close"
    method, body = ("POST", b"b" * case.body_bytes) if case.body_bytes else ("GET", None)
    connection: http.client.HTTPConnection
    if case.wanted.tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        for _ in range(1 if closing else 2):
            connection.request(method, case.path, body, headers=case.headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                raise BenchmarkError(f"status {response.status} instead of 200")
            if answer != case.answer:
                raise BenchmarkError(f"a wrong body of {len(answer)} bytes")
            if closing != response.will_close and not case.may_close:
                raise BenchmarkError("keeps a connection to be closed" if closing else "closes")
    except (OSError, http.client.HTTPException) as error:
        raise BenchmarkError(f"no answer: {error!r}") from None
    finally:
        connection.close()


def check_raw(case: Case, port: int) -> None:
    """Check the status and the body of the answers to the first requests of a case's file."""
    try:
        with contextlib.ExitStack() as stack:
            client: socket.socket = stack.enter_context(
                socket.create_connection(("127.0.0.1", port), 5)
            )
            if case.wanted.tls:
                context = ssl._create_unverified_context()
                client = stack.enter_context(context.wrap_socket(client))
            for request in itertools.islice(heads.requests(case.requests), 2):
                client.sendall(request)
                response = http.client.HTTPResponse(client)
                response.begin()
                answer = response.read()
                if response.status != 200:
                    raise BenchmarkError(f"status {response.status} instead of 200")
                if case.answer and answer != case.answer:
                    raise BenchmarkError(f"a wrong body of {len(answer)} bytes")
                if response.will_close:
                    raise BenchmarkError("closes")
    except (OSError, http.client.HTTPException) as error:
        raise BenchmarkError(f"no answer: {error!r}") from None
