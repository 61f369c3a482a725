"""A WebSocket echo in bare ASGI: ``asgiserver examples.websocket_echo:app``."""


async def app(scope, receive, send):
    """Send every message back as it came."""
    if scope["type"] != "websocket":
        raise RuntimeError(f"this application speaks WebSocket only, not {scope['type']}")
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            break
        await send({**message, "type": "websocket.send"})
