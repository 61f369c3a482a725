"""The PROXY protocol's header, byte by byte, and everything that only looks like one."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiserver.errors import PeerError
from asgiserver.http.proxy_protocol import MAX_SIZE, ProxyHeader, read_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.9 198.51.100.1 56324 443\r\n"


def v2(family, payload, command=0x21):
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(payload)) + payload


def tcp4(tlvs=b""):
    hosts = socket.inet_aton("192.0.2.9") + socket.inet_aton("198.51.100.1")
    return v2(0x11, hosts + struct.pack("!HH", 56324, 443) + tlvs)


def tcp6(tlvs=b""):
    hosts = socket.inet_pton(socket.AF_INET6, "2001:db8::9") + socket.inet_pton(
        socket.AF_INET6, "2001:db8::1"
    )
    return v2(0x21, hosts + struct.pack("!HH", 56324, 443) + tlvs)


def tlv(kind, value):
    return bytes([kind]) + struct.pack("!H", len(value)) + value


CLIENT, SERVER = ("192.0.2.9", 56324), ("198.51.100.1", 443)
CLIENT6, SERVER6 = ("2001:db8::9", 56324), ("2001:db8::1", 443)

GOOD = [
    (V1, CLIENT, SERVER),
    (b"PROXY TCP6 2001:db8::9 2001:DB8::1 56324 443\r\n", CLIENT6, SERVER6),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff::1 ::1 65535 65535\r\n", None, None),
    (tcp4(), CLIENT, SERVER),
    (tcp6(), CLIENT6, SERVER6),
    (v2(0x00, b"", 0x20), None, None),
    (v2(0x11, b"\xff" * 12, 0x20), None, None),  # LOCAL: skipped whatever it is
    (v2(0x00, b""), None, None),
    (v2(0x31, bytes(216)), None, None),
    (tcp4(tlv(0x04, b"\0" * 5)), CLIENT, SERVER),
]


@pytest.mark.parametrize(("header", "client", "server"), GOOD)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01"])
def test_read(header, client, server, rest):
    assert read_header(header + rest) == ProxyHeader(len(header), client, server)


@pytest.mark.parametrize("header", [header for header, _, _ in GOOD])
def test_every_part_wants_more(header):
    for size in range(len(header)):
        assert read_header(header[:size]) is None


@pytest.mark.parametrize(
    ("bits", "tls"), [(b"\x01", True), (b"\x07", True), (b"\x00", False), (b"\x02", False)]
)
def test_client_spoke_tls(bits, tls):
    header = tcp4(tlv(0x20, bits + bytes(4) + tlv(0x21, b"TLSv1.3")))
    assert read_header(header) == ProxyHeader(len(header), CLIENT, SERVER, tls)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00",
        b"proxy TCP4",
        b"PROXYTCP4 ",
        b"\r\n\r\n\r\n",
        b"PROXY TCP4 192.0.2.9 198.51.100.1 56324 443\n",
        b"PROXY TCP4 192.0.2.9 198.51.100.1 56324 443\rX",
        b"PROXY TCP4 192.0.2.9 198.51.100.1 56324 443 \r\n",
        b"PROXY TCP4 192.0.2.9  198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 192.0.2.9 198.51.100.1 056324 443\r\n",
        b"PROXY TCP4 192.0.2.9 198.51.100.1 56324 65536\r\n",
        b"PROXY TCP4 192.0.2.9 198.51.100.1 -1 443\r\n",
        b"PROXY TCP4 192.0.2.9 198.51.100.1 56324\r\n",
        b"PROXY TCP4 192.0.2.09 198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 2001:db8::9 2001:db8::1 56324 443\r\n",
        b"PROXY TCP6 192.0.2.9 198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 256.0.2.9 198.51.100.1 56324 443\r\n",
        b"PROXY UDP4 192.0.2.9 198.51.100.1 56324 443\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN " + b"a" * 200,
        b"PROXY UNKNOWN " + b"a" * 92 + b"\r\n",
        v2(0x11, bytes(12), 0x11),  # version 1 in the binary form
        v2(0x11, bytes(12), 0x22),  # no such command
        v2(0x12, bytes(12)),  # datagrams
        v2(0x51, bytes(12)),
        v2(0x11, bytes(11)),
        v2(0x21, bytes(12)),
        SIGNATURE + b"\x21\x11\xff\xff",
        tcp4(b"\x04"),
        tcp4(b"\x04\x00"),
        tcp4(b"\x04\x00\x09abc"),
        tcp4(tlv(0x20, b"\x01")),
    ],
)
def test_refused(data):
    with pytest.raises(PeerError, match=r"^400 (no|malformed) PROXY protocol header"):
        read_header(data)


@pytest.mark.parametrize(("data", "versions"), [(V1, "v2"), (tcp4(), "v1")])
def test_only_the_version_asked_for(data, versions):
    with pytest.raises(PeerError):
        read_header(data, versions)
    assert read_header(data, "v1" if versions == "v2" else "v2") is not None


@given(st.sampled_from([b"", b"PROXY ", SIGNATURE + b"\x21\x11", V1[:-4]]), st.binary(max_size=300))
def test_never_waits_for_ever(start, data):
    try:
        header = read_header(start + data)
    except PeerError:
        return
    assert header is None or header.size <= len(start + data)
    if header is None:
        try:
            assert read_header(start + data + bytes(MAX_SIZE)) is not None
        except PeerError:
            pass
