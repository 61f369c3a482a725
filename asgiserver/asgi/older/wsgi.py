"""Runs WSGI applications (PEP 3333) in threads, through a2wsgi. It knows no wire.

a2wsgi calls the application in a thread and passes its response to the event loop. This module adds
the rest of PEP 3333: an input that is a real file, a head that may still be replaced when the
application fails, and an end for the response to a client that has left.
"""

from __future__ import annotations

import asyncio
import io
import sys
from typing import TYPE_CHECKING, Any

from asgiserver.errors import ClientDisconnected, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asgiserver.types import Message, Receive, Scope, Send

    Environ = dict[str, Any]
    Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

__all__ = ["WSGIBridge"]

KEY = "asgiserver.wsgi"  # the key of our `_Request` in the scope that a2wsgi puts into the environ


class WSGIBridge:
    """`app` as ASGI 3, called in one of `threads` threads. Raises `ConfigError` without a2wsgi."""

    def __init__(self, app: Application, threads: int) -> None:
        try:
            from a2wsgi import WSGIMiddleware
        except ImportError:
            raise ConfigError(
                'this is a WSGI application; pip install "asgiserver-py[wsgi]" to serve it'
            ) from None
        self._app = app
        middleware: Any = WSGIMiddleware  # a2wsgi declares other types for ASGI than asgiserver
        self._bridge = middleware(self._call, workers=threads)

    def __repr__(self) -> str:
        return f"<WSGIBridge {self._app!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; a2wsgi refuses a WebSocket, which WSGI does not have."""
        if scope["type"] == "http":
            request = _Request(asyncio.get_running_loop(), receive, send)
            scope = {**scope, "headers": _unambiguous(scope["headers"]), KEY: request}
            try:
                await self._bridge(scope, receive, request.send)
            finally:
                request.gone = True  # the thread may go on after its task was cancelled
            if request.error is not None:
                raise request.error
        else:
            await self._bridge(scope, receive, send)

    def _call(self, environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        """The WSGI application that a2wsgi calls, in a thread, in place of ours."""
        scope = environ["asgi.scope"]
        request: _Request = scope.pop(KEY)
        query = scope["query_string"]
        environ["wsgi.input"] = io.BufferedReader(_Body(request), 65536)
        environ["wsgi.input_terminated"] = True  # the input ends even without a Content-Length
        environ["wsgi.errors"] = io.StringIO() if sys.stderr is None else sys.stderr
        target = scope.get("raw_path", b"") + (b"?" + query if query else b"")
        environ["REQUEST_URI"] = target.decode("latin-1")
        return request.respond(self._app, environ, start_response)


def _unambiguous(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Remove fields that could be taken for others as a variable HTTP_SOME_NAME; join cookies.

    ``x_forwarded_for`` would set the same variable as ``x-forwarded-for``, and ``proxy`` would set
    HTTP_PROXY, which HTTP clients obey (CVE-2016-5385). Several Cookie lines are joined with "; "
    (RFC 9113 section 8.2.3), because a2wsgi joins repeated fields with commas, which would make one
    cookie of two.
    """
    kept = [field for field in fields if b"_" not in field[0] and field[0] != b"proxy"]
    cookies = [value for name, value in kept if name == b"cookie"]
    if len(cookies) > 1:
        kept = [field for field in kept if field[0] != b"cookie"]
        kept.append((b"cookie", b"; ".join(cookies)))
    return kept


class _Request:
    """One request: connects the application's thread with the event loop."""

    __slots__ = ("_loop", "_receive", "_send", "error", "gone")

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, send: Send) -> None:
        self._loop = loop
        self._receive = receive
        self._send = send
        self.gone = False  # whether nobody waits for the response any more
        self.error: Exception | None = None  # what the server's `send` has raised

    async def send(self, message: Message) -> None:
        """The `send` that a2wsgi calls. If it raised, the thread would wait for ever."""
        if not self.gone:
            try:
                await self._send(message)
            except Exception as error:
                self.gone = True
                self.error = None if isinstance(error, ClientDisconnected) else error

    def receive(self) -> Message:
        """Wait in the thread for the next event, and return it."""
        return asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()

    async def _next(self) -> Message:
        return await self._receive()

    def respond(
        self, app: Application, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterator[bytes]:
        """Call `app` and yield its body until the client leaves; the head waits for the body."""
        head = _Head(start_response)

        def write(data: bytes) -> None:
            self._check()
            head.write(data)

        def start(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
            head.set(status, fields, exc_info)
            return write

        body = app(environ, start)
        try:
            for chunk in body:
                self._check()
                if chunk:
                    head.leave()
                    yield chunk
            head.leave()
        except ClientDisconnected:
            if not self.gone:  # the application raised it, or reading the body did
                raise
        finally:
            getattr(body, "close", lambda: None)()

    def _check(self) -> None:
        if self.gone:
            raise ClientDisconnected("the client has left")


class _Head:
    """Status and fields; ``start_response(..., exc_info)`` may replace them until they are sent."""

    __slots__ = ("_fields", "_start", "_status", "_write")

    def __init__(self, start: Callable[..., Any]) -> None:
        self._start = start
        self._status: str | None = None
        self._fields: list[tuple[str, str]] = []
        self._write: Callable[[bytes], None] | None = None  # set when the head is sent

    def set(self, status: str, fields: list[tuple[str, str]], exc_info: Any) -> None:
        if exc_info is not None and self._write is not None:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._status is not None:
            raise AssertionError("start_response was called again, without exc_info")
        self._status, self._fields = status, fields

    def leave(self) -> Callable[[bytes], None]:
        """Send the head unless it is sent already; return the ``write`` of a2wsgi."""
        if self._write is None:
            if self._status is None:
                raise AssertionError("the application did not call start_response")
            code = self._status.partition(" ")[0]
            self._write = self._start(f"{code} ", self._fields)
        return self._write

    def write(self, data: bytes) -> None:
        self.leave()(data)


class _Body(io.RawIOBase):
    """The request body as a file, read in the thread of the application."""

    def __init__(self, request: _Request) -> None:
        super().__init__()
        self._request = request
        self._data = memoryview(b"")
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._data and self._more:
            message = self._request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected("the client left before its request was complete")
            self._data = memoryview(message.get("body", b""))
            self._more = message.get("more_body", False)
        size = min(len(buffer), len(self._data))
        buffer[:size] = self._data[:size]
        self._data = self._data[size:]
        return size
