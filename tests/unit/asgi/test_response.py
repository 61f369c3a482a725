"""A response alone: nothing reaches the channel before it is known to be sound."""

import pytest
from fake_channel import FakeChannel

from asgiserver.asgi.response import Response, plain_head
from asgiserver.errors import ApplicationError
from asgiserver.http.message import RequestHead

START = {"type": "http.response.start", "status": 200}


class FakeOwner:
    def __init__(self, method="GET"):
        self.request = RequestHead(method, b"/", "1.1", [])
        self.told = []

    def completed(self):
        self.told.append("completed")

    def body_left_out(self, status):
        self.told.append(f"body of a {status}")


@pytest.fixture
async def channel():
    return FakeChannel()


@pytest.fixture
def owner():
    return FakeOwner()


@pytest.fixture
async def response(channel, owner):
    return Response(channel, owner)


async def test_the_head_is_held_until_the_first_part(response, channel):
    await response.send(START)
    assert channel.calls == []
    assert response.unsent
    await response.send({"type": "http.response.body", "body": b"x", "more_body": True})
    assert channel.calls == [("head", 200, b"x", False)]
    assert not response.unsent


@pytest.mark.parametrize(
    "message",
    [
        {"type": "http.response.start", "status": 200, "headers": [(b"x", b"\n")]},
        {"type": "http.response.start", "status": 99},
        {"type": "http.response.body", "body": b"x"},
        {"type": "http.response.trailers"},
        {"type": "nonsense"},
    ],
)
async def test_what_is_refused_changes_nothing(response, channel, message):
    with pytest.raises(ApplicationError):
        await response.send(message)
    assert channel.calls == []
    await response.send(START)
    await response.send({"type": "http.response.body", "body": b"fine"})
    assert channel.calls == [("head", 200, b"fine", True)]


async def test_missing_keys_are_raised(response, channel):
    for message in ({}, {"type": "http.response.start"}):
        with pytest.raises(KeyError):
            await response.send(message)
    assert channel.calls == []


async def test_an_answer_of_the_server(response, channel):
    await response.send(START)
    response.answer(503, b"Service Unavailable", ((b"retry-after", b"1"),))
    assert channel.calls == [("head", 503, b"Service Unavailable", True)]
    assert (response.status, response.sent) == (503, 19)


async def test_an_answer_to_head_has_no_body(channel):
    response = Response(channel, FakeOwner("HEAD"))
    response.answer(500, b"Internal Server Error")
    assert channel.calls == [("head", 500, b"", True)]


@pytest.mark.parametrize("ending", ["body", "trailers", "answer"])
async def test_the_owner_hears_of_the_end_once_and_is_let_go_of(response, owner, ending):
    if ending == "answer":
        response.answer(500, b"")
    else:
        await response.send({**START, "trailers": ending == "trailers"})
        await response.send({"type": "http.response.body"})
        if ending == "trailers":
            assert owner.told == []
            await response.send({"type": "http.response.trailers"})
    assert owner.told == ["completed"]
    await response.send({"type": "http.response.body"})
    assert owner.told == ["completed"]
    assert owner not in vars(response).values()


async def test_a_response_that_is_broken_off_tells_nobody(response, owner, channel):
    await response.send({**START, "status": 204})
    await response.send({"type": "http.response.body", "body": b"x", "more_body": True})
    assert owner.told == ["body of a 204"]
    response.break_off()
    calls = list(channel.calls)
    await response.send({"type": "http.response.body", "body": b"x"})
    assert (owner.told, channel.calls) == (["body of a 204"], calls)
    assert owner not in vars(response).values()


def test_plain_head():
    head = plain_head(400, b"bad")
    assert (head.status, head.content_length, head.close) == (400, 3, True)
