"""Channels: groups of WebSockets, and refusals."""

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

APP = pytest.mark.parametrize("served", [("channels_app:app",)], indirect=True)


@APP
def test_a_room_hears_what_one_says(served):
    url = f"{served.websocket_url}/rooms/lobby"
    with connect(url, proxy=None) as one, connect(url, proxy=None) as other:
        one.send("hello")
        assert one.recv(timeout=10) == other.recv(timeout=10) == "hello"


@APP
def test_a_refused_client_sees_403(served):
    with pytest.raises(InvalidStatus) as refused, connect(f"{served.websocket_url}/rooms/closed"):
        pytest.fail("is refused")
    assert refused.value.response.status_code == 403
