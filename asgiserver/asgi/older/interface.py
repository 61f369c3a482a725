"""Older interfaces as ASGI 3: what ``--interface`` means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asgiserver.types import ASGIApplication, Receive, Scope, Send


def as_asgi3(app: Any, interface: str, wsgi_threads: int) -> ASGIApplication:
    """`app` as a single callable. Raises `ConfigError` when WSGI is not installed."""
    if interface == "asgi2":
        return _asgi2(app)
    if interface == "wsgi":
        from asgiserver.asgi.older.wsgi import WSGIBridge

        return WSGIBridge(app, wsgi_threads)
    return app  # type: ignore[no-any-return]


def _asgi2(app: Any) -> ASGIApplication:
    """The double callable of ASGI 2: ``app(scope)`` gives the instance to await."""

    async def single(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope)(receive, send)

    return single
