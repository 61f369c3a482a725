BUILD: int
CLOSE: int
CHUNKED: int
EXPECT: int
TRAILERS: int
OLD: int
LENGTH: int
LONGEST_NAME: int
MOST_LINES: int

def read_head(
    head: bytes, most_fields: int, keep_underscores: bool, /
) -> (
    tuple[
        str,  # method
        bytes,  # target
        str,  # HTTP version
        list[tuple[bytes, bytes]],  # fields
        int,  # facts of the framing, one bit each
        int,  # Content-Length
        bytes,  # upgrade
        dict[bytes, bytes] | None,  # forwarding fields
        tuple[str, bytes, bytes] | None,  # path, raw path, query
    ]
    | None
): ...
def read_nodes(value: bytes, /) -> list[tuple[str, int]] | None: ...
def access_line(
    second: str,
    now: float,
    level: str,
    client: object,
    method: str,
    target: bytes,
    version: str,
    status: int,
    sent: int,
    duration: float,
    /,
) -> str | None: ...
def check_response(
    fields: list[tuple[bytes, bytes]], /
) -> tuple[list[tuple[bytes, bytes]], int | None] | None: ...
def encode_head(
    start: bytes, fields: list[tuple[bytes, bytes]], ending: bytes, /
) -> bytes | None: ...
def read_fields(
    fields: list[tuple[bytes, bytes]],
    most_fields: int,
    most_target: int,
    keep_underscores: bool,
    has_body: bool,
    /,
) -> (
    tuple[
        str,  # method
        bytes,  # target
        list[tuple[bytes, bytes]],  # fields, Host first, and the cookie in one
        bool,  # Expect: 100-continue
        int | None,  # Content-Length
        bytes | None,  # priority
        dict[bytes, bytes] | None,  # forwarding fields
        tuple[str, bytes, bytes] | None,  # path, raw path, query
    ]
    | None
): ...

class Decoder:
    def __new__(cls, table_size: int, /) -> Decoder: ...
    @property
    def table(self) -> list[tuple[bytes, bytes]]: ...
    def decode(
        self, block: bytes, most_fields: int, most_crumbs: int, most_bytes: int, /
    ) -> list[tuple[bytes, bytes]] | int: ...  # the number of a fault

class Encoder:
    def __new__(cls, table_size: int, never_indexed: frozenset[bytes], /) -> Encoder: ...
    @property
    def table(self) -> list[tuple[bytes, bytes]]: ...
    def encode(
        self, fields: list[tuple[bytes, bytes]] | tuple[tuple[bytes, bytes], ...], /
    ) -> bytes: ...
    def resize(self, size: int, /) -> None: ...

class Tally:
    def __new__(cls, bounds: tuple[float, ...], usual: str, /) -> Tally: ...
    def open(self, method: str, status: int, outcome: str, /) -> None: ...
    def count(self, method: str, status: int, begun: float, sent: int, /) -> bool: ...
    def add(
        self, method: str, status: int, outcome: str, seconds: float, sent: int, received: int, /
    ) -> bool: ...
    def rows(self) -> list[tuple[str, int, str, list[float]]]: ...
