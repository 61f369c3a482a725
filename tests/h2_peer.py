"""Both ends of an HTTP/2 connection for tests: the codec with a sink that records, and frames.

A frame has a line of text, such as ``DATA 1 END_STREAM: hello``: its type, its stream, its flags,
and after a colon its payload, in the form of `payload_of`. `read_lines` gives such lines for bytes.
"""

import re
import struct

import hpack

from asgiserver.h2 import faults, frames
from asgiserver.h2.codec import H2Codec
from asgiserver.h2.faults import ConnectionFault
from asgiserver.h2.header_blocks import CompressionFault, FieldsTooLarge
from asgiserver.h2.settings import Settings
from asgiserver.h2.streams import Stream

KINDS = {
    name: getattr(frames, name)
    for name in (
        *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING"),
        *("GOAWAY", "WINDOW_UPDATE", "CONTINUATION", "PRIORITY_UPDATE"),
    )
}
NAMES = {number: name for name, number in KINDS.items()}
FLAGS = {
    "END_STREAM": 0x1,
    "ACK": 0x1,
    "END_HEADERS": 0x4,
    "PADDED": 0x8,
    "PRIORITY": 0x20,
}
CODES = {
    name: value for name, value in vars(faults).items() if name.isupper() and type(value) is int
}
CODE_NAMES = {number: name for name, number in CODES.items()}

GET = ":method=GET | :scheme=http | :path=/ | :authority=a"
POST = ":method=POST | :scheme=http | :path=/ | :authority=a"
MACROS = {"GET": GET, "POST": POST}

_REPEATED = re.compile(r"\{((?:[^{}*]|\*(?![0-9]))+)\*([0-9]+)\}")
_LINE = re.compile(r"(\w+)(?: (-?\d+))?((?: [A-Z_]+)*)(?:: (.*))?", re.DOTALL)


def expanded(text):
    """``{x*9}`` is nine times ``x``."""
    return _REPEATED.sub(lambda match: match[1] * int(match[2]), text)


def block_of(text):
    """The header block of ``name=value | name=value``, each a literal that no table keeps.

    ``GET`` and ``POST`` stand for the pseudo-fields of a request; ``#8286`` are bytes. ``@0-5`` at
    the end is a part of the block, from byte 0 to 5.
    """
    text, cut, part = text.partition(" @")
    parts = []
    for field in filter(None, text.split(" | ")):
        field = MACROS.get(field, field)
        if field.startswith("#"):
            parts.append(bytes.fromhex(field[1:]))
            continue
        for one in field.split(" | "):
            name, _, value = one.partition("=")
            encoder = hpack.Encoder()
            encoded = encoder.encode(
                [hpack.NeverIndexedHeaderTuple(name.encode("latin-1"), value.encode("latin-1"))],
                huffman=False,
            )
            parts.append(encoded)
    block = b"".join(parts)
    if cut:
        start, _, stop = part.partition("-")
        block = block[int(start or 0) : int(stop) if stop else None]
    return block


def payload_of(kind, text):
    """The payload that a text stands for: bytes as ``#00ff``, else by the type of the frame."""
    text = expanded(text)
    if kind in ("HEADERS", "CONTINUATION"):
        return block_of(text)
    if text.startswith("#"):
        return bytes.fromhex(text[1:])
    if kind == "RST_STREAM":
        return CODES[text].to_bytes(4)
    if kind == "WINDOW_UPDATE":
        return int(text).to_bytes(4)
    if kind == "SETTINGS":
        pairs = [pair.split("=") for pair in filter(None, text.split(", "))]
        return b"".join(struct.pack(">HL", int(name), int(value)) for name, value in pairs)
    if kind == "GOAWAY":
        last, code, *debug = text.split(" ", 2)
        return struct.pack(">LL", int(last), CODES[code]) + "".join(debug).encode()
    if kind == "PRIORITY":
        return struct.pack(">LB", *map(int, text.split(" ")))
    if kind == "PRIORITY_UPDATE":
        stream, _, value = text.partition(" ")
        return int(stream).to_bytes(4) + value.encode()
    return text.encode("latin-1")


def frame_of(line):
    """The bytes of a line of text. ``raw: #00`` are bytes that are no frame."""
    match = _LINE.fullmatch(line)
    assert match is not None, line
    kind, stream, names, text = match.groups()
    if kind == "raw":
        return bytes.fromhex(text[1:]) if text.startswith("#") else expanded(text).encode()
    flags = sum(FLAGS[name] for name in names.split())
    number = KINDS[kind] if kind in KINDS else int(kind[1:])
    payload = payload_of(kind, text or "")
    return frames.frame(number, flags, int(stream or 0), payload)


def bytes_of(lines):
    """The bytes of many lines; ``9 x line`` is nine times the line."""
    parts = []
    for line in lines:
        count, times, rest = line.partition(" x ")
        parts.append(frame_of(rest) * int(count) if times and count.isdigit() else frame_of(line))
    return b"".join(parts)


def split_frames(data):
    """(type, flags, stream, payload) of each frame in `data`, which has whole ones."""
    found = []
    while data:
        size = int.from_bytes(data[:3])
        found.append((data[3], data[4], int.from_bytes(data[5:9]), data[9 : 9 + size]))
        assert len(data) >= 9 + size
        data = data[9 + size :]
    return found


class Reader:
    """Lines of text for the frames that a server sends."""

    def __init__(self):
        self.decoder = hpack.Decoder(max_header_list_size=1 << 24)
        self.block = b""

    def lines(self, data):
        return [self.line(*one) for one in split_frames(data)]

    def line(self, number, flags, stream, payload):
        kind = NAMES[number]
        names = []
        if flags & 1:
            names.append("ACK" if kind in ("SETTINGS", "PING") else "END_STREAM")
        text = self.text(kind, flags, payload)
        head = " ".join([kind, *([str(stream)] if stream else []), *names])
        return f"{head}: {text}" if text else head

    def text(self, kind, flags, payload):
        if kind in ("HEADERS", "CONTINUATION"):
            self.block += payload
            if not flags & frames.END_HEADERS:
                return "..."
            fields = self.decoder.decode(self.block, raw=True)
            self.block = b""
            return " | ".join(
                f"{name.decode('latin-1')}={value.decode('latin-1')}" for name, value in fields
            )
        if kind == "RST_STREAM":
            return CODE_NAMES[int.from_bytes(payload)]
        if kind == "WINDOW_UPDATE":
            return str(int.from_bytes(payload))
        if kind == "SETTINGS":
            pairs = struct.iter_unpack(">HL", payload)
            return ", ".join(f"{name}={value}" for name, value in pairs)
        if kind == "GOAWAY":
            last, code = struct.unpack_from(">LL", payload)
            reason = payload[8:].decode()
            return f"{last} {CODE_NAMES[code]}" + (f" {reason}" if reason else "")
        return payload.decode("latin-1")


class LibraryDecoder:
    """A `HeaderDecoder` of the `hpack` library, so that these tests are of the codec alone."""

    def __init__(self):
        self.decoder = hpack.Decoder(max_header_list_size=1 << 24)

    def decode(self, block, most_fields, most_bytes):
        try:
            fields = [tuple(field) for field in self.decoder.decode(block, raw=True)]
        except hpack.HPACKError:
            raise CompressionFault("not HPACK") from None
        if sum(name != b"cookie" for name, _ in fields) > most_fields:
            raise FieldsTooLarge("too many header fields")
        if sum(len(name) + len(value) + 32 for name, value in fields) > most_bytes:
            raise FieldsTooLarge("header fields too large")
        return fields


class LibraryEncoder:
    """A `HeaderEncoder` of the `hpack` library."""

    def __init__(self):
        self.encoder = hpack.Encoder()

    def encode(self, fields):
        return self.encoder.encode(fields)

    def resize(self, size):
        size = min(size, 4096)
        if size != self.encoder.header_table_size:  # it would forget a change before that
            self.encoder.header_table_size = size


class RecordingSink:
    """Notes each call as a line of text.

    With `body` each request that has ended is answered with a 200 and that body. Bodies of requests
    are consumed at once, unless `consumes` is false; `error` is raised for each request.
    """

    def __init__(self, body=None, consumes=True, error=None):
        self.calls = []
        self.streams = []
        self.heads = {}
        self.drained = []
        self.faults = []
        self.cuts = []  # error codes of RST_STREAM
        self.bodies = {}
        self.body = body
        self.consumes = consumes
        self.error = error
        self.codec = None

    def on_request(self, stream, head, end):
        self.streams.append(stream)
        self.heads[stream.id] = head
        more = "" if end else " ..."
        self.calls.append(f"request {stream.id} {head.method} {head.target.decode()}{more}")
        if self.error is not None:
            raise self.error
        if end:
            self.answer(stream)

    def on_refused(self, stream, error, head, end):
        if head is None and stream not in self.streams:
            self.streams.append(stream)
        self.calls.append(f"refused {stream.id} {error.status} {error.reason}")
        if self.body is not None:
            self.codec.send_head(stream, [(b":status", b"%d" % error.status)], b"", True)

    def on_data(self, stream, data):
        assert data
        self.bodies.setdefault(stream.id, bytearray()).extend(data)
        last = self.calls[-1] if self.calls else ""
        if type(last) is list and last[0] == stream.id:
            last.append(data)
        else:
            self.calls.append([stream.id, data])
        if self.consumes:
            self.codec.consumed(stream, len(data))

    def on_end(self, stream):
        self.calls.append(f"end {stream.id}")
        self.answer(stream)

    def on_reset(self, stream, code, reason):
        self.calls.append(f"reset {stream.id} {CODE_NAMES.get(code, code)} {reason}".rstrip())

    def on_cut(self, code):
        self.cuts.append(code)

    def on_fault(self, reason):
        self.faults.append(reason)

    def on_drained(self, stream):
        self.drained.append(stream.id)

    def on_ping_ack(self, payload):
        self.calls.append(f"ping {payload.decode('latin-1')}")

    def on_goaway(self, code):
        self.calls.append(f"goaway {CODE_NAMES.get(code, code)}")

    def answer(self, stream):
        if self.body is not None:
            self.codec.send_head(stream, [(b":status", b"200")], self.body, True)


class Connection:
    """A codec whose client is the test; with `begun` the prefaces have been exchanged already."""

    def __init__(self, settings=None, begun=True, **sink):
        self.sink = RecordingSink(**sink)
        self.output = []
        self.reader = Reader()
        self.fault = None
        self.codec = H2Codec(
            self.sink,
            self.output.append,
            Stream,
            settings or Settings(),
            LibraryDecoder(),
            LibraryEncoder(),
        )
        self.sink.codec = self.codec
        self.codec.start()
        if begun:
            self.feed(frames.PREFACE + frames.settings([]))
            self.read()

    def feed(self, data, pieces=None):
        """Feed bytes, whole or in `pieces` of so many bytes each."""
        for start in range(0, len(data), pieces or max(1, len(data))):
            part = data[start : start + pieces] if pieces else data
            try:
                self.codec.feed(part)
            except ConnectionFault as fault:
                assert self.fault is None
                self.fault = fault

    def send(self, *lines):
        """Feed frames by their lines."""
        self.feed(bytes_of(lines))
        return self

    def take(self):
        """The bytes that have been written since the last time."""
        data = b"".join(self.output)
        self.output.clear()
        return data

    def read(self):
        """The lines of the frames that have been written since the last time."""
        return self.reader.lines(self.take())

    def stream(self, number=1):
        """The stream object with an id."""
        return next(stream for stream in self.sink.streams if stream.id == number)

    @property
    def calls(self):
        """What the sink was told since the last time; pieces of a body are one call."""
        calls, self.sink.calls = self.sink.calls, []
        return [call if isinstance(call, str) else _data(*call) for call in calls]


def _data(stream, *parts):
    return f"data {stream} {b''.join(parts).decode('latin-1')}"
