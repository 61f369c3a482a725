"""The public path of the pytest plugin: the fixture `asgi_server` and its `ServedApp`."""

from asgiserver.integrations.pytest_plugin import ServedApp as ServedApp
from asgiserver.integrations.pytest_plugin import asgi_server as asgi_server

__all__ = ["ServedApp", "asgi_server"]
