"""Strategies: frames that a client may send, or may not."""

from h2_peer import KINDS
from hypothesis import strategies as st

from asgiserver.h2 import frames

GOOD_BLOCKS = (
    "GET",
    "POST",
    "POST | content-length=3",
    "GET | te=trailers | cookie=a=b | cookie=c=d | priority=u=1, i",
    ":method=CONNECT | :protocol=websocket | :scheme=http | :path=/ | :authority=a",
    "x-trailer=1",
    "",
)
BAD_BLOCKS = (
    "GET | Upper=x",
    "GET | connection=close",
    "x=y | GET",
    "#ff",
    "#be",
    "#3fe1ff03",
    ":method=CONNECT | :authority=a",
    ":method=BREW | :scheme=http | :path=/ | :authority=a",
    "GET | :path=/",
)

ids = st.sampled_from((1, 1, 1, 3, 3, 5, 7, 9))
any_ids = st.one_of(ids, st.sampled_from((0, 2, 2**31 - 1)))
codes = st.sampled_from(("NO_ERROR", "CANCEL", "PROTOCOL_ERROR"))
sizes = st.sampled_from((0, 1, 3, 3, 10, 1000, 16384))


@st.composite
def _data(draw):
    size = draw(sizes)
    flags = draw(st.sampled_from(("", "", " END_STREAM")))
    if size < 1000 and draw(st.booleans()):
        padding = draw(st.integers(0, 9))
        return f"DATA {draw(any_ids)}{flags} PADDED: #{padding:02x}{'78' * size}{'00' * padding}"
    return f"DATA {draw(any_ids)}{flags}: {{x*{size}}}" if size else f"DATA {draw(any_ids)}{flags}"


good_blocks = st.sampled_from(GOOD_BLOCKS)


@st.composite
def _headers(draw, blocks=good_blocks, stream_ids=any_ids):
    flags = draw(st.sampled_from((" END_STREAM", "")))
    stream = draw(stream_ids)
    block = draw(blocks)
    if draw(st.integers(0, 5)):
        return [f"HEADERS {stream}{flags} END_HEADERS: {block}"]
    cut = draw(st.integers(0, 9))
    return [
        f"HEADERS {stream}{flags}: {block} @0-{cut}",
        f"CONTINUATION {stream} END_HEADERS: {block} @{cut}-",
    ]


@st.composite
def _settings(draw):
    values = st.one_of(
        st.tuples(st.just(4), st.sampled_from((0, 1, 5, 65535, 100_000, 2**31 - 1, 2**31))),
        st.tuples(st.just(1), st.sampled_from((0, 64, 4096, 100_000))),
        st.tuples(st.sampled_from((2, 3, 5, 6, 8, 9, 99)), st.sampled_from((0, 1, 2, 16384))),
    )
    pairs = draw(st.lists(values, max_size=3))
    return "SETTINGS: " + ", ".join(f"{name}={value}" for name, value in pairs)


def _joined(groups):
    return [line for group in groups for line in group]


def _one(frame):
    return frame.map(lambda line: [line])


increments = st.sampled_from((0, 1, 5, 100, 65535, 2**30, 2**31 - 1))
lines = st.one_of(
    _headers(),
    _headers(),
    _headers(blocks=st.sampled_from(BAD_BLOCKS)),
    _one(_data()),
    _one(_data()),
    _one(_settings()),
    _one(st.builds("RST_STREAM {}: {}".format, any_ids, codes)),
    _one(st.builds("WINDOW_UPDATE {}: {}".format, any_ids, increments)),
    _one(st.builds("PRIORITY {}: {} 5".format, any_ids, any_ids)),
    _one(st.builds("PRIORITY_UPDATE: {} u={}, i".format, any_ids, st.integers(0, 9))),
    _one(st.sampled_from(("PING: 12345678", "PING ACK: 12345678", "SETTINGS ACK", "x77 1: x"))),
    _one(st.sampled_from(("GOAWAY: 0 NO_ERROR", "CONTINUATION 1: x=y", "PUSH_PROMISE 1: #00"))),
)
sequences = st.lists(lines, max_size=12).map(_joined)
"""Lines for `h2_peer.bytes_of`: mostly what a client may send, in an order that it may not."""


@st.composite
def _raw(draw):
    kind = draw(st.sampled_from((*KINDS.values(), 0xB, 0xFF)))
    stream = draw(st.one_of(any_ids, st.integers(0, 2**32 - 1)))
    payload = draw(st.binary(max_size=40))
    head = frames.frame_head(len(payload), kind, draw(st.integers(0, 255)), 0)[:5]
    return head + stream.to_bytes(4) + payload


raw_frames = st.lists(st.one_of(_raw(), st.binary(max_size=20)), max_size=8).map(b"".join)
"""Bytes: frames of any content, and no frames at all."""

good_sequences = st.lists(
    st.one_of(
        _headers(stream_ids=ids),
        _one(_data()),
        _one(st.builds("WINDOW_UPDATE {}: {}".format, any_ids, st.integers(1, 100))),
        _one(st.builds("RST_STREAM {}: {}".format, ids, codes)),
        _one(st.sampled_from(("PING: 12345678", "SETTINGS: 4=100, 1=0", "SETTINGS: 4=0"))),
    ),
    max_size=12,
).map(_joined)
"""Lines that are mostly valid."""

WEBSOCKET = (
    ":method=CONNECT | :protocol=websocket | :scheme=http | :path=/ | :authority=a"
    " | sec-websocket-version=13"
)
FIELDS = ("", " | x=y", " | priority=u=1, i", " | cookie=a=b | cookie=c=d", " | te=trailers")


@st.composite
def conversations(draw):
    """Lines of a client that breaks no rule: requests, bodies, trailers, resets, windows."""
    lines, running, used = [], [], []
    for _ in range(draw(st.integers(1, 15))):
        act = draw(st.integers(0, 9))
        if act < 4 or not running:
            stream = (used[-1] if used else -1) + 2
            used.append(stream)
            kind = draw(st.integers(0, 5))
            if kind < 2:
                lines.append(f"HEADERS {stream} END_STREAM END_HEADERS: GET{draw(fields)}")
                continue
            head = WEBSOCKET if kind == 2 else f"POST{draw(fields)}"
            lines.append(f"HEADERS {stream} END_HEADERS: {head}")
            running.append(stream)
        elif act < 7:
            stream = draw(st.sampled_from(running))
            size = draw(st.sampled_from((0, 1, 10, 3000)))
            lines.append(f"DATA {stream}: {{x*{size}}}" if size else f"DATA {stream}")
        elif act == 7:
            stream = draw(st.sampled_from(running))
            running.remove(stream)
            trailers = f"HEADERS {stream} END_STREAM END_HEADERS: x-sum=1"
            lines.append(draw(st.sampled_from((f"DATA {stream} END_STREAM", trailers))))
        elif act == 8:
            stream = draw(st.sampled_from(used))
            if stream in running:
                running.remove(stream)
            lines.append(f"RST_STREAM {stream}: CANCEL")
        else:
            stream = draw(st.sampled_from(used))
            lines.append(
                draw(
                    st.sampled_from(
                        (
                            f"WINDOW_UPDATE {stream}: 1000",
                            "WINDOW_UPDATE: 100000",
                            f"PRIORITY_UPDATE: {stream} u=2",
                            f"PRIORITY {stream}: 0 9",
                            "PING: 12345678",
                            "SETTINGS: 4=100",
                            "SETTINGS: 4=70000, 1=0",
                            "SETTINGS ACK",
                        )
                    )
                )
            )
    return lines


fields = st.sampled_from(FIELDS)
