BUILD: int
CLOSE: int
CHUNKED: int
EXPECT: int
TRAILERS: int
OLD: int
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
