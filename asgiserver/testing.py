"""The public path of the pytest plugin, `asgi_server` and `ServedApp`, and of `LiveServer`."""

from typing import TYPE_CHECKING, Any

from asgiserver.integrations.pytest_plugin import ServedApp as ServedApp
from asgiserver.integrations.pytest_plugin import asgi_server as asgi_server

if TYPE_CHECKING:
    from asgiserver.integrations.live_server import LiveServer as LiveServer

__all__ = ["LiveServer", "ServedApp", "asgi_server"]


def __getattr__(name: str) -> Any:
    """`LiveServer`, which is imported when it is asked for: pytest imports this module always."""
    if name == "LiveServer":
        from asgiserver.integrations.live_server import LiveServer

        return LiveServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
