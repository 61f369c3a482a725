"""HTTP/2 as a wire of the suite, which hides frames, windows and other streams from the tests."""

from fakes import FakeServer
from h2_client import H2Client


class H2Wire:
    """HTTP/2 by prior knowledge."""

    http_version = "2"
    switch_status = 200
    """The status that accepts a WebSocket, in access records."""

    has_trailers_for_all = True

    def __init__(self):
        self.servers = []

    def connect(self, app, *, extra=None, setup=None, **options):
        """A connection to a server of its own; `setup` may change the server's context."""
        server = FakeServer(app, **options)
        self.servers.append(server)
        if setup is not None:
            setup(server.context)
        return H2Client(server, extra)

    def request(
        self, app, method="GET", target="/", fields=(), body=b"", *, end=True, **options
    ):  # fmt: skip
        """Send a request to `app` on a connection of its own."""
        return self.connect(app, **options).request(method, target, fields, body, end=end)

    def websocket(self, app, target="/", subprotocols=(), fields=(), **options):
        """Ask `app` for a WebSocket on a connection of its own."""
        return self.connect(app, **options).websocket(target, subprotocols, fields)
