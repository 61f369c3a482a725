"""A real gRPC client calls examples/grpc_app.py: over plain text and over TLS."""

import asyncio

import pytest
from fakes import until
from pki import Authority

from examples import grpc_app

grpc = pytest.importorskip("grpc")


def identity(data):
    return data


class Stub:
    """The service of the example, as generated code would offer it."""

    def __init__(self, channel, context):
        self.context = context  # of the server

        def method(kind, name):
            return kind(
                f"/example.Echo/{name}",
                request_serializer=grpc_app.encode,
                response_deserializer=grpc_app.decode,
            )

        self.say = method(channel.unary_unary, "Say")
        self.join = method(channel.stream_unary, "Join")
        self.spell = method(channel.unary_stream, "Spell")
        self.chat = method(channel.stream_stream, "Chat")
        self.unknown = method(channel.unary_unary, "Unknown")


@pytest.fixture(params=["plain", "tls"])
async def stub(request, serve, tmp_path):
    if request.param == "plain":
        server = await serve(grpc_app.app)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.listeners[0].port}")
    else:
        ca = Authority()
        crt, key = ca.issue("localhost", "127.0.0.1").write(tmp_path, "server")
        server = await serve(grpc_app.app, ssl_certfile=crt, ssl_keyfile=key)
        credentials = grpc.ssl_channel_credentials(ca.pem.encode())
        channel = grpc.aio.secure_channel(f"localhost:{server.listeners[0].port}", credentials)
    async with channel:
        yield Stub(channel, server.context)


async def test_unary(stub):
    texts = ["hello", "", "x" * 100_000, "é"]
    for text in texts:
        if text:
            assert await stub.say(text) == text


async def test_many_at_a_time(stub):
    answers = await asyncio.gather(*[stub.say(f"call {number}") for number in range(200)])
    assert answers == [f"call {number}" for number in range(200)]
    assert stub.context.stats.connections == 1


async def test_the_client_streams(stub):
    async def texts():
        for text in ("to", "be", "or", "not"):
            yield text
            await asyncio.sleep(0)

    assert await stub.join(texts()) == "to be or not"


async def test_the_server_streams(stub):
    assert [letter async for letter in stub.spell("letters")] == list("letters")


async def test_both_stream_and_take_turns(stub):
    call = stub.chat()
    for number in range(5):
        await call.write(f"{number}")
        assert await call.read() == f"You said: {number}"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_an_error_before_any_message_has_a_head_alone(stub):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.say("")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "nothing to say"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.unknown("x")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "no method /example.Echo/Unknown"


async def test_an_error_after_messages_is_in_the_trailers(stub):
    call = stub.chat()
    await call.write("first")
    assert await call.read() == "You said: first"
    await call.write("")
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await call.details() == "nothing to say"


async def test_a_deadline_that_passes(stub):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stub.spell("x" * 10_000, timeout=0.3):
            pass
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: not stub.context.running)


async def test_a_call_that_is_cancelled_ends_its_application(stub):
    call = stub.spell("x" * 10_000)
    assert await call.read() == "x"
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    await until(lambda: not stub.context.running)
    assert await stub.say("still there") == "still there"


async def test_the_end_of_the_server_lets_a_call_end(stub):
    call = stub.chat()
    await call.write("before")
    assert await call.read() == "You said: before"
    for connection in list(stub.context.connections):
        connection.begin_drain()
    await call.write("after")
    assert await call.read() == "You said: after"
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK
