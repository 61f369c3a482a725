"""What proxies say of a request, walked from the right, and what must not be believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiserver.errors import PeerError
from asgiserver.http import forwarded as module
from asgiserver.http.addresses import leave_nodes, parse_node, read_nodes
from asgiserver.http.forwarded import (
    NAMES,
    NOTHING,
    parse_elements,
    read_forwarded,
    read_x_forwarded,
    split_host,
)


@pytest.fixture(
    scope="module", params=[read_nodes, leave_nodes], ids=["core", "python"], autouse=True
)
def _reader(request):
    """Lists of addresses are read by the compiled core, if there is one, and by Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_nodes", request.param)
        yield


PROXIES = {"10.0.0.1", "10.0.0.2", "fd00::1"}


def trusts(host):
    return host in PROXIES


def x(**values):
    names = {
        "for_": b"for",
        "proto": b"proto",
        "host": b"host",
        "port": b"port",
        "prefix": b"prefix",
    }
    return {
        b"x-forwarded-" + names[name]: lines if isinstance(lines, bytes) else b",".join(lines)
        for name, lines in values.items()
    }


def forwarded(*lines):
    return {b"forwarded": b",".join(lines)}


def forwarding(client=None, scheme=None, host=None, port=None, prefix=None):
    return client, scheme, host, port, prefix


class TestXForwarded:
    @pytest.mark.parametrize(
        ("lines", "client"),
        [
            ([b"192.0.2.9"], ("192.0.2.9", 0)),
            ([b"192.0.2.9:5000"], ("192.0.2.9", 5000)),
            ([b"192.0.2.9, 10.0.0.1"], ("192.0.2.9", 0)),
            ([b"192.0.2.9", b"10.0.0.1"], ("192.0.2.9", 0)),
            ([b"192.0.2.9,10.0.0.2 ,\t10.0.0.1"], ("192.0.2.9", 0)),
            ([b"6.6.6.6, 192.0.2.9, 10.0.0.1"], ("192.0.2.9", 0)),
            ([b"127.0.0.1", b"192.0.2.9"], ("192.0.2.9", 0)),
            ([b"2001:db8::9, fd00::1"], ("2001:db8::9", 0)),
            ([b"10.0.0.2, 10.0.0.1"], ("10.0.0.2", 0)),  # all are proxies: the farthest
            ([b",, 192.0.2.9,,"], ("192.0.2.9", 0)),
            ([b"unknown"], None),
            ([b"192.0.2.9, evil"], None),
            ([b"evil, 10.0.0.1"], ("10.0.0.1", 0)),  # as far as is known
            ([b""], None),
        ],
    )
    def test_walks_to_the_first_untrusted(self, lines, client):
        assert read_x_forwarded(x(for_=lines), trusts)[0] == client

    @pytest.mark.parametrize("line", [b"192.0.2.9", b"192.0.2.9, 10.0.0.1"])
    def test_the_last_address_is_the_client_whoever_trusts_it(self, line):
        asked = []
        read_x_forwarded(x(for_=line), lambda host: asked.append(host) or host in PROXIES)
        assert "192.0.2.9" not in asked

    @pytest.mark.parametrize(
        ("line", "hops", "client"),
        [
            (b"6.6.6.6, 192.0.2.9", 1, ("192.0.2.9", 0)),
            (b"6.6.6.6, 192.0.2.9, 198.51.100.1", 2, ("192.0.2.9", 0)),
            (b"192.0.2.9", 2, None),  # it did not come through both
            (b"192.0.2.9, x", 2, None),
        ],
    )
    def test_hops(self, line, hops, client):
        assert read_x_forwarded(x(for_=line, proto=b"https"), trusts, hops)[0] == client

    @pytest.mark.parametrize("name", NAMES)
    def test_a_field_that_is_not_believed_says_nothing(self, name):
        fields = x(
            for_=b"192.0.2.9, 10.0.0.1",
            proto=b"https",
            host=b"example.com",
            port=b"443",
            prefix=b"/app",
        )
        everything = read_x_forwarded(fields, trusts)
        believed = [other for other in NAMES if other != name]
        expected = list(everything)
        expected[NAMES.index(name)] = None
        assert None not in everything
        assert read_x_forwarded(fields, trusts, believed=believed) == tuple(expected)

    def test_too_few_hops_believe_nothing(self):
        fields = x(for_=b"192.0.2.9", proto=b"https", host=b"evil.example")
        assert read_x_forwarded(fields, trusts, 2) == NOTHING

    def test_everything(self):
        fields = x(
            for_=b"192.0.2.9",
            proto=b"HTTPS",
            host=b"example.com:8443",
            port=b"8443",
            prefix=b"/api/",
        )
        said = read_x_forwarded({b"host": b"inner", **fields}, trusts)
        assert said == forwarding(("192.0.2.9", 0), "https", b"example.com:8443", 8443, "/api")

    @pytest.mark.parametrize(
        ("for_", "proto", "scheme"),
        [
            (b"192.0.2.9", b"https", "https"),
            (b"192.0.2.9", b"http, https", "https"),  # one hop: only the nearest is believed
            (b"192.0.2.9, 10.0.0.1", b"https, http", "https"),
            (b"192.0.2.9, 10.0.0.1", b"http, https, http", "https"),
            (b"192.0.2.9, 10.0.0.1", b"https", "https"),
            (b"192.0.2.9", b"wss", "https"),
            (b"192.0.2.9", b"ws", "http"),
            (b"192.0.2.9", b"ftp", None),
            (b"192.0.2.9", b"", None),
        ],
    )
    def test_other_fields_belong_to_the_hop(self, for_, proto, scheme):
        assert read_x_forwarded(x(for_=for_, proto=proto), trusts)[1] == scheme

    def test_without_for_the_nearest_is_believed(self):
        assert read_x_forwarded(x(proto=b"http, https"), trusts) == forwarding(None, "https")

    @pytest.mark.parametrize(
        "host",
        [
            b"a/b",
            b"a b",
            b"user@a",
            b"a?b",
            b"a\\b",
            b"a:99999",
            b"a:b",
            b"",
            b"\xe4",
            b"a#",
            b"[::1",
        ],
    )
    def test_bad_host(self, host):
        assert read_x_forwarded(x(host=host), trusts)[2] is None

    @pytest.mark.parametrize(
        "port", [b"", b"-1", b"+80", b"65536", b"8_0", b"0x50", "\u0663".encode()]
    )
    def test_bad_port(self, port):
        assert read_x_forwarded(x(port=port), trusts)[3] is None

    @pytest.mark.parametrize(
        ("line", "prefix"),
        [
            (b"", None),
            (b"/", ""),
            (b"/api", "/api"),
            (b"/api/", "/api"),
            (b"/a/b", "/a/b"),
            (b"/caf%C3%A9", "/caf\xe9"),
            (b"/.well-known", "/.well-known"),
            *(
                (line, None)
                for line in (
                    *(
                        b"api",
                        b"//evil.example",
                        b"/a//b",
                        b"/../etc",
                        b"/a/..",
                        b"/a/./b",
                        b"/a?b",
                    ),
                    *(b"/%2e%2e/x", b"/%2F/x", b"/a%00", b"/a%0d%0ab", b"/a%", b"/a#b", b"/a b"),
                    *(b"https://evil.example", b"/\\evil", b'/"', b"/<"),
                )
            ),
        ],
    )
    def test_prefix(self, line, prefix):
        assert read_x_forwarded(x(prefix=line), trusts)[4] == prefix

    def test_long_input_takes_linear_time(self):
        fields = x(for_=b"10.0.0.1," * 7000, prefix=b"/a" * 30000 + b"?", host=b"a" * 60000)
        assert read_x_forwarded(fields, trusts) == forwarding(("10.0.0.1", 0))

    def test_underscores_are_other_names(self):
        assert read_x_forwarded({b"x_forwarded_for": b"6.6.6.6"}, trusts) == NOTHING

    @given(st.lists(st.binary(max_size=30), max_size=4), st.sampled_from([None, 1, 2]))
    def test_never_fails(self, lines, hops):
        fields = x(for_=lines, proto=lines, host=lines, port=lines, prefix=lines)
        said = read_x_forwarded(fields, trusts, hops)
        assert said[0] is None or parse_node(said[0][0]) is not None


class TestElements:
    @pytest.mark.parametrize(
        ("value", "elements"),
        [
            (b"", []),
            (b" , ,", []),
            (b"for=192.0.2.43", [{"for": "192.0.2.43"}]),
            (b"For=a;PROTO=https;by=b", [{"for": "a", "proto": "https", "by": "b"}]),
            (b'for="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
            (b"for=a, for=b", [{"for": "a"}, {"for": "b"}]),
            (b"for=a , for=b;,", [{"for": "a"}, {"for": "b"}]),
            (b'for="a,b;c=d"', [{"for": "a,b;c=d"}]),
            (rb'for="a\"b\\c"', [{"for": 'a"b\\c'}]),
            (b'host=""', [{"host": ""}]),
        ],
    )
    def test_read(self, value, elements):
        assert parse_elements(value) == elements

    @pytest.mark.parametrize(
        "value",
        [
            b"for",
            b"for=",
            b"for=a b",
            b'for="a',
            b'for="a\\',
            b'for="a"b',
            b'for="a"for=b',
            b"for=a;for=b",
            b"for =a",
            b"for= a",
            b"=a",
            b"for=[::1]",  # not quoted
            b"for=a:80",
            b"for=\xe4",
            b'for="\x00"',
            b'for="192.0.2.1, for=10.0.0.1',  # a quote that swallows what a proxy appends
            b'for="192.0.2.1, for="[2001:db8::1]:1"',
        ],
    )
    def test_malformed(self, value):
        with pytest.raises(PeerError, match="400 malformed Forwarded"):
            parse_elements(value)

    @given(st.binary(max_size=60))
    def test_refused_or_read(self, value):
        try:
            elements = parse_elements(value)
        except PeerError:
            return
        assert all(elements)


class TestForwarded:
    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            ([b"for=192.0.2.9"], forwarding(("192.0.2.9", 0))),
            (
                [b'for="[2001:db8::9]:4711";proto=https;host="a.example:8443"'],
                forwarding(("2001:db8::9", 4711), "https", b"a.example:8443"),
            ),
            (
                [b"for=6.6.6.6;host=evil, for=192.0.2.9;proto=https", b"for=10.0.0.1;proto=http"],
                forwarding(("192.0.2.9", 0), "https"),
            ),
            (
                [b"for=192.0.2.9, for=10.0.0.1;proto=https;host=a"],
                forwarding(("192.0.2.9", 0), "https", b"a"),
            ),
            ([b"for=unknown;proto=https"], forwarding(None, "https")),
            ([b"for=_hidden, for=10.0.0.1"], forwarding(("10.0.0.1", 0))),
            ([b"proto=https;host=a"], forwarding(None, "https", b"a")),
            ([b'host="a/b"'], NOTHING),
            ([b""], NOTHING),
        ],
    )
    def test_walk(self, lines, expected):
        assert read_forwarded(forwarded(*lines), trusts) == expected

    def test_hops(self):
        fields = forwarded(b"for=6.6.6.6;proto=https, for=192.0.2.9;proto=http")
        assert read_forwarded(fields, trusts, 1) == forwarding(("192.0.2.9", 0), "http")
        assert read_forwarded(fields, trusts, 3) == NOTHING

    def test_malformed_is_refused(self):
        with pytest.raises(PeerError):
            read_forwarded(forwarded(b'for="6.6.6.6', b"for=192.0.2.9"), trusts)


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (b"example.com", ("example.com", None)),
        (b"example.com:81", ("example.com", 81)),
        (b"example.com:", ("example.com", None)),
        (b"[::1]", ("::1", None)),
        (b"[::1]:81", ("::1", 81)),
    ],
)
def test_split_host(value, parts):
    assert split_host(value) == parts
