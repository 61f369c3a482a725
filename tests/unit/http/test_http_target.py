"""Request targets and hosts."""

import pytest

from asgiserver.errors import PeerError
from asgiserver.http.target import KNOWN_HOSTS, check_host, check_target, split_target


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/", "/", b"/", b""),
        (b"/a%20b%2Fc?x=%20&?", "/a b/c", b"/a%20b%2Fc", b"x=%20&?"),
        (b"/caf%C3%A9", "/caf\xe9", b"/caf%C3%A9", b""),
        (b"/%ff%zz%", "/\ufffd%zz%", b"/%ff%zz%", b""),
        (b"/%00", "/\x00", b"/%00", b""),
        (b"//a//b/", "//a//b/", b"//a//b/", b""),
        (b"/../a", "/../a", b"/../a", b""),
        (b"/a+b", "/a+b", b"/a+b", b""),
        (b"/?", "/", b"/", b""),
        (b"*", "*", b"*", b""),
        (b"http://a", "/", b"/", b""),
        (b"http://a?b", "/", b"/", b"b"),
        (b"HTTPS://a:1/b%20c?d", "/b c", b"/b%20c", b"d"),
        (b"http://a//b", "//b", b"//b", b""),
    ],
)
def test_split(target, path, raw_path, query):
    check_target("OPTIONS", target, None)
    assert split_target(target) == (path, raw_path, query)


def test_authority_and_host_may_differ_in_case_alone():
    check_target("GET", b"http://EXAMPLE.org/", b"example.ORG")
    with pytest.raises(PeerError, match="differ"):
        check_target("GET", b"http://example.org./", b"example.org")


@pytest.mark.parametrize("byte", sorted(set(range(256)) - set(b"!$&'()*+-.:;=_~") - set(b"%")))
def test_no_other_byte_in_a_host(byte):
    host = b"a" + bytes([byte]) + b"b"
    if chr(byte).isascii() and chr(byte).isalnum():
        check_host(host)
    else:
        with pytest.raises(PeerError, match="400 invalid Host"):
            check_host(host)


def test_known_hosts_are_bounded_and_all_of_them_valid():
    for number in range(1000):
        check_host(b"host-%d:%d" % (number, number))
        assert len(KNOWN_HOSTS) <= 256
    with pytest.raises(PeerError):
        check_host(b"bad host")
    assert b"bad host" not in KNOWN_HOSTS


def test_long_hosts_take_no_time():
    for host in (b"a" * 60_000, b"%41" * 20_000, b"[" + b":" * 60_000 + b"]", b"a:" * 30_000):
        with pytest.raises(PeerError):
            check_host(host)


@pytest.mark.parametrize("target", [b"/a\xff", b"/a b", b"/\x7f", b""])
def test_no_target_holds_other_bytes_than_visible_ones(target):
    with pytest.raises(PeerError, match="invalid request target"):
        check_target("GET", target, b"a")
