"""A gRPC service as a plain ASGI application: four kinds of calls, deadlines, cancellation, errors.

    asgiserver examples.grpc_app:app

gRPC is HTTP/2 with trailers: each message has five bytes in front, and the outcome of a call stands
in the fields that follow the body. This is the service, in the language of protobuf::

    package example;
    message Text { string text = 1; }
    service Echo {
      rpc Say (Text) returns (Text);                  // unary
      rpc Join (stream Text) returns (Text);          // the client streams
      rpc Spell (Text) returns (stream Text);         // the server streams
      rpc Chat (stream Text) returns (stream Text);   // both do
    }
"""

import asyncio
from urllib.parse import quote

OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNIMPLEMENTED = 0, 3, 4, 12
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class CallError(Exception):
    """Ends a call with a status of gRPC and a text for people."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


# The methods: a stream of texts in, a stream of texts out.


async def say(texts):
    async for text in texts:
        if not text:
            raise CallError(INVALID_ARGUMENT, "nothing to say")
        yield text


async def join(texts):
    yield " ".join([text async for text in texts])


async def spell(texts):
    async for text in texts:
        for letter in text:
            yield letter
            await asyncio.sleep(0.01)


async def chat(texts):
    async for text in texts:
        if not text:
            raise CallError(INVALID_ARGUMENT, "nothing to say")
        yield f"You said: {text}"


METHODS = {"Say": say, "Join": join, "Spell": spell, "Chat": chat}


# What is the same for every service.


async def app(scope, receive, send):
    """Answer one call."""
    assert scope["type"] == "http", "gRPC has no WebSockets"
    call = Call(receive, send)
    # The server cancels this task when the client gives the call up.
    scope["extensions"]["asgiserver.on_disconnect"] = {"mode": "cancel"}
    service, _, name = scope["path"].lstrip("/").partition("/")
    method = METHODS.get(name) if service == "example.Echo" else None
    try:
        if method is None:
            raise CallError(UNIMPLEMENTED, f"no method {scope['path']}")
        async with asyncio.timeout(time_left(scope)):
            async for text in method(call.texts()):
                await call.reply(text)
    except CallError as error:
        await call.end(error.status, str(error))
    except TimeoutError:
        await call.end(DEADLINE_EXCEEDED, "deadline exceeded")
    else:
        await call.end(OK)


def time_left(scope) -> float | None:
    """Seconds until the client's deadline; None without one."""
    text = dict(scope["headers"]).get(b"grpc-timeout", b"").decode()
    return int(text[:-1]) * UNITS[text[-1]] if text else None


class Call:
    """One call: messages from `receive`, messages and a status to `send`."""

    def __init__(self, receive, send) -> None:
        self._receive = receive
        self._send = send
        self._started = False

    async def texts(self):
        """The messages of the client as they come."""
        data, more = b"", True
        while more:
            message = await self._receive()
            data += message.get("body", b"")
            more = message.get("more_body", False)
            while len(data) >= 5 and len(data) >= (end := 5 + int.from_bytes(data[1:5], "big")):
                yield decode(data[5:end])
                data = data[end:]

    async def reply(self, text: str) -> None:
        """Send a message."""
        if not self._started:
            self._started = True
            await self._start([])
        data = encode(text)
        body = b"\0" + len(data).to_bytes(4, "big") + data
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, status: int, text: str = "") -> None:
        """End the call: with trailers, or with a head alone when there was no message."""
        fields = [(b"grpc-status", b"%d" % status)]
        if text:
            fields.append((b"grpc-message", quote(text, safe=" ").encode()))
        if not self._started:
            await self._start(fields)
            await self._send({"type": "http.response.body"})
            return
        await self._send({"type": "http.response.body"})
        await self._send({"type": "http.response.trailers", "headers": fields})

    async def _start(self, fields) -> None:
        await self._send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"application/grpc"), *fields],
                "trailers": self._started,
            }
        )


def encode(text: str) -> bytes:
    """`Text` as protobuf writes it: field 1, its length as a varint, UTF-8."""
    data = text.encode()
    size, length = len(data), bytearray(b"\x0a")
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes(length) + data if data else b""


def decode(data: bytes) -> str:
    """The text of a `Text`, which has no other field."""
    start = 1
    while start < len(data) and data[start] > 127:
        start += 1
    return data[start + 1 :].decode()
