"""The application of the plain listener beside TLS: it redirects every client to https.

The server serves it as any other application, so every limit and check holds.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING

from asgiserver.context import Admission
from asgiserver.http.forwarded import split_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgiserver.context import ServerContext
    from asgiserver.server.listener import Listener
    from asgiserver.types import ASGIApplication, Receive, Scope, Send

__all__ = ["make_redirect", "redirect_context"]

HTTP_PORT, HTTPS_PORT = 80, 443


def redirect_context(context: ServerContext, main: Sequence[Listener]) -> ServerContext:
    """The context of the plain listener beside the TLS listeners `main`; the rest is shared."""
    ports = [port for listener in main if (port := listener.port) is not None]
    redirect = copy.copy(context)
    redirect.config = dataclasses.replace(context.config, ws="none")
    redirect.app = make_redirect(ports[0] if ports else None)
    redirect.admission = Admission()
    redirect.admission.limit = context.admission.limit
    return redirect


def make_redirect(tls_port: int | None) -> ASGIApplication:
    """An application that answers 308 with the same address in https; `tls_port` serves it."""

    async def redirect(scope: Scope, receive: Receive, send: Send) -> None:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        server = scope["server"]
        port = https_port(host, server[1] if server else None, tls_port)
        fields = [(b"connection", b"close")]
        status, body = 308, b""
        if host:
            fields.append((b"location", https_url(host, port, scope)))
        else:  # HTTP/1.0 may omit Host
            status, body = 400, b"Host is missing; use https"
        fields.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return redirect


def https_port(host: bytes, own_port: int | None, tls_port: int | None) -> int:
    """The port to redirect to, as the client sees it.

    A client that names no port reached us through port 80. When our own port is another one, ports
    are mapped between the client and us, and most likely 443 is mapped as well.
    """
    mapped = own_port != HTTP_PORT and (not host or split_host(host)[1] is None)
    return HTTPS_PORT if tls_port is None or mapped else tls_port


def https_url(host: bytes, port: int, scope: Scope) -> bytes:
    """The target of `scope` at `host`, which the parser has checked."""
    name = host[: host.rindex(b"]") + 1] if host[:1] == b"[" else host.partition(b":")[0]
    if port != HTTPS_PORT:
        name += b":%d" % port
    path = scope["raw_path"] if scope["raw_path"].startswith(b"/") else b"/"  # OPTIONS *
    query = scope["query_string"]
    return b"https://" + name + path + (b"?" + query if query else b"")
