"""The applications under test in raw ASGI, so that no framework's cost is measured."""

import asyncio

TEXT = (b"content-type", b"text/plain; charset=utf-8")
BINARY = (b"content-type", b"application/octet-stream")
HELLO = b"Hello, world!"
CHUNK = b"c" * 1024
MEBIBYTE = b"m" * (1 << 20)


async def lifespan(receive, send):
    """Answer the lifespan events, so that every server does the same at start and stop."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def plain(scope, receive, send):
    """Send 13 bytes of plain text."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    length = (b"content-length", b"13")
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT, length]})
    await send({"type": "http.response.body", "body": HELLO})


async def read_body(receive):
    """Read the whole request body."""
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def echo(scope, receive, send):
    """Send the request body back."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    body = await read_body(receive)
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [BINARY, length]})
    await send({"type": "http.response.body", "body": body})


async def stream(scope, receive, send):
    """Send 20 chunks of 1 KiB without a Content-Length."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [BINARY]})
    for _ in range(20):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def mebibyte(scope, receive, send):
    """Send 1 MiB in one event."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    length = (b"content-length", b"%d" % len(MEBIBYTE))
    await send({"type": "http.response.start", "status": 200, "headers": [BINARY, length]})
    await send({"type": "http.response.body", "body": MEBIBYTE})


async def sized(scope, receive, send):
    """Send as many bytes as the query string says, in events of at most 64 KiB."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    left = int(scope["query_string"])
    length = (b"content-length", b"%d" % left)
    await send({"type": "http.response.start", "status": 200, "headers": [BINARY, length]})
    while left > 65536:
        left -= 65536
        await send({"type": "http.response.body", "body": MEBIBYTE[:65536], "more_body": True})
    await send({"type": "http.response.body", "body": MEBIBYTE[:left]})


async def upload(scope, receive, send):
    """Send the number of bytes received; the body is dropped as it arrives."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    size = 0
    more = True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"%d" % size
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT, length]})
    await send({"type": "http.response.body", "body": body})


async def websocket_echo(scope, receive, send):
    """Send every WebSocket message back; answer HTTP with plain text."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["type"] == "http":
        await plain(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        data = message.get("bytes")
        if data is None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": data})


async def wait(scope, receive, send):
    """An I/O-bound handler: 100 ms of waiting."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await asyncio.sleep(0.1)
    await plain(scope, receive, send)


async def hang(scope, receive, send):
    """Answer `/` with plain text, and nothing else before the client leaves."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["path"] == "/":
        await plain(scope, receive, send)
        return
    while (await receive())["type"] != "http.disconnect":
        pass


def compute():
    """About 2 ms of work for the interpreter."""
    return sum(number * number for number in range(50_000))


async def cpu(scope, receive, send):
    """A CPU-bound handler that holds the event loop, as such handlers do."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    compute()
    await plain(scope, receive, send)
