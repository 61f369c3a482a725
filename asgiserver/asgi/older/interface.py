"""Makes an ASGI 3 application of the interface that ``--interface`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asgiserver.types import ASGIApplication, Receive, Scope, Send


def as_asgi3(app: Any, interface: str, wsgi_threads: int) -> ASGIApplication:
    """`app` as an ASGI 3 application. Raises `ConfigError` for WSGI without a2wsgi."""
    if interface == "asgi2":
        return _asgi2(app)
    if interface == "wsgi":
        from asgiserver.asgi.older.wsgi import WSGIBridge

        return WSGIBridge(app, wsgi_threads)
    return app  # type: ignore[no-any-return]


def _asgi2(app: Any) -> ASGIApplication:
    """Wrap an ASGI 2 application: ``app(scope)`` returns the instance to call and await."""

    async def single(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope)(receive, send)

    return single
