"""Counts of what one request makes the server do: no machine and no load changes these figures.

The server is the real one, but its event loop counts, its transports are in memory, and its output
sees no time pass; the applications are those of the benchmarks. This module knows nothing else of
the server's inside.
Run it with ``python -m benchmarks budget``.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import socket
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import asgiserver
from asgiserver.wire import output
from benchmarks.scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType

PACKAGE = os.path.dirname(asgiserver.__file__) + os.sep
FULL = 256
"""Requests after which caches are full; a multiple of as many more leaves them equally full."""
TOOL = 4
"""An identifier for `sys.monitoring` that neither debuggers nor coverage.py use."""


@dataclass(frozen=True)
class Counts:
    """The figures of one request. All but the last three count calls."""

    writes: float  # calls of the transport's `write`: each is a system call
    tasks: float
    futures: float
    timers: float  # call_later and call_at
    callbacks: float  # call_soon; waking a task counts as one
    bytecodes: float  # executed in asgiserver's own functions
    held: float  # blocks of memory, of at most 512 bytes, when the answer is written
    retained: float  # blocks that remain after the request, with garbage in cycles


COLUMNS = tuple(field.name for field in fields(Counts))


class Transport(asyncio.Transport):
    """Takes every write at once and counts it; the bytes are kept until `take`."""

    def __init__(self, on_write: Callable[[], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 8000)})
        self.on_write = on_write
        self.written: list[bytes] = []
        self.closing = False
        self.protocol: Any = None

    def write(self, data: Any) -> None:
        self.on_write()
        self.written.append(data)

    def take(self) -> bytes:
        """The bytes written since the last call."""
        written = b"".join(self.written)
        self.written.clear()
        return written

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.closing = True

    abort = close


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts the calls of its methods. It makes no transports, and its time stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks = self.futures = self.timers = self.callbacks = 0
        # The factory of protocols that the server gave for accepted connections.
        self.make_protocol: Callable[[], Any] | None = None

    def time(self) -> float:
        return 1000.0

    async def connect_accepted_socket(
        self, protocol_factory: Callable[[], Any], sock: socket.socket, **options: Any
    ) -> Any:
        self.make_protocol = protocol_factory
        sock.close()

    def create_task(self, *args: Any, **options: Any) -> asyncio.Task[Any]:
        self.tasks += 1
        return super().create_task(*args, **options)

    def create_future(self) -> asyncio.Future[Any]:
        self.futures += 1
        return super().create_future()

    def call_at(self, *args: Any, **options: Any) -> asyncio.TimerHandle:
        self.timers += 1  # call_later calls this too
        return super().call_at(*args, **options)

    def call_soon(self, *args: Any, **options: Any) -> asyncio.Handle:
        self.callbacks += 1
        return super().call_soon(*args, **options)

    def turn(self) -> None:
        """Run the callbacks that are ready now."""
        super().call_soon(self.stop)
        self.run_forever()


class Bench:
    """One scenario with a server around it, which has the `options` of a `Config`."""

    def __init__(self, scenario: Scenario, **options: Any) -> None:
        self.scenario = scenario
        self.requests = 0
        self.writes = 0
        self.most_blocks = 0
        self.loop = loop = CountingLoop()
        quiet = {"access_log": False, "lifespan": "off", "log_level": "error"}
        quiet["loop_stall_warn"] = "off"  # the watchdog's thread is no part of a request
        config = asgiserver.Config(scenario.app, port=0, **(quiet | options))
        self.server = loop.run_until_complete(self._start(config))
        port = int(self.server.addresses[0].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):
            while loop.make_protocol is None:
                loop.turn()
        if not scenario.closes:
            self.connect()

    @staticmethod
    async def _start(config: Any) -> Any:
        server = asgiserver.Server(config)
        await server.start()
        return server

    def connect(self) -> None:
        """Make a new connection, and send what comes first on it."""
        self.transport = Transport(self.count_write)
        assert self.loop.make_protocol is not None
        self.transport.protocol = self.loop.make_protocol()
        self.transport.protocol.connection_made(self.transport)
        if self.scenario.opening:
            self.arrive(self.scenario.opening)
            self.settle()

    def close(self) -> None:
        if not self.scenario.closes:
            self.lose()
        self.loop.run_until_complete(self.server.stop(timeout=0))
        self.loop.close()

    def lose(self) -> None:
        """End the connection; the two that know each other are freed without the collector."""
        protocol, self.transport.protocol = self.transport.protocol, None
        protocol.connection_lost(None)

    def arrive(self, data: bytes) -> None:
        """Deliver bytes from the client in a turn of their own."""
        super(CountingLoop, self.loop).call_soon(self.transport.protocol.data_received, data)
        self.loop.turn()

    def count_write(self) -> None:
        self.writes += 1
        self.most_blocks = max(self.most_blocks, sys.getallocatedblocks())

    def settle(self) -> bytes:
        """Let the server finish the request, and return what it wrote."""
        for _ in range(self.scenario.turns):
            self.loop.turn()
        return self.transport.take()

    def request(self) -> None:
        """Run the scenario once; every piece arrives in a turn of its own."""
        scenario = self.scenario
        if scenario.closes:
            self.connect()
        self.requests += 1
        if scenario.numbered is not None:
            self.arrive(scenario.numbered(self.requests))
        for piece in scenario.pieces:
            if scenario.number:
                piece = piece.replace(
                    scenario.number, b"%0*d" % (len(scenario.number), self.requests)
                )
            self.arrive(piece)
        answer = self.settle()
        if not answer.endswith(scenario.ends) or answer.count(scenario.ends) < scenario.answers:
            raise AssertionError(f"{scenario.name}: wrong answer {answer[-200:]!r}")
        if scenario.closes:
            if not self.transport.protocol.eof_received():  # the client has seen our end
                self.transport.close()
            self.lose()


@contextmanager
def no_time_between_outputs() -> Iterator[None]:
    """The server is busy: what it writes waits for the end of the turn, which costs a callback."""
    clock, output.perf_counter = output.perf_counter, lambda: 0.0
    try:
        yield
    finally:
        output.perf_counter = clock


@contextmanager
def counted_tasks(loop: CountingLoop) -> Iterator[None]:
    """Count also the tasks that start at once (from 3.12), which are made without the loop."""
    original = asyncio.Task

    class CountedTask(original):  # type: ignore[type-arg, valid-type, misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            loop.tasks += 1
            super().__init__(*args, **options)

    asyncio.Task = CountedTask  # type: ignore[misc]
    try:
        yield
    finally:
        asyncio.Task = original  # type: ignore[misc]


def count(scenario: Scenario) -> Counts:
    """Run a scenario and count. Raises `AssertionError` for a wrong answer."""
    with no_time_between_outputs():
        bench = Bench(scenario)
        try:
            for _ in range(50):  # until the adaptive bytecode has settled
                bench.request()
            found = [*count_calls(bench), count_bytecodes(bench), *count_blocks(bench)]
        finally:
            bench.close()
    return Counts(*(round(value / scenario.answers, 2) for value in found))


def count_calls(bench: Bench) -> tuple[int, ...]:
    """Writes, tasks, futures, timers and callbacks of one run."""
    loop = bench.loop
    bench.writes = loop.tasks = loop.futures = loop.timers = loop.callbacks = 0
    with counted_tasks(loop):
        bench.request()
    return bench.writes, loop.tasks, loop.futures, loop.timers, loop.callbacks


def count_bytecodes(bench: Bench) -> float:
    """Instructions of CPython that asgiserver's functions execute for one run; nan before 3.12."""
    if sys.version_info < (3, 12):
        return math.nan
    executed = 0
    own = threading.get_ident()  # other threads of the server have nothing to do with a request

    def on_instruction(code: CodeType, offset: int) -> None:
        nonlocal executed
        executed += code.co_filename.startswith(PACKAGE) and threading.get_ident() == own

    monitoring = sys.monitoring
    event = monitoring.events.INSTRUCTION
    monitoring.use_tool_id(TOOL, "budget")
    monitoring.register_callback(TOOL, event, on_instruction)
    gc.disable()  # a collection calls functions of ours
    monitoring.set_events(TOOL, event)
    try:
        bench.request()
    finally:
        monitoring.set_events(TOOL, 0)
        gc.enable()
        monitoring.register_callback(TOOL, event, None)
        monitoring.free_tool_id(TOOL)
    return executed


def count_blocks(bench: Bench) -> tuple[float, float]:
    """Blocks that one run holds when the answer is written, and blocks that remain after it."""
    held = math.inf
    for _ in range(3):  # the least counts, because a run may fill a cache
        gc.collect()  # empties the free lists, whose content would count as held
        gc.disable()
        before = sys.getallocatedblocks()
        bench.most_blocks = 0
        bench.request()
        held = min(held, bench.most_blocks - before)
    try:
        for _ in range(FULL):
            bench.request()
        before = sys.getallocatedblocks()
        for _ in range(FULL):
            bench.request()
        # The division drops what a table keeps once: less than one block per request is no growth.
        retained = int((sys.getallocatedblocks() - before) / FULL)
    finally:
        gc.enable()
    return held, retained


# From 3.12 on tasks begin at once, so an application that never waits costs no turn of the loop.
EAGER = sys.version_info >= (3, 12)

# The most that a request may cost with the compiled core; bytecodes are those of 3.12 to 3.14.
# Lower a figure with every gain, raise it only with a reason. What is held depends a little on
# what the process did before: two blocks more are allowed than a fresh one holds.
BUDGET: dict[str, Counts] = (
    {
        "get": Counts(1, 1, 0, 0, 1, 799, 40, 0),
        "headers": Counts(1, 1, 0, 0, 1, 799, 53, 0),
        "numbered": Counts(1, 1, 0, 0, 1, 799, 55, 0),
        "production": Counts(1, 1, 0, 0, 1, 979, 61, 0),
        "post": Counts(1, 1, 0, 0, 0, 1107, 60, 0),
        "post-later": Counts(1, 1, 1, 0, 2, 1577, 75, 0),
        "stream": Counts(1, 1, 0, 0, 0, 3743, 73, 0),
        "pipelined": Counts(0.06, 1, 0, 0, 0.06, 712, 6.2, 0),
        "close": Counts(1, 1, 0, 0, 0, 1356, 61, 0),
        "websocket": Counts(1, 0, 1, 0, 2, 487, 33, 0),
        "http2": Counts(1, 1, 0, 0, 0, 1262, 44, 0),
        "http2-streams": Counts(0.07, 1, 0, 0, 0, 964, 13, 0),
    }
    if EAGER
    else {
        "get": Counts(1, 1, 0, 0, 3, math.nan, 68, 0),
        "headers": Counts(1, 1, 0, 0, 3, math.nan, 93, 0),
        "numbered": Counts(1, 1, 0, 0, 3, math.nan, 96, 0),
        "production": Counts(1, 1, 0, 0, 3, math.nan, 124, 0),
        "post": Counts(1, 1, 0, 0, 2, math.nan, 80, 0),
        "post-later": Counts(1, 1, 1, 0, 3, math.nan, 83, 0),
        "stream": Counts(1, 1, 0, 0, 3, math.nan, 96, 0),
        "pipelined": Counts(1, 1, 0, 0, 3.94, math.nan, 10.5, 0),
        "close": Counts(1, 1, 0, 0, 3, math.nan, 78, 0),
        "websocket": Counts(1, 0, 1, 0, 2, math.nan, 33, 0),
        "http2": Counts(1, 1, 0, 0, 3, math.nan, 71, 0),
        "http2-streams": Counts(0.07, 1, 0, 0, 2.1, math.nan, 40, 0),
    }
)


def exceeded(found: Counts, budget: Counts) -> list[str]:
    """The columns in which `found` is above the budget."""
    return [name for name in COLUMNS if getattr(found, name) > getattr(budget, name)]


def main() -> int:
    """Print the costs and the budget of every scenario; 1 when a budget is exceeded."""
    width = max(len(scenario.title) for scenario in SCENARIOS.values())
    print(f"{'count/budget':{width}}" + "".join(f"{name:>12}" for name in COLUMNS))
    over = False
    for scenario in SCENARIOS.values():
        found, budget = count(scenario), BUDGET[scenario.name]
        cells = (f"{getattr(found, name):g}/{getattr(budget, name):g}" for name in COLUMNS)
        print(f"{scenario.title:{width}}" + "".join(f"{cell:>12}" for cell in cells))
        if names := exceeded(found, budget):
            over = True
            print(f"  over budget: {', '.join(names)}")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
