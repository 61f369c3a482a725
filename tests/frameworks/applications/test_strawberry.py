"""Strawberry: queries, and subscriptions by graphql-transport-ws."""

from __future__ import annotations

import contextlib
import json
import signal

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

TARGETS = [("strawberry_app:app",), ("strawberry_app:app", "--workers", "2")]
NAMES = ["one", "two"]

served = pytest.mark.parametrize("served", TARGETS, ids=NAMES, indirect=True, scope="module")


class Subscriber:
    """One that speaks graphql-transport-ws over a WebSocket."""

    def __init__(self, socket):
        self.socket = socket

    def say(self, kind, **fields):
        self.socket.send(json.dumps({"type": kind, **fields}))

    def hear(self):
        return json.loads(self.socket.recv(timeout=20))

    def subscribe(self, identity, number):
        query = f"subscription {{ count(number: {number}) }}"
        self.say("subscribe", id=identity, payload={"query": query})


@contextlib.contextmanager
def subscriber(server):
    """A `Subscriber` whose connection the server has acknowledged."""
    with connect(
        f"{server.websocket_url}/graphql", subprotocols=["graphql-transport-ws"], proxy=None
    ) as socket:
        assert socket.subprotocol == "graphql-transport-ws"
        subscriber = Subscriber(socket)
        subscriber.say("connection_init")
        assert subscriber.hear() == {"type": "connection_ack"}
        yield subscriber


def event(identity, number):
    return {"type": "next", "id": identity, "payload": {"data": {"count": number}}}


@served
def test_a_query(served):
    with served.client() as client:
        answer = client.post("/graphql", json={"query": '{ greeting(name: "Ada") }'})
        assert answer.json() == {"data": {"greeting": "Hello, Ada!"}}
        editor = client.get("/graphql", headers={"accept": "text/html"})
        assert "graphiql" in editor.text.lower()


@served
def test_a_subscription(served):
    with subscriber(served) as one:
        one.subscribe("a", 3)
        assert [one.hear() for _ in range(3)] == [event("a", number) for number in (1, 2, 3)]
        assert one.hear() == {"type": "complete", "id": "a"}
        one.say("ping")
        assert one.hear() == {"type": "pong"}


@served
def test_subscriptions_of_several_clients(served):
    with subscriber(served) as one, subscriber(served) as two:
        one.subscribe("a", 0)
        two.subscribe("b", 0)
        for number in (1, 2, 3):
            assert one.hear() == event("a", number)
            assert two.hear() == event("b", number)
        one.say("complete", id="a")
        assert two.hear() == event("b", 4)


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_it_stops_during_a_subscription(run, target):
    with run(*target) as server, subscriber(server) as one:
        one.subscribe("a", 0)
        assert one.hear() == event("a", 1)
        server.stop(signal.SIGINT)
        with pytest.raises(ConnectionClosed) as closed:
            list(iter(one.hear, None))
        assert closed.value.rcvd.code == 1012
