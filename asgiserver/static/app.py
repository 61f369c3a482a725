"""``--static /route=directory``: an ASGI layer that serves files in front of the application.

This layer is an ASGI application like any other: it sends files by the extension events, and does
not know the wire.
"""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from asgiserver.asgi.files import open_in_thread
from asgiserver.errors import ConfigError
from asgiserver.http.conditions import failed_condition, range_applies
from asgiserver.http.dates import http_date
from asgiserver.http.ranges import Range, content_range, parse_range, part_heads
from asgiserver.static.lookup import StaticFile, find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgiserver.types import ASGIApplication, Fields, Receive, Scope, Send

_TEXTS = {
    301: b"Moved Permanently",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    412: b"Precondition Failed",
    416: b"Range Not Satisfiable",
}


class StaticFiles:
    """Serves what is below its routes and hands everything else to `app`.

    `routes` are ``/route=directory``; the longest that fits is taken. Below the route ``/`` the
    application answers requests for which there is no file; below other routes the answer is 404.
    Raises `ConfigError` for a path that is not a directory.
    """

    def __init__(self, app: ASGIApplication, routes: Sequence[str]) -> None:
        self._app = app
        pairs = []
        for route in routes:
            prefix, _, directory = route.partition("=")
            if not os.path.isdir(directory):
                raise ConfigError(f"static: {directory!r} of {route!r} is not a directory")
            pairs.append((prefix.rstrip("/"), os.path.abspath(directory)))
        self._routes = sorted(pairs, key=lambda pair: -len(pair[0]))

    def __repr__(self) -> str:
        return f"<StaticFiles {dict(self._routes)}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request below a route; see `StaticFiles`."""
        if scope["type"] == "http":
            path = _path_below(scope["path"], scope["root_path"])
            for prefix, directory in self._routes:
                if path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/"):
                    names = path[len(prefix) :].split("/")[1:]
                    if await _serve(scope, send, directory, names, optional=not prefix):
                        return
                    break
        await self._app(scope, receive, send)


def _path_below(path: str, root_path: str) -> str:
    if root_path and (path == root_path or path.startswith(root_path + "/")):
        return path[len(root_path) :]
    return path


async def _serve(
    scope: Scope, send: Send, directory: str, names: list[str], *, optional: bool
) -> bool:
    """Answer from `directory`; false when the answer is `optional` and there is no file."""
    if scope["method"] not in ("GET", "HEAD"):
        if not optional:
            await _answer(send, 405, [(b"allow", b"GET, HEAD")])
        return not optional
    fields = _combined(scope["headers"])
    file = await open_in_thread(find, directory, names, fields.get(b"accept-encoding"))
    if isinstance(file, int):
        if file == 404 and optional:
            return False
        await _answer(send, file, [(b"location", _with_slash(scope))] if file == 301 else [])
        return True
    try:
        await _respond(scope["method"], fields, file, send)
    finally:
        file.close()
    return True


def _combined(headers: Fields) -> dict[bytes, bytes]:
    """Fields by name; several lines of one are a list (RFC 9110 section 5.3)."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def _with_slash(scope: Scope) -> bytes:
    """The Location of a directory: its path with a slash at the end.

    The path has no empty parts, so the Location cannot name another host.
    """
    location = quote(scope["path"]).encode() + b"/"
    query: bytes = scope["query_string"]
    return location + b"?" + query if query else location


async def _answer(send: Send, status: int, fields: Fields) -> None:
    text = _TEXTS[status]
    fields = [*fields, (b"content-type", b"text/plain; charset=utf-8")]
    fields.append((b"content-length", b"%d" % len(text)))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": text})


async def _respond(method: str, request: dict[bytes, bytes], file: StaticFile, send: Send) -> None:
    """Answer with a file or a part of it, or with the status that the conditions lead to."""
    fields: Fields = [
        (b"etag", file.etag),
        (b"last-modified", http_date(file.modified)),
        (b"accept-ranges", b"bytes"),
    ]
    if file.varies:
        fields.append((b"vary", b"accept-encoding"))
    status = failed_condition(method, request, file.etag, file.modified)
    if status == 304:
        await send({"type": "http.response.start", "status": 304, "headers": fields})
        await send({"type": "http.response.body"})
        return
    if status:
        await _answer(send, status, fields)
        return
    ranges = None
    if method == "GET" and b"range" in request:
        now = time.time()
        if range_applies(request.get(b"if-range"), file.etag, file.modified, now):
            ranges = parse_range(request[b"range"], file.size)
    if ranges is not None and not ranges:
        await _answer(send, 416, [*fields, (b"content-range", b"bytes */%d" % file.size)])
        return
    if file.coding:
        fields.append((b"content-encoding", file.coding))
    await _send_content(method, file, ranges, fields, send)


async def _send_content(
    method: str, file: StaticFile, ranges: list[Range] | None, fields: Fields, send: Send
) -> None:
    parts: list[bytes | Range] = [(0, file.size)]
    media = file.media
    if ranges is not None and len(ranges) == 1:
        fields.append((b"content-range", content_range(ranges[0], file.size)))
        parts = [ranges[0]]
    elif ranges is not None:
        boundary = secrets.token_hex(12).encode()
        heads = part_heads(ranges, file.size, media, boundary)
        parts = [part for pair in zip(heads, ranges, strict=False) for part in pair]
        parts.append(heads[-1])
        media = b"multipart/byteranges; boundary=" + boundary
    size = sum(len(part) if isinstance(part, bytes) else part[1] for part in parts)
    fields += [(b"content-type", media), (b"content-length", b"%d" % size)]
    status = 200 if ranges is None else 206
    await send({"type": "http.response.start", "status": status, "headers": fields})
    if method == "HEAD":
        await send({"type": "http.response.body"})
    elif file.data is not None:
        body = b"".join([part if isinstance(part, bytes) else _slice(file, part) for part in parts])
        await send({"type": "http.response.body", "body": body})
    else:
        await _send_parts(file, parts, send)


def _slice(file: StaticFile, part: Range) -> bytes:
    assert file.data is not None
    return file.data[part[0] : part[0] + part[1]]


async def _send_parts(file: StaticFile, parts: list[bytes | Range], send: Send) -> None:
    last = len(parts) - 1
    for index, part in enumerate(parts):
        more = index < last
        if isinstance(part, bytes):
            await send({"type": "http.response.body", "body": part, "more_body": more})
        else:
            await send(
                {
                    "type": "http.response.zerocopysend",
                    "file": file,
                    "offset": part[0],
                    "count": part[1],
                    "more_body": more,
                }
            )
