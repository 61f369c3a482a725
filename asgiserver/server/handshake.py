"""What precedes HTTP on an accepted socket: the PROXY protocol, then TLS; both within a deadline.

This module knows nothing of what the connection speaks afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from typing import TYPE_CHECKING

from asgiserver.errors import PeerError
from asgiserver.http.proxy_protocol import MAX_SIZE, read_header
from asgiserver.log.escape import client_text
from asgiserver.log.refusals import LinesPerPeer
from asgiserver.server.proxy import TrustedPeers
from asgiserver.server.tls import failure_reason
from asgiserver.server.tls_transport import TLSTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.config.fields import Config
    from asgiserver.http.proxy_protocol import ProxyHeader
    from asgiserver.metrics.figures import Counters
    from asgiserver.server.tls import TLS
    from asgiserver.types import Address

__all__ = ["Handshake", "receive_proxy_header"]

logger = logging.getLogger("asgiserver")

LONGEST = 3600.0
"""Seconds that a handshake may take when --timeout-request-head is off or longer."""

SHUTDOWN_TIME = 5.0
"""Seconds that the loop's TLS gives a client to read the rest and answer our close_notify."""

ANSWER_TIME = 2.0
ANSWER_SIZE = 1 << 20
"""Seconds and bytes that a client may go on sending plain HTTP to a TLS port after the answer.
Closing at once would reset the connection, which can destroy the answer (RFC 9112 section 9.6)."""

PLAIN_HTTP = ("HTTP_REQUEST", "HTTPS_PROXY_REQUEST")
"""OpenSSL's names for plain HTTP on a TLS port."""

_USE_HTTPS = b"This port speaks HTTPS: use https:// instead of http://\n"
PLAIN_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_USE_HTTPS), _USE_HTTPS)
)


class Handshake:
    """Makes connections out of accepted sockets. A failure is counted, and logged by its name."""

    def __init__(
        self, config: Config, loop: asyncio.AbstractEventLoop, stats: Counters, tls: TLS | None
    ) -> None:
        self._loop = loop
        self._stats = stats
        self._tls = tls
        self._by_loop = config.tls_transport == "loop"
        self._timeout = min(config.timeout_request_head, LONGEST)
        self._versions = config.proxy_protocol
        self._senders = TrustedPeers(config.proxy_protocol_allow_ips, "proxy_protocol_allow_ips")
        self._lines = LinesPerPeer()

    def __repr__(self) -> str:
        return f"<Handshake proxy_protocol={self._versions} {self._tls}>"

    async def connect(
        self, make_protocol: Callable[..., asyncio.Protocol], sock: socket.socket
    ) -> None:
        """Hand the socket over to a new protocol, or close it."""
        client: Address | None = None
        header: ProxyHeader | None = None
        try:
            client = peer_address(sock)
            if self._versions != "off":
                header = await self._receive_header(sock, client)
            await self._hand_over(make_protocol, header, sock)
        except PeerError as error:
            self._refuse(client, error.reason)
        except OSError as error:  # also ssl.SSLError, ConnectionError and TimeoutError
            reason = failure_reason(error)
            if reason is None:
                logger.debug("A connection was lost before it began: %s", error)
            else:
                self._refuse(client, reason)
        except asyncio.CancelledError:
            sock.close()
            raise
        else:
            return
        sock.close()

    async def _hand_over(
        self,
        make_protocol: Callable[..., asyncio.Protocol],
        header: ProxyHeader | None,
        sock: socket.socket,
    ) -> None:
        make = functools.partial(make_protocol, header)
        if self._tls is None:
            await self._loop.connect_accepted_socket(make, sock)
            return
        # A failed handshake closes its socket, but only OpenSSL can tell that the bytes it has read
        # were HTTP. A copy of the socket, for two system calls, remains to answer plain HTTP.
        copy = duplicate(sock)
        try:
            await self._start_tls(make, sock, self._tls.context)
        except ssl.SSLError as error:
            if copy is not None and error.reason in PLAIN_HTTP:
                await answer_plain_http(self._loop, copy)
            raise
        finally:
            if copy is not None:
                copy.close()

    async def _start_tls(
        self, make: Callable[..., asyncio.Protocol], sock: socket.socket, context: ssl.SSLContext
    ) -> None:
        if self._by_loop:
            await self._loop.connect_accepted_socket(
                make,
                sock,
                ssl=context,
                ssl_handshake_timeout=self._timeout,
                ssl_shutdown_timeout=SHUTDOWN_TIME,
            )
            return
        transport = TLSTransport(self._loop, context, make)
        async with asyncio.timeout(self._timeout):
            await self._loop.connect_accepted_socket(lambda: transport, sock)
            await transport.handshake()

    async def _receive_header(self, sock: socket.socket, client: Address | None) -> ProxyHeader:
        senders = self._senders
        if not (senders.unix if client is None else senders.trusts(client[0])):
            who = "unix" if client is None else client[0]
            raise PeerError(
                400, f"may not speak the PROXY protocol (--proxy-protocol-allow-ips {who})"
            )
        try:
            async with asyncio.timeout(self._timeout):
                return await receive_proxy_header(self._loop, sock, self._versions)
        except TimeoutError:
            raise PeerError(408, "PROXY protocol header timed out") from None

    def _refuse(self, client: Address | None, reason: str) -> None:
        self._stats.count_refused(reason.partition(" (")[0])
        if self._lines.count("" if client is None else client[0], self._loop.time()) == 1:
            logger.info("Refused %s: %s", client_text(client), reason)


def duplicate(sock: socket.socket) -> socket.socket | None:
    """The same socket with another descriptor; None when the process has run out of them."""
    try:
        return sock.dup()
    except OSError:
        return None


async def answer_plain_http(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Tell a client that speaks HTTP to a TLS port what to do; quiet when the client has gone."""
    left = ANSWER_SIZE
    with contextlib.suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(ANSWER_TIME):
            await loop.sock_sendall(sock, PLAIN_HTTP_ANSWER)
            sock.shutdown(socket.SHUT_WR)
            while left > 0 and (data := await loop.sock_recv(sock, 65536)):
                left -= len(data)


def peer_address(sock: socket.socket) -> Address | None:
    """The client's address; None on a unix socket. Raises `OSError` when the client is gone."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    address = sock.getpeername()
    return address[0], address[1]


async def receive_proxy_header(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, versions: str
) -> ProxyHeader:
    """Read the header, and not one byte more, from a socket that does not block.

    The bytes after the header are for TLS or HTTP. Raises `PeerError`, or `OSError` when the peer
    is gone.
    """
    data = b""
    while True:
        await _readable(loop, sock)
        try:
            part = sock.recv(MAX_SIZE, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if not part:
            raise ConnectionResetError("closed before the PROXY protocol header")
        header = read_header(data + part, versions)
        sock.recv(len(part) if header is None else header.size - len(data))
        if header is not None:
            return header
        data += part


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready = asyncio.Event()
    loop.add_reader(sock.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock.fileno())
