"""What HPACK in C and in Python have in common: limits, secrets, and what faults are called."""

from __future__ import annotations

from asgiserver.h2.header_blocks import CompressionFault, FieldsTooLarge

MOST_CRUMBS = 256
"""How many ``cookie`` fields a block may have. Browsers keep 180 cookies of a site, and some send
each in a field of its own (RFC 9113 section 8.2.3), so these do not count among the fields."""

NEVER_INDEXED = frozenset(
    {
        *(b"authorization", b"proxy-authorization", b"cookie", b"set-cookie", b"www-authenticate"),
        *(b"proxy-authenticate", b"authentication-info", b"proxy-authentication-info"),
        *(b"x-api-key", b"x-auth-token", b"x-csrf-token", b"x-xsrf-token"),
    }
)
"""Names of fields that are secret, or new each time: no table of a proxy has them, so nobody finds
them out by the sizes of blocks (RFC 7541 section 7.1)."""

FAULTS = {
    1: "a field block ends within a field",
    2: "an integer of a field block is too large",
    3: "a field block has an index that is in no table",
    4: "a string of a field block is no Huffman code",
    5: "a field block changes the size of the table after a field",
    6: "a field block makes the table larger than it may be",
    7: "an earlier field block could not be decoded",
}
"""Of `CompressionFault`, by the numbers of the core: see ``Fault`` in ``speedups/hpack.h``."""

LIMITS = {8: "too many header fields", 9: "header fields too large"}
"""Of `FieldsTooLarge`, by the numbers of the core."""


def error_of(number: int) -> CompressionFault | FieldsTooLarge:
    """The error of a number in `FAULTS` or `LIMITS`."""
    if number in LIMITS:
        return FieldsTooLarge(LIMITS[number])
    return CompressionFault(FAULTS[number])
