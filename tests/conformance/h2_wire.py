"""HTTP/2 as a wire of the suite, which hides frames, windows and other streams from the tests."""

from h2_client import H2Client
from wire_client import Wire


class H2Wire(Wire):
    """HTTP/2 by prior knowledge."""

    http_version = "2"
    switch_status = 200
    """The status that accepts a WebSocket, in access records."""

    has_trailers_for_all = True

    def __init__(self):
        super().__init__(H2Client)
