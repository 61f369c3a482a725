"""WSGI applications (PEP 3333) in threads, through a2wsgi; it knows no wire.

a2wsgi calls the application in a thread and carries what it says to the event loop. What is done
here is the rest of PEP 3333: an input that is a real file, a head that may still be replaced when
the application fails, and an end for the response of a client that has left.
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

KEY = "asgiserver.wsgi"  # of the request, in the scope that a2wsgi puts into the environ


class WSGIBridge:
    """`app` as ASGI 3, called in one of `threads` threads. Raises `ConfigError` without a2wsgi."""

    def __init__(self, app: Application, threads: int) -> None:
        try:
            from a2wsgi import WSGIMiddleware
        except ImportError:
            raise ConfigError(
                'this is a WSGI application; pip install "asgiserver[wsgi]" to serve it'
            ) from None
        self._app = app
        middleware: Any = WSGIMiddleware  # its types of ASGI are others than ours
        self._bridge = middleware(self._call, workers=threads)

    def __repr__(self) -> str:
        return f"<WSGIBridge {self._app!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI conversation; a WebSocket is refused, there is none in WSGI."""
        if scope["type"] == "http":
            request = _Request(asyncio.get_running_loop(), receive, send)
            scope = {**scope, "headers": _unambiguous(scope["headers"]), KEY: request}
            try:
                await self._bridge(scope, receive, request.send)
            finally:
                request.gone = True  # for a thread that goes on after its task was cancelled
            if request.error is not None:
                raise request.error
        else:
            await self._bridge(scope, receive, send)

    def _call(self, environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        """What a2wsgi takes for the application; runs in a thread."""
        scope = environ["asgi.scope"]
        request: _Request = scope.pop(KEY)
        query = scope["query_string"]
        environ["wsgi.input"] = io.BufferedReader(_Body(request), 65536)
        environ["wsgi.input_terminated"] = True  # a body without Content-Length has an end, too
        environ["wsgi.errors"] = io.StringIO() if sys.stderr is None else sys.stderr
        target = scope.get("raw_path", b"") + (b"?" + query if query else b"")
        environ["REQUEST_URI"] = target.decode("latin-1")
        return request.respond(self._app, environ, start_response)


def _unambiguous(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without fields that would pass for others once they are called HTTP_SOME_NAME.

    ``x_forwarded_for`` becomes the variable of ``x-forwarded-for``, ``proxy`` the HTTP_PROXY that
    HTTP clients obey (CVE-2016-5385). Several lines of Cookie become one with "; " between them
    (RFC 9113 section 8.2.3): a2wsgi joins what comes more than once with commas, which would make
    one cookie of two.
    """
    kept = [field for field in fields if b"_" not in field[0] and field[0] != b"proxy"]
    cookies = [value for name, value in kept if name == b"cookie"]
    if len(cookies) > 1:
        kept = [field for field in kept if field[0] != b"cookie"]
        kept.append((b"cookie", b"; ".join(cookies)))
    return kept


class _Request:
    """One request: what the thread of the application asks of the event loop."""

    __slots__ = ("_loop", "_receive", "_send", "error", "gone")

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, send: Send) -> None:
        self._loop = loop
        self._receive = receive
        self._send = send
        self.gone = False  # nobody waits for the response any more
        self.error: Exception | None = None  # what the server had against an event

    async def send(self, message: Message) -> None:
        """What a2wsgi sends to. It must not raise: then the thread would wait for ever."""
        if not self.gone:
            try:
                await self._send(message)
            except Exception as error:
                self.gone = True
                self.error = None if isinstance(error, ClientDisconnected) else error

    def receive(self) -> Message:
        """The next event, waited for in the thread."""
        return asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()

    async def _next(self) -> Message:
        return await self._receive()

    def respond(
        self, app: Application, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterator[bytes]:
        """Call `app`; its body, until the client leaves. The head waits for the first bytes."""
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
            if not self.gone:  # one that the application raised or met while it read
                raise
        finally:
            getattr(body, "close", lambda: None)()

    def _check(self) -> None:
        if self.gone:
            raise ClientDisconnected("the client has left")


class _Head:
    """Status and fields, replaceable by ``start_response(..., exc_info)`` until they leave."""

    __slots__ = ("_fields", "_start", "_status", "_write")

    def __init__(self, start: Callable[..., Any]) -> None:
        self._start = start
        self._status: str | None = None
        self._fields: list[tuple[str, str]] = []
        self._write: Callable[[bytes], None] | None = None  # once the head has left

    def set(self, status: str, fields: list[tuple[str, str]], exc_info: Any) -> None:
        if exc_info is not None and self._write is not None:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._status is not None:
            raise AssertionError("start_response was called again, without exc_info")
        self._status, self._fields = status, fields

    def leave(self) -> Callable[[bytes], None]:
        """Send the head if that has not been done; the ``write`` of a2wsgi."""
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
