"""Which peers are trusted proxies, and the request as a trusted proxy passes it on.

Trust is decided once for each connection; `asgiserver.http.forwarded` reads the fields.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from typing import TYPE_CHECKING, cast

from asgiserver.errors import ConfigError
from asgiserver.http.forwarded import (
    FORWARDED,
    NAMES,
    NOTHING,
    X_FORWARDED,
    Forwarding,
    read_forwarded,
    read_x_forwarded,
    split_host,
)
from asgiserver.http.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asgiserver.config.fields import Config
    from asgiserver.http.message import RequestHead
    from asgiserver.types import Fields

__all__ = ["Proxies", "TrustedPeers", "make_proxies"]

logger = logging.getLogger("asgiserver")

NAMED = {
    "loopback": ("127.0.0.0/8", "::1"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
}

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2


class TrustedPeers:
    """A set of addresses: `config` values such as ``10.0.0.0/8``, ``loopback``, ``unix``, ``*``.

    Raises `ConfigError` for anything else; `option` names it in the text.
    """

    __slots__ = ("_names", "_v4", "_v6", "everyone", "unix")

    def __init__(self, names: Iterable[str], option: str) -> None:
        self.everyone = False
        self.unix = False
        self._names: list[str] = []
        # The networks by their masks, both as numbers: a look-up takes one step for each mask.
        self._v4: dict[int, set[int]] = {}
        self._v6: dict[int, set[int]] = {}
        for name in names:
            if name == "*":
                self.everyone = self.unix = True
            elif name in ("unix", "unix:"):
                self.unix = True
            else:
                for network in NAMED.get(name, (name,)):
                    self._add(network, option)

    def __repr__(self) -> str:
        return f"<TrustedPeers everyone={self.everyone} unix={self.unix} {self._names}>"

    def __bool__(self) -> bool:
        return self.unix or bool(self._names)

    def _add(self, text: str, option: str) -> None:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise ConfigError(
                f"{option}: {error}; give addresses, networks, loopback, private, unix or *"
            ) from None
        self._names.append(str(network))
        networks = self._v4 if network.version == 4 else self._v6
        networks.setdefault(int(network.netmask), set()).add(int(network.network_address))

    def trusts(self, host: str) -> bool:
        """Whether the address `host` is trusted; False for text that is no address."""
        if self.everyone:
            return True
        networks = self._v4
        try:
            if ":" not in host:
                packed = socket.inet_pton(socket.AF_INET, host)
            else:
                packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
                if packed.startswith(_MAPPED):  # an IPv4 client of a dual-stack socket
                    packed = packed[12:]
                else:
                    networks = self._v6
        except (OSError, ValueError):
            return False
        number = int.from_bytes(packed)
        # HOT 50 %: of this look-up; a generator takes twice the time.
        for mask, members in networks.items():  # noqa: SIM110
            if number & mask in members:
                return True
        return False

    def trusts_peer(self, peer: Peer) -> bool:
        """Whether the peer of a connection is trusted."""
        if peer.client is not None:
            return self.trusts(peer.client[0])
        # A TCP client without an address was gone before the server could ask for it.
        return self.unix and peer.server is not None and peer.server[1] is None


class Proxies:
    """Tells a connection, as `Admission.proxies`, whether its peer is a trusted proxy.

    `fields` name what a trusted peer is believed to know: for, proto, host, port, prefix. A proxy
    that does not know a field passes on what the client wrote, so no other field is believed.

    A server behind a proxy that it does not trust is a common and silent mistake: wrong scheme,
    wrong client. So the log names once what was ignored.
    """

    __slots__ = (
        "_fields",
        "_hops",
        "_ignored",
        "_named_peer",
        "_names",
        "_read",
        "_reads",
        "_trusted",
        "_trusts",
    )

    def __init__(
        self,
        trusted: TrustedPeers,
        family: str,
        hops: int | None = None,
        fields: tuple[str, ...] = ("for", "proto"),
    ) -> None:
        self._trusted = trusted
        self._trusts = trusted.trusts  # bound once
        self._hops = hops
        self._fields = fields
        # What is read: the fields that are not believed too, until the log has named one of them.
        self._reads = frozenset(NAMES)
        # Indices in `Forwarding` of those; none after that.
        self._ignored = [index for index, name in enumerate(NAMES) if name not in fields]
        self._named_peer = False  # the log has named a peer that is not trusted
        if family == "forwarded":
            self._names, self._read = FORWARDED, read_forwarded
        else:
            self._names, self._read = X_FORWARDED, read_x_forwarded

    def __repr__(self) -> str:
        fields = ",".join(self._fields)
        return f"<Proxies {self._read.__name__} {fields} hops={self._hops} {self._trusted}>"

    def __call__(self, peer: Peer) -> Callable[[RequestHead, Peer], Peer | None] | None:
        """The reader of the forwarding fields of a connection's requests, or None."""
        if self._trusted.trusts_peer(peer):
            return self.forwarded_peer
        return None if self._named_peer else self._warn_once

    def forwarded_peer(self, head: RequestHead, peer: Peer) -> Peer:
        """Client and server of the request `head`, which a trusted `peer` passes on.

        A forwarded host takes the place of the Host field. Raises `PeerError` (400).
        """
        fields = head.forwarded
        if fields is None:
            return peer
        forwarding = self._read(fields, self._trusts, self._hops, self._reads)
        for index in self._ignored:
            if forwarding[index] is not None:
                forwarding = self._without_ignored(forwarding, peer)
                break
        client, scheme, host, port, prefix = forwarding
        if client is None and forwarding == NOTHING:
            return peer
        scheme = scheme or peer.scheme
        if host is not None:
            head.fields = _with_host(head.fields, host)
        return Peer(
            client or peer.client,
            peer.server if host is None and port is None else _server(host, port, scheme, peer),
            scheme,
            peer.tls,
            peer.root_path if prefix is None else prefix,
        )

    def _without_ignored(self, forwarding: Forwarding, peer: Peer) -> Forwarding:
        """`forwarding` without the fields that are not believed; the log names one of them."""
        believed = [
            None if index in self._ignored else value for index, value in enumerate(forwarding)
        ]
        name = next(NAMES[index] for index in self._ignored if forwarding[index] is not None)
        self._ignored = []
        self._reads = frozenset(self._fields)
        logger.warning(
            "The trusted proxy %s sends a forwarded %s, which is not believed; if it always"
            " sets or clears that: --forwarded-fields %s",
            _name(peer),
            name,
            ",".join([*self._fields, name]),
        )
        return cast("Forwarding", tuple(believed))

    def _warn_once(self, head: RequestHead, peer: Peer) -> None:
        if self._named_peer:  # meanwhile, on another connection
            return
        for name, _ in head.fields:
            if name in self._names:
                self._named_peer = True
                logger.warning(
                    "Ignored %s from %s, which is not a trusted proxy; if it is one of yours:"
                    " --forwarded-allow-ips %s",
                    name.decode().title(),
                    _name(peer),
                    _name(peer),
                )
                return


def _name(peer: Peer) -> str:
    return "unix" if peer.client is None else peer.client[0]


def _with_host(fields: Fields, host: bytes) -> Fields:
    """A copy of `fields` with `host` in place of the Host field, or first if there is none."""
    if not any(name == b"host" for name, _ in fields):
        return [(b"host", host), *fields]
    return [(name, host if name == b"host" else value) for name, value in fields]


def _server(
    host: bytes | None, port: int | None, scheme: str, peer: Peer
) -> tuple[str, int | None] | None:
    if host is not None:
        name, own_port = split_host(host)
        return name, port or own_port or _DEFAULT_PORTS[scheme]
    if port is not None and peer.server is not None and peer.server[1] is not None:
        return peer.server[0], port
    return peer.server


def make_proxies(config: Config) -> Proxies | None:
    """The `Proxies` of a server; None when it believes no field. Raises `ConfigError`."""
    trusted = TrustedPeers(config.forwarded_allow_ips, "forwarded_allow_ips")
    if not config.proxy_headers or config.forwarded_headers == "none" or not trusted:
        return None
    return Proxies(trusted, config.forwarded_headers, config.proxy_hops, config.forwarded_fields)
