"""A real nginx before the server that is measured, on the load generator's core."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environment import BenchmarkError, require
from benchmarks.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 5.0

CONFIGURATION = """\
{user}worker_processes 1;
daemon off;
pid nginx.pid;
error_log nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream application {{
        server 127.0.0.1:{upstream};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000000;
        location / {{
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Request-Id $request_id;
        }}
    }}
}}
"""


@contextmanager
def nginx(upstream: int) -> Iterator[int]:
    """Start nginx before the server on the port `upstream`, and give its own port.

    Its processes run where this one runs: on the load generator's core. Raises `BenchmarkError`.
    """
    program = require("nginx", "nginx")
    port = free_port()
    user = "user root;\n" if os.geteuid() == 0 else ""  # its worker has to reach the directory
    with tempfile.TemporaryDirectory(prefix="asgiserver-benchmark-nginx-") as directory:
        file = Path(directory) / "nginx.conf"
        file.write_text(CONFIGURATION.format(user=user, upstream=upstream, port=port))
        command = [program, "-p", directory, "-c", str(file)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1.0).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise BenchmarkError("nginx did not start") from None
                    time.sleep(0.005)
            yield port
        finally:
            process.terminate()
            process.wait()
