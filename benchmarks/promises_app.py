"""The application of `promises`: each path shows one thing that a server promises."""

import asyncio
import contextvars

import apps

seen = contextvars.ContextVar("seen", default="nothing")
state = {"task": None, "left": "no", "sent": 0}
CHUNK = b"f" * 65536


async def context(receive, send):
    """What the context variable holds; a request after this one must not see what is set here."""
    found = seen.get()
    seen.set("the value of an earlier request")
    await answer(send, found)


async def task(receive, send):
    """Whether the request runs in a task of its own."""
    current = asyncio.current_task()
    before, state["task"] = state["task"], current
    await answer(send, "none" if current is None else "same" if current is before else "own")


async def slow(receive, send):
    """Answer after some work."""
    await asyncio.sleep(0.3)
    await answer(send, "done")


async def waiting(receive, send):
    """Wait until the client leaves."""
    state["left"] = "no"
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            state["left"] = "yes"
            return


async def flood(receive, send):
    """Send 256 MiB to whoever asks."""
    state["sent"] = 0
    await send({"type": "http.response.start", "status": 200, "headers": [apps.BINARY]})
    for _ in range(4096):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        state["sent"] += len(CHUNK)
    await send({"type": "http.response.body", "body": b""})


async def injected(receive, send):
    """Send a field whose value would begin another field."""
    fields = [(b"content-length", b"0"), (b"x-value", b"a\r\nset-cookie: injected=1")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b""})


async def short(receive, send):
    """Announce ten bytes and send five."""
    fields = [(b"content-length", b"10")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"short"})


async def nothing(receive, send):
    """Return without an answer."""


async def raising(receive, send):
    """Raise without an answer."""
    raise RuntimeError("raised on purpose")


async def left(receive, send):
    await answer(send, state["left"])


async def sent(receive, send):
    await answer(send, str(state["sent"]))


async def body(receive, send):
    """Read the body and tell its size."""
    await answer(send, str(len(await apps.read_body(receive))))


PATHS = (context, task, slow, waiting, flood, injected, short, nothing, raising, left, sent, body)
BY_PATH = {f"/{one.__name__}": one for one in PATHS}


async def answer(send, text):
    data = text.encode()
    fields = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": data})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await apps.lifespan(receive, send)
        return
    await BY_PATH.get(scope["path"], body)(receive, send)
