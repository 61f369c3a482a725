"""The response half of an exchange: checks the order of ASGI events and sends them to a channel.

It has an owner: the exchange, or a WebSocket that is denied, which answers in the same way.

==========  ===========  ==============  =============  ==============  ==========  ==========
State       start        body, more      body, end      pathsend        early_hint  trailers
==========  ===========  ==============  =============  ==============  ==========  ==========
START       -> HEAD      error           error          error           stays       error
HEAD        error        -> BODY         -> DONE [1]_   -> DONE [1, 2]  stays       error
BODY        error        stays           -> DONE [1]_   error           error       error
FILE        error        error           error          error           error       error
TRAILERS    error        error           error          error           error       -> DONE
DONE        ignored; `ClientDisconnected` when the client left before
==========  ===========  ==============  =============  ==============  ==========  ==========

A zerocopysend counts as a body. The state is FILE while a file is opened or sent, so that no other
task of the application writes into the middle of the file.

.. [1] -> TRAILERS when the start announced them.
.. [2] -> START when the file cannot be opened: the application may answer something else.

Everything is validated before the state changes, and the head is held until the first part of the
body comes. So an error before that is still a clean 500, and head and body leave in one write.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Protocol

from asgiserver.asgi.files import SLICE_SIZE, open_path, part_of
from asgiserver.asgi.shared_keys import share_keys
from asgiserver.errors import ApplicationError, ClientDisconnected
from asgiserver.http.fields import checked_fields
from asgiserver.http.message import RequestHead, ResponseHead, checked_head

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from asgiserver.asgi.channel import Channel
    from asgiserver.asgi.files import FilePart
    from asgiserver.types import Message

START, HEAD, BODY, FILE, TRAILERS, DONE = range(6)
STATE_NAMES = ("START", "HEAD", "BODY", "FILE", "TRAILERS", "DONE")

_PLAIN_TEXT = (b"content-type", b"text/plain; charset=utf-8")


def plain_head(
    status: int, text: bytes, fields: tuple[tuple[bytes, bytes], ...] = ()
) -> ResponseHead:
    """The head of a short answer that the server itself gives, and then closes the connection."""
    head = ResponseHead(status, [_PLAIN_TEXT, *fields])
    head.close = True
    return head.with_length(len(text))


UNCOUNTED = -1
"""Stands for the missing Content-Length of a body whose parts have to be counted nevertheless."""


class Owner(Protocol):
    """What a response asks of its owner."""

    request: RequestHead

    def completed(self) -> bool:
        """The last byte has been given to the channel; returns what `Channel.finish` does."""

    def body_left_out(self, status: int) -> None:
        """The application has sent a body where none may be (RFC 9110 section 6.4.1)."""


class Response:
    """One response on a channel.

    `gone` is true when the client left before the response was complete. `disconnect_received` is
    true when the application has received `http.disconnect`. `status` and `sent` (bytes of body)
    are for the access log; both are 0 while nothing has been sent.

    In the state DONE a response has no owner any more, so that both are freed without the garbage
    collector.
    """

    # HOT 1.5 %: classes of which each request makes an object have no `__slots__`, as CPython makes
    # an object of a class without them in two thirds of the time.

    start_event: ClassVar = "http.response.start"
    body_event: ClassVar = "http.response.body"

    gone: bool = False
    disconnect_received: bool = False
    _head: ResponseHead  # in all states but START
    _left: int | None  # bytes left of the Content-Length, or UNCOUNTED; None: do not count
    _sent_at_disconnect: int | None = None  # bytes sent when the client was gone
    first_byte: float = 0.0
    """The `perf_counter` time at which the head was sent; 0: it is sent together with the end."""

    def __init__(self, channel: Channel, owner: Owner) -> None:
        self._channel: Channel = channel
        self._owner: Owner = owner
        self.state = START
        self.status = 0
        self.sent = 0

    # HOT 1 %: of a stream, and of an answer that comes later; one function less to call.
    async def send(self, message: Message) -> None:  # noqa: C901
        """The application's `send` (ASGI www: response start, body and the extensions' events).

        Raises `ApplicationError` for an event out of order or malformed, `ClientDisconnected` when
        the client has left.
        """
        kind = message["type"]
        state = self.state
        if kind == self.body_event:
            if state != HEAD and state != BODY:
                self._refuse_body()
                return
            head = self._head
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = _as_bytes(body)
            if head.bodyless and body:
                self._owner.body_left_out(head.status)
                body = b""
            size = len(body)
            more = message.get("more_body", False)
            left = self._left
            if left is not None and (more or size != left):
                self._count_down(size, not more)
            last = not more
            if head.trailers:
                last = False
            if state == HEAD:
                if last and left is None and head.content_length is None and not head.bodyless:
                    head = head.with_length(size)  # the body is whole: there is no need to chunk it
                self.sent = size
                self.status = head.status
                self._channel.send_head(head, body, last)
                if not last:  # the head leaves earlier than the end of the body: note when
                    self.state = BODY
                    self.first_byte = perf_counter()
            else:
                self.sent += size
                self._channel.send_body(body, last)
            if last:
                self.state = DONE
                owner, self._owner = self._owner, NOBODY
                if owner.completed():
                    await self._channel.wait_writable()
                return
            if not more:
                self.state = TRAILERS
        elif kind == self.start_event and state == START:
            self._start(message)
            return
        else:
            await self._send_other(kind, message)
        if not self._channel.writable:
            await self._wait_writable()

    async def _wait_writable(self) -> None:
        await self._channel.wait_writable()
        if self.gone:
            raise ClientDisconnected("the client has left")

    def _count_down(self, size: int, end: bool) -> None:
        """Hold the application to its Content-Length, unless it stops because the client left.

        A body that ends early after `http.disconnect` is not the application's error, but the
        response is not complete either: middleware ends a response in good order when the stream
        beneath it was cancelled, and the client must not take such a response for whole.
        """
        left = self._left
        assert left is not None
        if self._sent_at_disconnect is not None:
            if left == UNCOUNTED:
                early = not size and self.sent == self._sent_at_disconnect
            else:
                early = size < left
            if end and early:
                raise ClientDisconnected("the client has left")
            if left == UNCOUNTED:
                return
        left -= size
        if left < 0 or (end and left):
            what = "longer" if left < 0 else "shorter"
            raise ApplicationError(f"response body is {what} than its Content-Length")
        self._left = left

    def _start(self, message: Message) -> None:
        status = message["status"]
        if type(status) is not int:
            status = _as_int(status)
        head = checked_head(status, message.get("headers", ()))
        if self._owner.request.method == "HEAD" or "trailers" in message:
            head = head.copy()
            head.bodyless = head.bodyless or self._owner.request.method == "HEAD"
            head.trailers = message.get("trailers", False)
        self._head = head
        self._left = None if head.bodyless else head.content_length
        self.state = HEAD

    def _refuse_body(self) -> None:
        """Refuse a body event that comes out of order; one after the end is ignored."""
        if self.state != DONE:
            raise self._unexpected(self.body_event)
        if self.gone:
            raise ClientDisconnected("the client has left")

    async def _send_other(self, kind: str, message: Message) -> None:
        """Handle the rare events: those of extensions, and those out of order."""
        if self.state == DONE:
            if self.gone:
                raise ClientDisconnected("the client has left")
        elif kind == "http.response.trailers":
            self._send_trailers(message)
        elif kind == self.start_event:
            # A stream was ended because of http.disconnect, and its framework answers again.
            if self.disconnect_received:
                raise ClientDisconnected("the client has left")
            raise ApplicationError(f"unexpected {kind!r}: the response has started")
        else:
            await self._send_extension(kind, message)

    def _send_trailers(self, message: Message) -> None:
        if self.state != TRAILERS:
            raise self._unexpected(message["type"])
        self._channel.send_trailers(checked_fields(message.get("headers", ())))
        if not message.get("more_trailers", False):
            self._channel.send_body(b"", True)
            self._complete()

    def _complete(self) -> None:
        """The last byte has been given to the channel; `send` has its own copy of this."""
        owner = self._owner
        self.break_off()
        owner.completed()

    def _unexpected(self, kind: str) -> ApplicationError:
        return ApplicationError(f"unexpected message {kind!r} in state {STATE_NAMES[self.state]}")

    # The extensions' events.

    async def _send_extension(self, kind: str, message: Message) -> None:
        state = self.state
        if self.start_event != "http.response.start":  # a WebSocket's denial has no extensions
            raise self._unexpected(kind)
        if kind == "http.response.pathsend" and state == HEAD:
            part = await self._opened(open_path(message["path"], self._left))
            end = True
        elif kind == "http.response.zerocopysend" and state in (HEAD, BODY):
            opening = part_of(message["file"], message.get("offset"), message.get("count"))
            part = await self._opened(opening)
            end = not message.get("more_body", False)
        elif kind == "http.response.early_hint" and state in (START, HEAD):
            links = checked_fields([(b"link", link) for link in message.get("links", ())])
            if links:
                self._channel.send_informational(103, links)
            return
        else:
            raise self._unexpected(kind)
        if part is not None:
            try:
                await self._send_part(part, end)
            finally:
                part.close()

    async def _opened(self, opening: Coroutine[None, None, FilePart]) -> FilePart | None:
        """The part of a file that `opening` opens; None when the response has ended meanwhile."""
        before = self.state
        self.state = FILE
        part = None
        try:
            part = await opening
        finally:
            if self.state == FILE:
                self.state = before
                if part is None and before == HEAD:
                    self.state = START
        if self.state == DONE:
            part.close()
            if self.gone:
                raise ClientDisconnected("the client has left")
            return None
        return part

    async def _send_part(self, part: FilePart, end: bool) -> None:
        head = self._head
        last = end and not head.trailers
        whole = last and self.state == HEAD
        if whole and head.content_length is None and head.status not in (204, 304):
            self._head = head = head.with_length(part.count)
        if head.bodyless or part.data is not None:
            body = part.data or b""
            await self.send({"type": self.body_event, "body": body, "more_body": not end})
            return
        if self._left is not None:
            self._count_down(part.count, end)
        if self.state == HEAD:
            self.status = head.status
            self._channel.send_head(head, b"", False)
            self.first_byte = perf_counter()
        self.state = FILE
        if await self._send_slices(part):
            self._channel.send_body(b"", last)
            if last:
                self._complete()
            else:
                self.state = TRAILERS if end else BODY

    async def _send_slices(self, part: FilePart) -> bool:
        """Send the whole part; return false when the response has ended meanwhile.

        Nothing else may be sent in between. When sending fails, the response stays in FILE, broken.
        """
        offset, end = part.offset, part.offset + part.count
        while offset < end:
            size = min(end - offset, SLICE_SIZE)
            try:
                await self._channel.send_file(part.fd, offset, size)
            except OSError as error:
                raise ApplicationError(f"the file was not sent to its end: {error}") from error
            if self.state == DONE:
                if self.gone:
                    raise ClientDisconnected("the client has left")
                return False
            self.sent += size
            offset += size
        return True

    # Called by the owner.

    def answer(
        self,
        status: int,
        text: bytes,
        fields: tuple[tuple[bytes, bytes], ...] = (),
        *,
        close: bool = True,
    ) -> None:
        """Answer in place of the application, which has not begun to send."""
        head = plain_head(status, text, fields)
        head.close = close
        if self._owner.request.method == "HEAD":
            head.bodyless = True
            text = b""
        self.status = status
        self.sent = len(text)
        self.state = DONE
        self._channel.send_head(head, text, True)
        self._complete()

    def break_off(self) -> None:
        """The response ends here; what the application still sends is dropped."""
        self.state = DONE
        self._owner = NOBODY

    def note_disconnect(self, client_left: bool) -> None:
        """The application receives `http.disconnect`: the client left, or the server stops.

        After a client has left, the body is counted from now on: see `_count_down`.
        """
        self.disconnect_received = True
        if client_left:
            self._sent_at_disconnect = self.sent
            if self.state == BODY and self._left is None:
                self._left = UNCOUNTED

    @property
    def holds_head(self) -> bool:
        """Whether the application has begun the response and no part of the body has come."""
        return self.state == HEAD

    def release_head(self) -> None:
        """Send the head that is held, without waiting any longer for a part of the body."""
        if self.holds_head:
            self.status = self._head.status
            self.state = BODY
            self._channel.send_head(self._head, b"", False)
            self.first_byte = perf_counter()

    @property
    def unsent(self) -> bool:
        """Whether nothing of the response is on the wire yet."""
        return self.state <= HEAD or (self.state == FILE and not self.status)


share_keys(Response)


class _Nobody:
    """The owner of a response that is over."""

    request = RequestHead("", b"", "", [])

    def completed(self) -> bool:
        return False

    def body_left_out(self, status: int) -> None:
        pass


NOBODY = _Nobody()


def _as_int(status: object) -> int:
    if isinstance(status, int) and not isinstance(status, bool):
        return int(status)  # applications pass http.HTTPStatus.OK
    raise ApplicationError(f"response status must be an int, not {status!r}")


def _as_bytes(body: object) -> bytes:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise ApplicationError(f"response body must be bytes, not {type(body).__name__}")
