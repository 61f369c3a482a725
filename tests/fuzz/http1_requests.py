"""Hypothesis strategies: requests that are nearly right, which is where parsers differ."""

from hypothesis import strategies as st

METHODS = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "QUERY", "M-SEARCH"]
ODD_METHODS = [
    *("CONNECT", "PRI", "get", "GETT", "SOURCE", "DESCRIBE", "ANNOUNCE", "GE T", "", "G\tET"),
    *("G@T", "M-SEARCH", "FLUSH", "POST\x00", "\x16\x03\x01"),
]
TARGETS = ["/", "/a/b?c=d", "*", "/%2e%2e/%00", "http://a/", "HTTPS://a/x?y", "//b", "/?", "/a;b"]
ODD_TARGETS = [
    *("a:443", "a", "*x", "/#f", "/a b", "/\t", "/\x0c", "/\xe9", "/\x7f", "/\x00", "", "?x"),
    *("http://b/", "http://", "http:///", "http://u@a/", "ftp://a/", "http://a:80/", "http:/a"),
    *("http://[::1]/", "http://a/#f", "http://a%41/", "http://a\\b/", "/\\", '/"<>^`{|}', "///"),
    *("http://a?x", "http://a#x", "http://A/", "rtsp://a/", "/HTTP/1.1", "http://a:b@c/"),
]
VERSIONS = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]
ODD_VERSIONS = [
    *("HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/9.9", "HTTP/1", "HTTP/1.10", "HTTP/11.1"),
    *("http/1.1", "HTTP/1.1 ", " HTTP/1.1", "RTSP/1.0", "ICE/1.0", "", "HTTP/1,1", "HTTP/ 1.1"),
    *("HTTP/01.1", "HTTP/+1.1", "HTTP/1.1\x00", "XHTTP/1.1", "TTP/1.1"),
]
HOSTS = ["a", "A", "a:80", "127.0.0.1:8000", "[::1]", "[::1]:80", "a.b.c", "99999", "a:"]
ODD_HOSTS = [
    *("", "a,b", "a b", "a/b", "a?b", "a#b", "u@a", "a\\b", "a:b", "a:99999", "a:-1", "a:+1"),
    *("[::1", "::1", "[g]", "[::1]x", "a\x00", "\xe9", "a%zz", "a%41", "[]", "[1.2.3.4]", "a\tb"),
]
LENGTHS = ["0", "5", "05", "1", "12"]
ODD_LENGTHS = [
    *("", "+5", "-5", "-0", "0x5", "5_0", "5 5", "5, 5", "5,6", "5.0", "5e1", "\xb2", "\x0b5"),
    *("9" * 19, "9" * 20, "9223372036854775807", "9223372036854775808", "18446744073709551616"),
    *("0" * 19 + "5", "5\x00", "5;", '"5"', "\u0665"),
]
CODINGS = ["chunked", "Chunked", "CHUNKED"]
ODD_CODINGS = [
    *("", "identity", "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked123"),
    *("xchunked", "chunked;q=1", ",chunked", "chunked,", "chunked ,", '"chunked"', "chun ked"),
    *("chunked\x0b", "\x0bchunked", "\x0cchunked", "chunked\x00", "chunked\t", "\tchunked"),
    *("chunked \t", "chunked\t ", "foo", "foo, chunked", "x-gzip,chunked", "chunked, identity"),
    *("identity, chunked", "trailers", "gzip;q=0, chunked", "chunked,\t", "\xa0chunked"),
]
FIELDS = [
    *("Accept: */*", "X-A: b", "X-A:b", "X-A:", "X-A: \t ", "Cookie: a=b; c=d", "X-B: \x80\xff"),
    *("Connection: keep-alive", "Connection: close", "Connection: close, keep-alive", "x_y: z"),
    *("Connection: upgrade", "Upgrade: websocket", "Upgrade: h2c", "Sec-WebSocket-Key1: 1 2"),
    *("Trailer: X", "TE: trailers", "X-A: a \t"),
    *("!#$%&'*+-.^_`|~1: x", "Proxy-Connection: close", "X-A: a\tb"),
    *("Keep-Alive: 5", "Connection: Upgrade, HTTP2-Settings", "Connection:", "X:" + "y" * 40),
]
ODD_FIELDS = [
    *(
        "X-A : b",
        " X-A: b",
        "\tX-A: b",
        "X-A\t: b",
        ": b",
        "X-A",
        "",
        "X A: b",
        "X-A: b\r",
        "(a): b",
    ),
    *("X-A: \x00", "X-A: \x01", "X-A: \x0b", "X-A: \x0c", "X-A: \x1c", "X-A: \x7f", "X-\xe9: b"),
    *("X-A: b\r\n c", "X-A: b\r\n\tc", "X-A:\r\n b", "X-A: b\nX-B: c", "X-A: \rb", "X-A: b\r\r"),
    *(
        "Expect: x",
        "Expect: 100-continue",
        "Expect: 100-Continue",
        "Expect: 100-continue, x",
        "Expect:",
        "Connection: \x00",
        "X-A\x00: b",
        "X-A;: b",
    ),
    *(
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding : chunked",
        "X-A: \n",
        "X: \r\n \r\n",
        ":",
    ),
    *("Content-Length\x00: 5", "Content-Length: 5\r\n 6", "Transfer-Encoding: chunked\r\n x"),
    *("Transfer-Encoding:\r\n chunked", "X-A: a\x85b", "Host\x0b: a", "X:" + "y" * 300),
]
EXTENSIONS = ["", "", "", ";a", ";a=b", ';a="b c;d"', ';a="\\""', ";a;b=c"]
ODD_EXTENSIONS = [
    *(";", " ", "\t", ";;", " ;a", "; a", ";a =b", ";a= b", ";a\rX", ";a\nX", ";\x00", ";a=\x01"),
    *(';a="b', ';a="\\', ";a=", ";a=b=c", ";a b", ";\xe9", ';a="\xe9"', ";a" + "b" * 60, "x", "\r"),
]
ODD_SIZES = [
    *("", "0x5", "+5", "-5", "-1", "5_0", "1_0", " 5", "5 ", "G", "f" * 15, "f" * 16, "0" * 15),
    *("0" * 16, "0000000000000000000005", "10000000000000005", "\xb2", "5.", "5h", "\n", "\u0665"),
]
TRAILERS = ["X-T: a", "Host: b", "X-T:", "X-T: \t a \t", "Expires: 0"]
ODD_TRAILERS = [*ODD_FIELDS, "Content-Length: 5", "Transfer-Encoding: chunked"]


ODD_SPACES = ["  ", "\t", "", " \t", "\x0b", "\r\n", "\n", "\r"]
NOISE = [b"\r", b"\n", b"\r\n", b" ", b"\t", b"\x00", b":", b"\r\n ", b"\x7f", b"\x80", b"0", b";"]


def to_bytes(text):
    """`text` in Latin-1, or in UTF-8 when Latin-1 cannot hold it."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


class Maker:
    """Draws the parts of a stream: valid ones, and one fault for each kind in `faults`."""

    def __init__(self, draw, faults=()):
        self._draw = draw
        self._faults = list(faults)

    def pick(self, kind, good, odd):
        if kind in self._faults and self._draw(st.booleans()):
            self._faults.remove(kind)
            return self._draw(st.sampled_from(odd))
        return good[0] if len(good) == 1 else self._draw(st.sampled_from(good))

    def some(self, most):
        return range(self._draw(st.integers(0, most)))

    def line_end(self):
        return self.pick("line end", [b"\r\n"], [b"\n", b"\r", b"", b"\r\r\n", b"\n\r"])

    def chunked_body(self):
        parts = []
        for _ in self.some(3):
            data = self._draw(st.binary(min_size=1, max_size=12))
            size = len(data)
            parts += [
                to_bytes(self.pick("size", [f"{size:x}", f"{size:X}", f"0{size:x}"], ODD_SIZES)),
                to_bytes(self.pick("extension", EXTENSIONS, ODD_EXTENSIONS)),
                self.line_end(),
                data,
                self.pick("data end", [b"\r\n"], [b"\n", b"\r", b"", b"XX", b"\rX", b"\r\r\n"]),
            ]
        parts.append(to_bytes(self.pick("size", ["0", "0", "000"], ODD_SIZES)))
        parts.append(to_bytes(self.pick("extension", EXTENSIONS, ODD_EXTENSIONS)))
        parts.append(self.line_end())
        for _ in self.some(2):
            parts += [to_bytes(self.pick("trailer", TRAILERS, ODD_TRAILERS)), self.line_end()]
        parts.append(self.pick("body end", [b"\r\n"], [b"", b"\n", b"\r", b"XX", b"\rX"]))
        return b"".join(parts)

    def request(self):
        space = [self.pick("space", [" "], ODD_SPACES) for _ in range(2)]
        target = self.pick("target", TARGETS, ODD_TARGETS)
        methods = ["OPTIONS"] if target == "*" else METHODS
        method = self.pick("method", methods, ODD_METHODS)
        version = self.pick("version", VERSIONS, ODD_VERSIONS)
        hosts = ["a"] if "://" in target else HOSTS
        fields = [self.pick("field", FIELDS, ODD_FIELDS) for _ in self.some(4)]
        if not self.pick("no host", [False], [True]):
            fields.append("Host: " + self.pick("host", hosts, ODD_HOSTS))
        body = b""
        kind = self._draw(st.sampled_from(["none", "length", "chunked"]))
        if kind == "length":
            length = self.pick("length", LENGTHS, ODD_LENGTHS)
            fields.append(f"Content-Length: {length}")
            body = (
                b"x" * int(length)
                if length.isascii() and length.isdigit() and len(length) < 4
                else b""
            )
        elif kind == "chunked":
            version = "HTTP/1.1" if version == "HTTP/1.0" else version
            fields.append("Transfer-Encoding: " + self.pick("coding", CODINGS, ODD_CODINGS))
            body = self.chunked_body()
        again = self.pick("again", [None], ["Host: a", "Content-Length: 5", "Content-Type: a/b"])
        if again:
            fields += [again] * self._draw(st.integers(1, 2))
        lines = [
            method + space[0] + target + space[1] + version,
            *self._draw(st.permutations(fields)),
        ]
        head = b"".join(to_bytes(line) + self.line_end() for line in lines)
        return head + self.pick("head end", [b"\r\n"], [b"\n", b"\r", b"", b" \r\n"]) + body

    def stream(self):
        parts = []
        for _ in range(self._draw(st.integers(1, 3))):
            parts.append(self.pick("blank", [b"", b"\r\n"], [b"\n", b"\r", b" ", b"\r\n\n"]))
            parts.append(self.request())
        return b"".join(parts)


KINDS = [
    *("line end", "size", "extension", "data end", "trailer", "body end", "space", "target"),
    *("method", "version", "field", "no host", "host", "length", "coding", "again", "head end"),
    "blank",
]


@st.composite
def streams(draw):
    """The bytes of a connection: requests, empty lines, and up to two faults."""
    faults = draw(st.lists(st.sampled_from(KINDS), max_size=2))
    return Maker(draw, faults).stream()


@st.composite
def valid_requests(draw):
    """A request without a fault."""
    return Maker(draw).request()


@st.composite
def mutated(draw):
    """A stream in which a few bytes are changed, inserted, doubled or left out."""
    data = draw(streams())
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(data)))
        noise = draw(st.one_of(st.sampled_from(NOISE), st.binary(max_size=2)))
        data = data[:at] + noise + data[at + draw(st.integers(0, 3)) :]
    return data


anything = st.one_of(streams(), streams(), streams(), mutated(), st.binary(max_size=200))
"""The bytes of a connection: mostly requests that are nearly valid."""

pieces = st.lists(st.integers(0, 400), max_size=6)
"""Offsets at which a stream is cut."""
