"""A response alone: nothing reaches the channel before it is known to be sound."""

import pytest
from fake_channel import FakeChannel

from asgiserver.asgi.response import Response, plain_head
from asgiserver.errors import ApplicationError
from asgiserver.http.message import RequestHead

START = {"type": "http.response.start", "status": 200}


@pytest.fixture
async def channel():
    return FakeChannel()


@pytest.fixture
async def response(channel):
    return Response(channel, RequestHead("GET", b"/", "1.1", []))


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
    response = Response(channel, RequestHead("HEAD", b"/", "1.1", []))
    response.answer(500, b"Internal Server Error")
    assert channel.calls == [("head", 500, b"", True)]


def test_plain_head():
    head = plain_head(400, b"bad")
    assert (head.status, head.content_length, head.close) == (400, 3, True)
