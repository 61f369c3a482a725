"""What a certificate says (X.509, DER): its subject as in RFC 4514, and when it expires.

This module verifies nothing: OpenSSL does that. It reads the subject itself, because OpenSSL's
description of a subject loses the encoding.
"""

from __future__ import annotations

import datetime
import re

__all__ = ["expiry", "subject_name"]

# RFC 4514 section 3; any other attribute is written by its number, with its value in hexadecimal.
_SHORT = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
# String types of ASN.1 by tag.
_CODECS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
# RFC 4514 section 2.4, and control characters, because names are logged and compared.
_ESCAPED = re.compile(r'[\x00-\x1f\x7f]|["+,;<>\\]|^[# ]| $')

_UTC_TIME = 0x17
_VERSION = 0xA0


def _value(der: bytes, start: int) -> tuple[int, int, int]:
    """Offsets of the begin and of the end of the content of the value at `start`, and its tag."""
    length = der[start + 1]
    content = start + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(der[content : content + size])
        content += size
    return content, content + length, der[start]


def _members(der: bytes, start: int, end: int) -> list[int]:
    """Offsets at which the values between `start` and `end` begin."""
    members = []
    while start < end:
        members.append(start)
        start = _value(der, start)[1]
    return members


def _to_be_signed(der: bytes) -> list[int]:
    """Offsets of serialNumber, signature, issuer, validity, subject, ... (RFC 5280 section 4.1)."""
    certificate, _, _ = _value(der, 0)
    start, end, _ = _value(der, certificate)
    members = _members(der, start, end)
    return members[1:] if der[members[0]] == _VERSION else members


def expiry(der: bytes) -> datetime.datetime:
    """The end of a certificate's validity (RFC 5280 section 4.1.2.5)."""
    start, end, _ = _value(der, _to_be_signed(der)[3])
    start, end, tag = _value(der, _members(der, start, end)[1])
    text = der[start:end].decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if text < "50" else "19") + text
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)


def subject_name(der: bytes) -> str:
    """The subject of a certificate, ``CN=alice,O=Example``; "" when it is empty (RFC 4514)."""
    start, end, _ = _value(der, _to_be_signed(der)[4])
    names = []
    for relative in _members(der, start, end):
        start, end, _ = _value(der, relative)
        names.append("+".join(_attribute(der, member) for member in _members(der, start, end)))
    return ",".join(reversed(names))


def _attribute(der: bytes, start: int) -> str:
    start, end, _ = _value(der, start)
    kind, value = _members(der, start, end)
    number = _object_identifier(der, kind)
    start, end, tag = _value(der, value)
    name = _SHORT.get(number)
    if name is not None and tag in _CODECS:
        try:
            text = der[start:end].decode(_CODECS[tag])
        except UnicodeDecodeError:
            pass
        else:
            return f"{name}={_ESCAPED.sub(_escape, text)}"
    return f"{name or number}=#{der[value:end].hex()}"


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return f"\\{ord(char):02x}" if char < " " or char == "\x7f" else f"\\{char}"


def _object_identifier(der: bytes, start: int) -> str:
    start, end, _ = _value(der, start)
    numbers = []
    number = 0
    for byte in der[start:end]:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
