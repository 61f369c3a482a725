"""The best configuration of each server, and the process that the server runs as.

This module knows nothing of load or of statistics.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environment import HERE, ROOT, BenchmarkError, Environment

# Other variables, such as WEB_CONCURRENCY or GUNICORN_CMD_ARGS, would change what is measured.
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR")
START_SECONDS = 15.0
STOP_SECONDS = 5.0
LOG_SECONDS = 5.0


@dataclass(frozen=True)
class Wanted:
    """The demands of a case on every server."""

    app: str
    access_log: bool = False
    tls: bool = False
    protocol: str = "http"  # http, http2 or websocket
    workers: int = 1
    limit: str = "plain"  # the raw protocol of `limits` that answers like the application
    keep_alive: int = 0  # seconds that an idle connection stays open; 0: the server's default
    proxies: str = ""  # whose X-Forwarded-* fields are believed: addresses and networks


@dataclass(frozen=True)
class Launch:
    """The values that a command line is made of."""

    environment: Environment
    wanted: Wanted
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def python(self, *arguments: str) -> list[str]:
        return [str(self.environment.python), *arguments]

    def keep_alive(self, flag: str) -> list[str]:
        return [flag, str(self.wanted.keep_alive)] if self.wanted.keep_alive else []

    def proxies(self, *flags: str) -> list[str]:
        """The flags that make the server believe the proxies; the last one takes their list."""
        return [*flags, self.wanted.proxies] if self.wanted.proxies else []

    def tls(self, cert_flag: str, key_flag: str) -> list[str]:
        if not self.wanted.tls:
            return []
        cert, key = self.environment.certificate()
        return [cert_flag, str(cert), key_flag, str(key)]


Command = Callable[[Launch], list[str]]


def uvicorn_style(module: str, *options: str) -> Command:
    """uvicorn and asgiserver share their flags."""

    def command(launch: Launch) -> list[str]:
        wanted = launch.wanted
        line = launch.python("-m", module, wanted.app, "--port", str(launch.port), *options)
        line += [] if wanted.access_log else ["--no-access-log"]
        line += ["--workers", str(wanted.workers)] if wanted.workers > 1 else []
        line += ["--http2"] if wanted.protocol == "http2" else []
        line += launch.keep_alive("--timeout-keep-alive")
        line += launch.proxies("--forwarded-allow-ips")
        return line + launch.tls("--ssl-certfile", "--ssl-keyfile")

    return command


def granian(mode: str, *options: str) -> Command:
    """granian as an ASGI server; the best runtime mode depends on the case."""

    def command(launch: Launch) -> list[str]:
        wanted = launch.wanted
        line = launch.python("-m", "granian", wanted.app, "--port", str(launch.port))
        # granian's backlog also bounds the connections served at a time; with 1,024 some wait.
        line += ["--interface", "asgi", "--loop", "uvloop", "--runtime-mode", mode]
        line += ["--backlog", "8192"]
        line += ["--http", "2" if wanted.protocol == "http2" else "1"]
        line += ["--workers", str(wanted.workers), *options]
        line += [] if wanted.protocol == "websocket" else ["--no-ws"]
        line += ["--access-log"] if wanted.access_log else []
        return line + launch.tls("--ssl-certificate", "--ssl-keyfile")

    return command


def hypercorn(launch: Launch) -> list[str]:
    wanted = launch.wanted
    line = launch.python("-m", "hypercorn", wanted.app, "--bind", launch.address)
    line += ["-k", "uvloop", "-w", str(wanted.workers)]
    line += ["--access-logfile", "-"] if wanted.access_log else []
    line += launch.keep_alive("--keep-alive")
    return line + launch.tls("--certfile", "--keyfile")


def gunicorn(worker: str, *options: str) -> Command:
    def command(launch: Launch) -> list[str]:
        wanted = launch.wanted
        line = launch.python("-m", "gunicorn", wanted.app, "-b", launch.address, "-k", worker)
        line += ["-w", str(wanted.workers), *options]
        line += ["--access-logfile", "-"] if wanted.access_log else []
        if wanted.protocol == "http2":
            line += ["--http-protocols", "h2,h1", "--http2-cleartext", "prior-knowledge"]
        line += launch.keep_alive("--keep-alive") + launch.proxies("--forwarded-allow-ips")
        return line + launch.tls("--certfile", "--keyfile")

    return command


def daphne(launch: Launch) -> list[str]:
    wanted = launch.wanted
    line = launch.python("-m", "daphne", wanted.app, "-v", "1" if wanted.access_log else "0")
    line += ["--proxy-headers"] if wanted.proxies else []
    if not wanted.tls:
        return [*line, "-b", "127.0.0.1", "-p", str(launch.port)]
    cert, key = launch.environment.certificate()
    endpoint = f"ssl:{launch.port}:privateKey={key}:certKey={cert}:interface=127.0.0.1"
    return [*line, "-e", endpoint]


def h2corn(launch: Launch) -> list[str]:
    wanted = launch.wanted
    line = [launch.environment.tool("h2corn"), wanted.app, "--bind", launch.address]
    line += ["--loop", "uvloop", "--workers", str(wanted.workers)]
    line += ["--access-log" if wanted.access_log else "--no-access-log"]
    line += launch.keep_alive("--timeout-keep-alive")
    line += launch.proxies("--proxy-headers", "--forwarded-allow-ips")
    return line + launch.tls("--certfile", "--keyfile")


def weft(launch: Launch) -> list[str]:
    wanted = launch.wanted
    line = [launch.environment.tool("weft"), wanted.app, "--port", str(launch.port)]
    line += ["--workers", str(wanted.workers), "--no-auto-venv"]
    line += ["--access-log"] if wanted.access_log else []
    line += launch.keep_alive("--keep-alive") + launch.proxies("--forwarded-allow-ips")
    return line + launch.tls("--tls-cert", "--tls-key")


def peregrine(launch: Launch) -> list[str]:
    wanted = launch.wanted
    line = [launch.environment.tool("peregrine"), "--port", str(launch.port)]
    line += ["--workers", str(wanted.workers), "--no-auto-venv"]
    line += ["--access-log"] if wanted.access_log else []
    line += ["--keep-alive", str(wanted.keep_alive * 1000)] if wanted.keep_alive else []
    line += launch.proxies("--forwarded-allow-ips") + launch.tls("--tls-cert", "--tls-key")
    return [*line, wanted.app]


def saltare(launch: Launch) -> list[str]:
    """Its command line has no option for a certificate: no case with TLS names it."""
    wanted = launch.wanted
    line = [launch.environment.tool("saltare"), wanted.app, "--port", str(launch.port)]
    line += ["--workers", str(wanted.workers), "--auto-raise-nofile"]
    # A bound on connections, and one on the requests of each, would be what is measured.
    line += ["--max-concurrent-connections", "8192", "--max-keepalive-requests", str(1 << 30)]
    line += ["--access-log"] if wanted.access_log else []
    line += ["--http2"] if wanted.protocol == "http2" else []
    line += ["--proxy-headers"] if wanted.proxies else []
    return line + launch.keep_alive("--keep-alive-timeout")


def limit(kind: str = "") -> Command:
    """A raw protocol of `limits`; without a kind, the one that the case names."""

    def command(launch: Launch) -> list[str]:
        chosen = kind or launch.wanted.limit
        line = launch.python(str(HERE / "limits.py"), chosen, str(launch.port))
        return line + list(map(str, launch.environment.certificate() if launch.wanted.tls else ()))

    return command


@dataclass(frozen=True)
class Server:
    """One way of serving: a name for the tables, a command line, the source it imports first."""

    name: str
    command: Command
    source: Path = ROOT
    distribution: str = ""  # the package whose version is reported
    variables: tuple[tuple[str, str], ...] = ()  # of its environment


FAST = ("--http", "httptools", "--loop", "uvloop")
OURS = ("--http", "auto", "--loop", "uvloop")  # the compiled core, where it was built
ASGISERVER = Server("asgiserver", uvicorn_style("asgiserver", *OURS), distribution="asgiserver")

SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        ASGISERVER,
        Server(
            "asgiserver-pure",
            uvicorn_style("asgiserver", *OURS),
            variables=(("ASGISERVER_SPEEDUPS", "0"),),
        ),
        Server("asgiserver-httptools", uvicorn_style("asgiserver", *FAST)),
        # Against `asgiserver`: what the figures for operators cost, and what the watchdog does.
        Server(
            "asgiserver-admin", uvicorn_style("asgiserver", *OURS, "--admin", "unix:admin.sock")
        ),
        Server(
            "asgiserver-unwatched", uvicorn_style("asgiserver", *OURS, "--loop-stall-warn", "0")
        ),
        Server("asgiserver-asyncio", uvicorn_style("asgiserver", "--loop", "asyncio")),
        Server("asgiserver-h11", uvicorn_style("asgiserver", "--http", "h11", "--loop", "uvloop")),
        Server("asgiserver-pathsend", uvicorn_style("asgiserver", *OURS, "--pathsend")),
        Server("asgiserver-wsproto", uvicorn_style("asgiserver", *OURS, "--ws", "wsproto")),
        Server(
            "asgiserver-wsgi",
            uvicorn_style("asgiserver", *OURS, "--interface", "wsgi", "--wsgi-threads", "40"),
        ),
        Server("uvicorn", uvicorn_style("uvicorn", *FAST), distribution="uvicorn"),
        Server(
            "uvicorn-zttp",
            uvicorn_style("uvicorn", "--http", "zttp", "--loop", "uvloop"),
            distribution="zttp",
        ),
        Server("uvicorn-h11", uvicorn_style("uvicorn", "--http", "h11", "--loop", "uvloop")),
        Server("uvicorn-wsproto", uvicorn_style("uvicorn", *FAST, "--ws", "wsproto")),
        Server("uvicorn-ws-legacy", uvicorn_style("uvicorn", *FAST, "--ws", "websockets")),
        Server("granian", granian("st"), distribution="granian"),
        Server("granian-mt", granian("mt")),
        Server("granian-flush", granian("mt", "--http1-pipeline-flush")),
        Server("hypercorn", hypercorn, distribution="hypercorn"),
        Server("gunicorn", gunicorn("asgi", "--asgi-loop", "uvloop"), distribution="gunicorn"),
        Server("daphne", daphne, distribution="daphne"),
        Server("h2corn", h2corn, distribution="h2corn"),
        Server("weft", weft, distribution="weft-server"),
        Server("peregrine", peregrine, distribution="peregrine-server"),
        Server("saltare", saltare, distribution="saltare"),
        Server("limit", limit()),
        Server("limit-20-writes", limit("chunks")),
        Server("gunicorn-sync", gunicorn("sync")),
        Server("gunicorn-gthread", gunicorn("gthread", "--threads", "40")),
    )
}


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """A started server and its process tree, pinned to its cores.

    Leaving the context kills the whole process group.
    """

    server: Server
    environment: Environment
    wanted: Wanted
    cores: set[int]
    port: int = field(default_factory=free_port)
    log_seen: int = 0  # bytes of the log that `wait_logged` has read

    def __enter__(self) -> Running:
        self.directory = tempfile.TemporaryDirectory(
            prefix="asgiserver-benchmark-", ignore_cleanup_errors=True
        )
        self.log = Path(self.directory.name) / "server.log"
        self.command = self.server.command(Launch(self.environment, self.wanted, self.port))
        # The working directory holds nothing that could be imported by mistake, and PYTHONPATH
        # decides which source tree of asgiserver is measured.
        variables = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | {
            "PYTHONPATH": f"{self.server.source}:{HERE}",
            "PYTHONSAFEPATH": "1",
            **dict(self.server.variables),
        }
        with self.log.open("wb") as log:
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.directory.name,
                env=variables,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, self.cores),
            )
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self.signal(signal.SIGTERM)
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:  # after a second Ctrl-C no process and no file must be left either
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.directory.cleanup()

    def signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def wait_listening(self) -> float:
        """Seconds from the start until a connection is accepted.

        Raises `BenchmarkError` with the last line of its log when the server does not come up.
        """
        while time.monotonic() - self.started < START_SECONDS:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                return time.monotonic() - self.started
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.005)
        raise BenchmarkError(f"{self.server.name} did not start: {self.last_line()}")

    def wait_logged(self, lines: int) -> None:
        """Wait until the log has grown by `lines` since the last call.

        A server that gathers lines writes them later, but the cost belongs to their requests.
        Raises `BenchmarkError` when the lines do not come.
        """
        deadline = time.monotonic() + LOG_SECONDS
        with self.log.open("rb") as log:
            log.seek(self.log_seen)
            while True:
                while block := log.read(1 << 20):
                    lines -= block.count(b"\n")
                if lines <= 0 or time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            self.log_seen = log.tell()
        if lines > 0:
            raise BenchmarkError(f"{self.server.name} did not log {lines} of its requests")

    def last_line(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return self._portable(lines[-1].strip())[:200] if lines else "it printed nothing"

    def _portable(self, text: str) -> str:
        """`text` without the directories of this machine."""
        text = text.replace(str(self.environment.directory), "ENV").replace(f"{ROOT}/", "")
        return text.replace(f"{self.directory.name}/", "")

    def shown_command(self) -> str:
        """The command line without the directories of this machine."""
        return self._portable(" ".join(["python", *self.command[1:]]))

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree, with all threads and with reaped children."""
        return sum(map(process_cpu_seconds, self.tree()))

    def resident_bytes(self) -> tuple[int, int]:
        """Resident and proportional set size of the whole tree, in bytes."""
        rss = pss = 0
        for pid in self.tree():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            for line in text.splitlines():
                name, _, value = line.partition(":")
                if name == "Rss":
                    rss += int(value.split()[0]) * 1024
                elif name == "Pss":
                    pss += int(value.split()[0]) * 1024
        return rss, pss

    def peak_bytes(self) -> int:
        """The highest resident set size so far, summed over the tree, in bytes."""
        return sum(peak_kibibytes(pid) * 1024 for pid in self.tree())

    def tree(self) -> Iterator[int]:
        """The pids of the server's process and of all its descendants."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                fields = stat_fields(int(entry.name))
                if fields:
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            waiting += children.get(pid, [])


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The command name, in parentheses, may itself contain spaces and parentheses.
    return text.rpartition(")")[2].split()


def peak_kibibytes(pid: int) -> int:
    """The high-water mark of one process's resident set."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) if found else 0


def process_cpu_seconds(pid: int) -> float:
    """CPU time of one process with all its threads, and of its children that were waited for."""
    fields = stat_fields(pid)
    if not fields:
        return 0.0
    reaped = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    # The CPU-time clock of a process (clock_getcpuclockid(3)) counts nanoseconds where
    # /proc/PID/stat counts ticks of 10 ms, and includes threads that have ended.
    try:
        return time.clock_gettime((~pid << 3) | 2) + reaped
    except OSError:
        return 0.0
