"""Whom to believe, and what becomes of a request that a proxy passes on."""

import ipaddress
import logging

import pytest
from fakes import FakePeer, FakeServer
from hypothesis import given
from hypothesis import strategies as st

from asgiserver.config.fields import Config
from asgiserver.config.options import FIELDS
from asgiserver.errors import ConfigError
from asgiserver.h1.framing import read_request_head
from asgiserver.http.forwarded import NAMES, NOTHING
from asgiserver.http.peer import Peer
from asgiserver.server.proxy import Proxies, TrustedPeers, make_proxies

SERVER = ("192.0.2.1", 8000)
PROXY = Peer(("10.0.0.1", 40000), SERVER, "http", None, "/app")
UNIX = Peer(None, ("/run/s", None))


def as_tuple(peer):
    return peer.client, peer.server, peer.scheme, peer.root_path


def head(*fields):
    return read_request_head("GET", b"/", "1.1", [(b"host", b"inner"), *fields])


ALL = NAMES


def test_the_option_has_the_names_that_are_read():
    assert FIELDS["forwarded_fields"].info.choices == NAMES
    assert len(NAMES) == len(NOTHING)


def proxies(*names, family="x-forwarded", hops=None, fields=ALL):
    return Proxies(TrustedPeers(names or ("10.0.0.0/8",), "x"), family, hops, fields)


class TestTrustedPeers:
    @pytest.mark.parametrize(
        ("names", "trusted", "others"),
        [
            (["loopback"], ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"], ["10.0.0.1"]),
            (
                ["private"],
                ["10.1.2.3", "172.16.0.1", "192.168.0.1", "fd00::1"],
                ["127.0.0.1", "8.8.8.8"],
            ),
            (["192.0.2.7"], ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.8"]),
            (["2001:db8::/32"], ["2001:db8::1"], ["2001:db9::1", "192.0.2.7"]),
            (["fe80::/10"], ["fe80::1%eth0"], ["::1"]),
            (["*"], ["8.8.8.8", "::"], []),
            ([], [], ["127.0.0.1", "", "unix", "testclient"]),
        ],
    )
    def test_addresses(self, names, trusted, others):
        peers = TrustedPeers(names, "x")
        assert [host for host in trusted if not peers.trusts(host)] == []
        assert [host for host in others if peers.trusts(host)] == []
        assert bool(peers) is bool(names)

    @pytest.mark.parametrize("name", ["nowhere", "10.0.0.0/33", "10.0.0.1/8", "localhost", ""])
    def test_wrong(self, name):
        with pytest.raises(ConfigError, match=r"forwarded_allow_ips: .*loopback, private, unix or"):
            TrustedPeers([name], "forwarded_allow_ips")

    @pytest.mark.parametrize(
        ("names", "expected"), [(["unix"], True), (["*"], True), (["loopback"], False)]
    )
    def test_unix(self, names, expected):
        assert TrustedPeers(names, "x").trusts_peer(UNIX) is expected

    def test_a_client_that_is_gone_is_no_unix_socket(self):
        trusted = TrustedPeers(["unix"], "x")
        assert not trusted.trusts_peer(Peer(None, SERVER))
        assert not trusted.trusts_peer(Peer(None, None))

    @given(st.ip_addresses(), st.lists(st.tuples(st.ip_addresses(), st.integers(0, 32))))
    def test_an_address_in_a_network(self, address, drawn):
        networks = [ipaddress.ip_network((ip, bits), strict=False) for ip, bits in drawn]
        trusted = TrustedPeers(map(str, networks), "x")
        mapped = getattr(address, "ipv4_mapped", None) or address
        assert trusted.trusts(str(address)) == any(mapped in network for network in networks)


class TestForwardedPeer:
    def peer(self, *fields, family="x-forwarded", peer=PROXY, hops=None):
        self.head = head(*fields)
        return proxies(family=family, hops=hops).forwarded_peer(self.head, peer)

    def test_nothing_said(self):
        assert self.peer((b"accept", b"*/*")) is PROXY

    def test_everything(self):
        peer = self.peer(
            (b"x-forwarded-for", b"203.0.113.9"),
            (b"x-forwarded-proto", b"https"),
            (b"x-forwarded-host", b"example.com"),
            (b"x-forwarded-prefix", b"/api"),
        )
        assert peer.client == ("203.0.113.9", 0)
        assert peer.scheme == "https"
        assert peer.server == ("example.com", 443)
        assert peer.root_path == "/api"
        assert self.head.fields[0] == (b"host", b"example.com")

    def test_only_the_client(self):
        peer = self.peer((b"x-forwarded-for", b"203.0.113.9"))
        assert (peer.scheme, peer.server, peer.root_path) == ("http", SERVER, "/app")
        assert self.head.fields[0] == (b"host", b"inner")

    @pytest.mark.parametrize(
        ("fields", "server"),
        [
            ([(b"host", b"a:8443")], ("a", 8443)),
            ([(b"host", b"a"), (b"proto", b"https")], ("a", 443)),
            ([(b"host", b"a:8443"), (b"port", b"9443")], ("a", 9443)),
            ([(b"host", b"[::1]:81")], ("::1", 81)),
            ([(b"port", b"9443")], ("192.0.2.1", 9443)),
            ([(b"host", b"a/b")], SERVER),
        ],
    )
    def test_server(self, fields, server):
        peer = self.peer(*((b"x-forwarded-" + name, value) for name, value in fields))
        assert peer.server == server

    def test_unix_server_keeps_its_path(self):
        peer = self.peer((b"x-forwarded-port", b"443"), peer=UNIX)
        assert peer.server == ("/run/s", None)

    def test_host_is_added(self):
        request = read_request_head("GET", b"/", "1.0", [(b"x-forwarded-host", b"a")])
        proxies().forwarded_peer(request, PROXY)
        assert request.fields[0] == (b"host", b"a")

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ((), PROXY),
            (("for",), Peer(("203.0.113.9", 0), SERVER, "http", None, "/app")),
            (("proto",), Peer(PROXY.client, SERVER, "https", None, "/app")),
            (("host",), Peer(PROXY.client, ("example.com", 80), "http", None, "/app")),
            (("port",), Peer(PROXY.client, ("192.0.2.1", 8443), "http", None, "/app")),
            (("prefix",), Peer(PROXY.client, SERVER, "http", None, "/api")),
        ],
    )
    def test_only_the_fields_that_are_named(self, fields, expected):
        request = head(
            (b"x-forwarded-for", b"203.0.113.9"),
            (b"x-forwarded-proto", b"https"),
            (b"x-forwarded-host", b"example.com"),
            (b"x-forwarded-port", b"8443"),
            (b"x-forwarded-prefix", b"/api"),
        )
        peer = proxies(fields=fields).forwarded_peer(request, PROXY)
        assert as_tuple(peer) == as_tuple(expected)
        host = b"example.com" if "host" in fields else b"inner"
        assert request.fields[0] == (b"host", host)

    def test_host_of_rfc7239_is_a_field_as_the_others(self):
        request = head((b"forwarded", b"for=203.0.113.9;host=example.com"))
        peer = proxies(family="forwarded", fields=("for",)).forwarded_peer(request, PROXY)
        assert as_tuple(peer) == (("203.0.113.9", 0), SERVER, "http", "/app")
        assert request.fields[0] == (b"host", b"inner")

    def test_one_family_only(self):
        both = ((b"forwarded", b"for=203.0.113.1"), (b"x-forwarded-for", b"203.0.113.2"))
        assert self.peer(*both).client == ("203.0.113.2", 0)
        assert self.peer(*both, family="forwarded").client == ("203.0.113.1", 0)
        other = self.peer((b"x-forwarded-proto", b"https"), family="forwarded")
        assert other is PROXY


class TestProxies:
    def test_trusted(self):
        every = proxies()
        assert every(PROXY) == every.forwarded_peer
        assert proxies("unix")(UNIX) is not None

    def test_an_ignored_field_is_named_once(self, caplog):
        caplog.set_level(logging.WARNING, "asgiserver")
        every = proxies()
        stranger = Peer(("172.17.0.1", 5), SERVER)
        for _ in range(3):
            look = every(stranger)
            if look is not None:
                assert look(head((b"x-forwarded-proto", b"https")), stranger) is None
        assert caplog.messages == [
            "Ignored X-Forwarded-Proto from 172.17.0.1, which is not a trusted proxy; if it is one"
            " of yours: --forwarded-allow-ips 172.17.0.1"
        ]

    def test_an_ignored_field_of_a_trusted_proxy_is_named_once(self, caplog):
        caplog.set_level(logging.WARNING, "asgiserver")
        every = make_proxies(Config("a:b", forwarded_allow_ips="10.0.0.0/8"))
        for field in (b"host", b"host", b"prefix"):
            value = b"/evil" if field == b"prefix" else b"evil.example"
            assert every(PROXY)(head((b"x-forwarded-" + field, value)), PROXY).server == SERVER
        assert caplog.messages == [
            "The trusted proxy 10.0.0.1 sends a forwarded host, which is not believed; if it always"
            " sets or clears that: --forwarded-fields for,proto,host"
        ]

    def test_another_family_is_not_named(self, caplog):
        every = proxies()
        stranger = Peer(("172.17.0.1", 5), SERVER)
        assert every(stranger)(head((b"forwarded", b"for=a")), stranger) is None
        assert caplog.messages == []

    @pytest.mark.parametrize(
        "options",
        [
            {"proxy_headers": False},
            {"forwarded_headers": "none"},
            {"forwarded_allow_ips": ""},
        ],
    )
    def test_off(self, options):
        assert make_proxies(Config("a:b", **options)) is None

    def test_default(self):
        every = make_proxies(Config("a:b"))
        assert every(Peer(("127.0.0.1", 1), SERVER)) is not None
        assert every(UNIX) is not None


class TestConnection:
    """The place where a connection asks."""

    async def answer(self, *fields, peername=("10.0.0.1", 4), **options):
        scopes = []

        async def app(scope, receive, send):
            scopes.append(scope)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        server = FakeServer(app, "httptools", **options)
        server.context.admission.proxies = make_proxies(server.context.config)
        peer = FakePeer(app, server=server, extra={"peername": peername})
        for _ in range(2):
            peer.get(b"/x", fields=fields)
            self.status = (await peer.reply()).status
            if self.status != 200:
                break
        await server.finish()
        return scopes[-1] if scopes else None

    async def test_trusted(self):
        scope = await self.answer(
            (b"x-forwarded-for", b"203.0.113.9"),
            (b"x-forwarded-host", b"example.com"),
            (b"x-forwarded-prefix", b"/api"),
            forwarded_allow_ips="10.0.0.1",
            forwarded_fields="for,proto,host,port,prefix",
        )
        assert scope["client"] == ("203.0.113.9", 0)
        assert scope["root_path"] == "/api"
        assert scope["path"] == "/api/x"
        assert scope["raw_path"] == b"/x"
        assert [value for name, value in scope["headers"] if name == b"host"] == [b"example.com"]

    async def test_a_client_cannot_speak_through_a_proxy_that_forwards_only_for_and_proto(self):
        scope = await self.answer(
            (b"x-forwarded-for", b"203.0.113.9"),
            (b"x-forwarded-proto", b"https"),
            (b"x-forwarded-host", b"evil.example"),
            (b"x-forwarded-port", b"1"),
            (b"x-forwarded-prefix", b"/evil"),
            forwarded_allow_ips="10.0.0.1",
        )
        assert (scope["client"], scope["scheme"]) == (("203.0.113.9", 0), "https")
        assert scope["server"] == ("192.0.2.1", 8000)
        assert (scope["root_path"], scope["path"]) == ("", "/x")
        assert [value for name, value in scope["headers"] if name == b"host"] == [b"a"]

    async def test_untrusted(self):
        scope = await self.answer((b"x-forwarded-for", b"203.0.113.9"), forwarded_allow_ips="unix")
        assert scope["client"] == ("10.0.0.1", 4)
        assert (b"x-forwarded-for", b"203.0.113.9") in scope["headers"]

    async def test_malformed_is_refused(self):
        scope = await self.answer(
            (b"forwarded", b'for="'), forwarded_headers="forwarded", forwarded_allow_ips="10.0.0.1"
        )
        assert (self.status, scope) == (400, None)
