"""Several machines on this one: network namespaces, with cables to the edge, where a test is."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from pathlib import Path

import pytest
from admin_client import AdminClient
from process_server import DEADLINE, ServerProcess
from proxies import program

TOKEN = "only a test knows it"
ORDER = {"X-Asgiserver-Admin": "1", "Authorization": f"Bearer {TOKEN}"}

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000  # of linux/sched.h

# Runs in the new process, which then becomes the server.
ENTER = """
import ctypes, os, sys
fd = os.open({path!r}, os.O_RDONLY)
if ctypes.CDLL(None, use_errno=True).setns(fd, {kind}):
    raise OSError(ctypes.get_errno(), "setns")
os.close(fd)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def enter(path: Path) -> None:
    """Make the network of `path` the one of this thread, and of what it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns: {path}")
    finally:
        os.close(fd)


class Host:
    """A machine with one address."""

    def __init__(self, namespace: str, name: str, address: str) -> None:
        self.namespace = namespace
        self.name = name
        self.address = address

    def serve(self, folder: Path, *options: str, **environ: str) -> ServerProcess:
        """Start a server on port 8000 of this host, whose admin listener is on port 9000."""
        path = str(NAMESPACES / self.namespace)
        return ServerProcess(
            folder,
            *("--bind", f"{self.address}:8000", "--admin", f"{self.address}:9000"),
            *options,
            through=ENTER.format(path=path, kind=CLONE_NEWNET),
            CHAT_HOST=self.name,
            **environ,
        )


class Edge:
    """The network 10.0.0.0/24, in which a `with` block is the machine 10.0.0.10.

    `a` and `b` are the hosts 10.0.0.11 and 10.0.0.12. Nothing of it is seen outside.
    """

    address = "10.0.0.10"

    def __init__(self) -> None:
        self._ip = program("ip")
        self._names = [f"asgiserver-{os.getpid()}-{name}" for name in ("edge", "a", "b")]
        self._before = -1
        self.a, self.b = (
            Host(namespace, namespace[-1], f"10.0.0.{number}")
            for number, namespace in enumerate(self._names[1:], 11)
        )

    def __enter__(self) -> Edge:
        if os.getuid() != 0:
            pytest.skip("network namespaces need root")
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build(self) -> None:
        edge = self._names[0]
        for name in self._names:
            done = self._run("netns", "add", name)
            if done.returncode:
                pytest.skip(f"network namespaces cannot be made here: {done.stderr.strip()}")
            self._do("-n", name, "link", "set", "lo", "up")
        self._do("-n", edge, "link", "add", "hub", "type", "bridge")
        self._do("-n", edge, "address", "add", f"{self.address}/24", "dev", "hub")
        self._do("-n", edge, "link", "set", "hub", "up")
        for host in (self.a, self.b):
            port = f"to-{host.name}"
            there = ("peer", "name", "cable", "netns", host.namespace)
            self._do("-n", edge, "link", "add", port, "type", "veth", *there)
            self._do("-n", edge, "link", "set", port, "master", "hub", "up")
            self._do("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "cable")
            self._do("-n", host.namespace, "link", "set", "cable", "up")
        enter(NAMESPACES / edge)

    def __exit__(self, *_: object) -> None:
        enter(Path(f"/proc/self/fd/{self._before}"))
        os.close(self._before)
        for name in self._names:
            self._run("netns", "delete", name)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self._ip, *arguments], capture_output=True, text=True)

    def _do(self, *arguments: str) -> None:
        done = self._run(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)


class Hosts:
    """The servers of both hosts, with the same options."""

    def __init__(self, edge: Edge, folder: Path, *options: str, **environ: str) -> None:
        self._edge = edge
        self._folder = folder
        self._options = options
        self._environ = environ
        self._stack = contextlib.ExitStack()
        self.servers: dict[str, ServerProcess] = {}

    async def __aenter__(self) -> Hosts:
        """Start both."""
        try:
            await asyncio.gather(self.start("a"), self.start("b"))
        except BaseException:
            self._stack.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stack.close()

    async def start(self, name: str) -> None:
        """Start the server of a host, and wait until it is ready."""
        host: Host = getattr(self._edge, name)
        environ = {"ASGISERVER_ADMIN_TOKEN": TOKEN, **self._environ}
        server = host.serve(self._folder, *self._options, **environ)
        self.servers[name] = self._stack.enter_context(server)
        await asyncio.to_thread(server.ready)

    async def drain(self, name: str) -> None:
        """Order a drain at the admin listener, and wait for the end of the server."""
        admin = AdminClient(f"http://{getattr(self._edge, name).address}:9000")
        status, body = await asyncio.to_thread(admin.ask, "/drain", "POST", **ORDER)
        assert status == 202, body
        assert await asyncio.to_thread(self.servers[name].wait) == 0

    async def stop(self, name: str) -> None:
        """Stop as systemd and Kubernetes do."""
        assert await asyncio.to_thread(self.servers[name].stop) == 0

    async def upgrade(self, name: str) -> int:
        """Put a new supervisor in the place of the old one, and return its process id."""
        server = self.servers[name]
        server.signal(signal.SIGUSR2)
        seen = await asyncio.to_thread(server.see, r"The new supervisor \(pid (\d+)\) serves")
        # The new one has inherited the log, which therefore does not end.
        assert await asyncio.to_thread(server.process.wait, DEADLINE) == 0
        return int(seen[1])

    async def kill(self, name: str) -> None:
        """Kill all processes of a host at once."""
        server = self.servers[name]
        server.signal_group(signal.SIGKILL)
        await asyncio.to_thread(server.wait)
