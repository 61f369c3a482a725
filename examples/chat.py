"""A chat room: ``asgiserver examples.chat:app``, then open http://127.0.0.1:8000/ twice.

One HTML file and one WebSocket endpoint (Starlette). Who has not given a name is refused before the
handshake with a denial response; who is not polite is closed with a code of the application's own.
"""

from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PAGE = Path(__file__).with_name("chat.html")

members: dict[str, WebSocket] = {}


async def page(request):
    """The page with the chat's client in it."""
    return FileResponse(PAGE)


async def say(text: str) -> None:
    """Send `text` to everyone; a member who just left is no reason to stop."""
    for websocket in list(members.values()):
        try:
            await websocket.send_text(text)
        except WebSocketDisconnect:
            pass


async def chat(websocket: WebSocket) -> None:
    """One member, from joining to leaving."""
    name = websocket.query_params.get("name", "")
    if not name or name in members:
        reason = "that name is taken" if name else "a name is needed"
        await websocket.send_denial_response(PlainTextResponse(reason, status_code=403))
        return
    await websocket.accept()
    members[name] = websocket
    await say(f"{name} joined ({len(members)} here)")
    try:
        while True:
            text = await websocket.receive_text()
            if text == "/quit":
                await websocket.close(4000, "goodbye")
                break
            await say(f"{name}: {text}")
    except WebSocketDisconnect:
        pass
    finally:
        del members[name]
    await say(f"{name} left ({len(members)} here)")


app = Starlette(routes=[Route("/", page), WebSocketRoute("/chat", chat)])
