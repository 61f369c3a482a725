"""Each attack by its name: the connection ends, with a reason that is counted; no other notices.

What the codec does with the same frames is in `test_h2_floods`; here a whole server is attacked.
"""

import tracemalloc

import pytest
from fakes import FakeServer, FakeTransport, turns, until
from h2_client import H2Client
from h2_peer import bytes_of, split_frames

from asgiserver.h2 import frames
from asgiserver.h2.faults import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
)

MOST_MEMORY = 3_000_000
"""Bytes that an attack may make the server keep, its own test client's records included."""

READ = 65_536  # bytes that one turn of the loop reads


@pytest.fixture
async def server(task_start):
    server = FakeServer(app)
    yield server
    await server.finish()


async def app(scope, receive, send):
    """Answers a GET with 10,000 bytes, and listens to a POST until its client leaves."""
    if scope["method"] == "POST":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": bytes(10_000)})


def ids(count, start=1):
    return range(start, start + 2 * count, 2)


def each(count, *lines):
    """The lines for each of many streams, in which <id> stands for each id."""
    return [line.replace("<id>", str(number)) for number in ids(count) for line in lines]


def parts_of(lines):
    """The lines up to each None, which stands for time to answer."""
    parts = [[]]
    for line in lines:
        if line is None:
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


OPEN = "HEADERS 1 END_HEADERS: POST"
FLOODS = {
    "rapid reset, CVE-2023-44487": (
        each(3000, "HEADERS <id> END_HEADERS: POST", "RST_STREAM <id>: CANCEL"),
        "too many resets",
    ),
    "resets that the server is made to send, CVE-2025-8671": (
        each(200, "HEADERS <id> END_HEADERS: POST", "WINDOW_UPDATE <id>: 0"),
        "too many faults",
    ),
    "CONTINUATION, CVE-2024-27316": (
        ["HEADERS 1: GET @0-5", "5000 x CONTINUATION 1: "],
        "too many continuations",
    ),
    "CONTINUATION without an end": (
        ["HEADERS 1: GET @0-5", "20 x CONTINUATION 1: {x*8000}"],
        "header block too large",
    ),
    "PING, CVE-2019-9512": (["5000 x PING: 12345678"], "too many pings"),
    "SETTINGS, CVE-2019-9515": (["500 x SETTINGS: 4=1"], "too many settings"),
    "WINDOW_UPDATE": (["5000 x WINDOW_UPDATE: 1"], "too many window updates"),
    "PRIORITY, CVE-2019-9513": (["5000 x PRIORITY 1: 0 1"], "too many priorities"),
    "PRIORITY_UPDATE": (["5000 x PRIORITY_UPDATE: 1 u=1"], "too many priorities"),
    "empty DATA, CVE-2019-9518": ([OPEN, "500 x DATA 1: "], "too many empty frames"),
    "empty HEADERS": (each(500, "HEADERS <id> END_STREAM END_HEADERS: "), "too many faults"),
    "windows of one byte, CVE-2019-9517": (
        [
            "SETTINGS: 4=1",
            "HEADERS 1 END_STREAM END_HEADERS: GET",
            *[None, "WINDOW_UPDATE 1: 1"] * 300,
        ],
        "too many tiny windows",
    ),
    "SETTINGS_INITIAL_WINDOW_SIZE up and down": (
        [
            *each(100, "HEADERS <id> END_STREAM END_HEADERS: GET"),
            *["SETTINGS: 4=0", "SETTINGS: 4=65535"] * 100,
        ],
        "too many settings",
    ),
    "padding": ([OPEN, "2000 x DATA 1 PADDED: #02 78 0000"], "too many padding"),
    "streams above the limit": (
        each(3000, "HEADERS <id> END_HEADERS: POST"),
        "too many refused",
    ),
}
FAULTS = {
    "a window that overflows": (
        ["WINDOW_UPDATE: 2147483647"],
        FLOW_CONTROL_ERROR,
        "the window of the connection is too large",
    ),
    "a stream id that is used again": (
        ["HEADERS 1 END_STREAM END_HEADERS: GET", None] * 2,
        STREAM_CLOSED,
        "a frame on a closed stream",
    ),
    "a stream id after the highest one": (
        ["HEADERS 2147483647 END_HEADERS: POST", "HEADERS 9 END_HEADERS: POST"],
        PROTOCOL_ERROR,
        "a stream id that is not higher than those before",
    ),
}


class Attacker:
    """Sends frames, and reads everything; `peak` is what the server kept at most, in bytes."""

    def __init__(self, server, settings="SETTINGS"):
        self.transport = FakeTransport()
        self.connection = server.h2_connection()
        self.transport.connect(self.connection)
        self.transport.arrive(frames.PREFACE + bytes_of([settings]))
        self.peak = 0

    async def send(self, data):
        """Send as fast as the server reads, until it closes."""
        tracemalloc.start()
        try:
            for begin in range(0, len(data), READ):
                if self.transport.closing or self.transport.eof_written:
                    break
                self.transport.arrive(data[begin : begin + READ])
                await turns(2)
            _, self.peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    async def closed(self):
        """Wait for the end; the error code of the last GOAWAY."""
        await until(lambda: self.transport.closing or self.transport.eof_written)
        sent = split_frames(self.transport.written)
        return [int.from_bytes(one[3][4:8], "big") for one in sent if one[0] == frames.GOAWAY][-1]


async def ends(server, lines, code, reason):
    """Attack, and see that the connection ends with `code`, and no other one."""
    victim, attacker = H2Client(server), Attacker(server)
    running = victim.request("POST", end=False)
    await turns()
    for part in parts_of(lines):
        await attacker.send(bytes_of(part))
        await turns(10)
    assert await attacker.closed() == code
    assert attacker.peak < MOST_MEMORY
    assert server.context.stats.refused[reason] == 1
    assert (await victim.request().reply()).status == 200
    assert not running.over
    await until(lambda: len(server.context.running) == 1)  # the victim's alone
    assert victim.is_open


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood(server, name):
    lines, reason = FLOODS[name]
    await ends(server, lines, ENHANCE_YOUR_CALM, reason)


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault(server, name):
    await ends(server, *FAULTS[name])


async def test_frames_after_goaway(server):
    victim, attacker = H2Client(server), Attacker(server)
    await attacker.send(bytes_of(["HEADERS 1 END_HEADERS: POST"]))
    attacker.connection.leave()
    # After the second GOAWAY there are no more streams.
    await attacker.send(bytes_of(["PING ACK: #00647261696e0000"]))
    await attacker.send(bytes_of(each(3000, "HEADERS <id> END_STREAM END_HEADERS: GET")[1:]))
    assert await attacker.closed() == ENHANCE_YOUR_CALM
    assert attacker.peak < MOST_MEMORY
    assert server.context.stats.refused["too many late frames"] == 1
    assert (await victim.request().reply()).status == 200


@pytest.mark.parametrize("kind", ["indexed fields", "crumbs of a cookie"])
async def test_a_bomb_of_hpack_is_limited_while_it_is_decoded(server, kind):
    """The bomb of June 2026: one byte for each 4,000, and windows of zero to hold what it makes."""
    victim, attacker = H2Client(server), Attacker(server, "SETTINGS: 4=0")
    name = "x-large" if kind == "indexed fields" else "cookie"
    first = b"\x82\x86\x84\x41\x01a\x40" + bytes([len(name)]) + name.encode()
    first += b"\x7f\xc1\x1d" + b"v" * 3904  # a value of 3,904 bytes, into the table
    bombs = b""
    for number in ids(100):
        block = (first if number == 1 else b"\x82\x86\x84\xbf") + b"\xbe" * 12_000
        bombs += len(block).to_bytes(3, "big") + b"\x01\x05" + number.to_bytes(4, "big") + block
    await attacker.send(bombs)
    assert attacker.peak < MOST_MEMORY
    assert not server.context.running
    assert sum(server.context.stats.refused.values()) == 100
    assert (await victim.request().reply()).status == 200
    for _ in range(100):
        server.clock.advance(1, server.context.connections)
        await turns(1)
    assert not attacker.connection.codec.streams  # cut by --timeout-write
