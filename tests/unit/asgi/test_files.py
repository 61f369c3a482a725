"""Parts of files: opening them, and the extension events that send them."""

import asyncio
import os
import threading
from typing import Any

import pytest
from fakes import WAIT

from asgiserver.asgi import files
from asgiserver.asgi.files import INLINE_SIZE, open_path, part_of
from asgiserver.errors import ApplicationError, ClientDisconnected

START = {"type": "http.response.start", "status": 200, "headers": []}
LARGE = bytes(range(256)) * 1024  # 256 KiB: more than is read at once


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(b"0123456789")
    return str(path)


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return str(path)


@pytest.fixture(autouse=True)
def no_descriptor_is_left():
    def count():
        return len(os.listdir("/dev/fd"))

    before = count()
    yield
    assert count() == before


def announced(size, **more):
    return {**START, "headers": [(b"content-length", b"%d" % size)], **more}


def path_of(path):
    return {"type": "http.response.pathsend", "path": path}


def part(file, more=False, **where):
    return {"type": "http.response.zerocopysend", "file": file, "more_body": more, **where}


def sending(*messages):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


PART = {"type": "http.response.body", "body": b"part", "more_body": True}
WAYS: dict[str, list[dict[str, Any]]] = {
    "START": [],
    "HEAD": [START],
    "BODY": [START, PART],
    "TRAILERS": [{**START, "trailers": True}, {"type": "http.response.body"}],
    "DONE": [START, {"type": "http.response.body"}],
}
ALLOWED = {
    "pathsend": {"HEAD", "DONE"},
    "zerocopysend": {"HEAD", "BODY", "DONE"},
    "early_hint": {"START", "HEAD", "DONE"},
}


@pytest.mark.parametrize("event", ALLOWED)
@pytest.mark.parametrize("state", WAYS)
async def test_event_in_state(connect, small, state, event):
    raised = asyncio.Queue()

    async def app(scope, receive, send):
        for message in WAYS[state]:
            await send(message)
        message = {"type": f"http.response.{event}", "path": small, "links": [b"</a>"]}
        try:
            with open(small, "rb") as file:
                await send({**message, "file": file})
        except ApplicationError as error:
            raised.put_nowait(str(error))
        else:
            raised.put_nowait(None)

    peer = connect(app)
    peer.get()
    error = None
    if state not in ALLOWED[event]:
        error = f"unexpected message 'http.response.{event}' in state {state}"
    assert await raised.get() == error


class TestOpening:
    async def test_a_small_file_is_read_and_closed_at_once(self, small):
        found = await open_path(small, None)
        assert (found.data, found.count, found.owned) == (b"0123456789", 10, False)

    async def test_a_large_file_stays_open(self, large):
        found = await open_path(large, None)
        assert (found.data, found.offset, found.count) == (None, 0, len(LARGE))
        assert os.pread(found.fd, 3, 0) == LARGE[:3]
        found.close()
        found.close()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(found.fd)

    async def test_more_than_was_announced_is_left_out(self, small):
        assert (await open_path(small, 4)).data == b"0123"

    async def test_less_than_was_announced_is_an_error(self, small):
        with pytest.raises(ApplicationError, match="has 10 bytes from 0, announced are 11"):
            await open_path(small, 11)

    async def test_a_missing_file_has_its_cause(self, tmp_path):
        with pytest.raises(ApplicationError, match="No such file") as caught:
            await open_path(str(tmp_path / "none"), None)
        assert isinstance(caught.value.__cause__, FileNotFoundError)

    @pytest.mark.parametrize("path", [None, b"/etc/hostname", 3, "a\0b"])
    async def test_a_path_is_a_str(self, path):
        with pytest.raises(ApplicationError, match="must be a str"):
            await open_path(path, None)

    async def test_a_directory_is_no_file(self, tmp_path):
        with pytest.raises(ApplicationError, match="not a regular file"):
            await open_path(str(tmp_path), None)

    async def test_a_pipe_neither_blocks_nor_passes(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ApplicationError, match="not a regular file"):
            await open_path(str(tmp_path / "pipe"), None)

    async def test_the_loop_is_not_blocked(self, small, monkeypatch):
        real, threads = os.open, []

        def opened(*args):
            threads.append(threading.current_thread())
            return real(*args)

        monkeypatch.setattr(files.os, "open", opened)
        await open_path(small, None)
        assert threads
        assert threading.main_thread() not in threads

    async def test_cancelled_meanwhile_nothing_stays_open(self, large, monkeypatch):
        go, opening = threading.Event(), threading.Event()
        real = files._part

        def slow(*args):
            opening.set()
            assert go.wait(WAIT)
            return real(*args)

        monkeypatch.setattr(files, "_part", slow)
        task = asyncio.create_task(open_path(large, None))
        await asyncio.to_thread(opening.wait, WAIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        await asyncio.get_running_loop().shutdown_default_executor()


class TestPart:
    async def test_from_an_offset(self, small):
        with open(small, "rb") as file:
            assert (await part_of(file, 3, 4)).data == b"3456"
            assert file.tell() == 0
            assert (await part_of(file, 3, None)).data == b"3456789"
            assert (await part_of(file, 10, None)).data == b""

    async def test_without_an_offset_it_goes_on_where_the_file_stands(self, small):
        with open(small, "rb") as file:
            file.read(1)
            assert (await part_of(file, None, 4)).data == b"1234"
            assert (await part_of(file, None, None)).data == b"56789"
            assert file.read() == b""

    async def test_of_a_descriptor(self, small):
        fd = os.open(small, os.O_RDONLY)
        try:
            assert (await part_of(fd, 3, 4)).data == b"3456"
            assert os.lseek(fd, 1, os.SEEK_SET) == 1
            assert (await part_of(fd, None, 4)).data == b"1234"
            found = await part_of(fd, None, None)
            assert (found.data, found.owned) == (b"56789", False)
            assert os.read(fd, 1) == b""
        finally:
            os.close(fd)

    @pytest.mark.parametrize("fd", [-1, 1 << 31, 1 << 70, True, 999_999])
    @pytest.mark.parametrize("offset", [None, 0])
    async def test_of_no_descriptor(self, fd, offset):
        with pytest.raises(ApplicationError, match=r"not an open file|descriptor|position"):
            await part_of(fd, offset, 1)

    async def test_of_a_descriptor_that_has_no_position(self):
        reader, writer = os.pipe()
        try:
            for offset in (None, 0):
                with pytest.raises(ApplicationError, match=r"no position|not a regular file"):
                    await part_of(reader, offset, None)
        finally:
            os.close(reader)
            os.close(writer)

    async def test_beyond_the_end(self, small):
        with open(small, "rb") as file, pytest.raises(ApplicationError, match="has 2 bytes from 8"):
            await part_of(file, 8, 3)

    @pytest.mark.parametrize("where", [(-1, None), (0, -1), ("0", None), (0, 1.5)])
    async def test_wrong_numbers(self, small, where):
        with open(small, "rb") as file, pytest.raises(ApplicationError, match="at least 0"):
            await part_of(file, *where)

    async def test_no_file(self):
        with pytest.raises(ApplicationError, match="not an open file"):
            await part_of(object(), None, None)

    async def test_a_closed_file(self, small):
        with open(small, "rb") as file:
            pass
        with pytest.raises(ApplicationError, match="not an open file"):
            await part_of(file, None, None)

    async def test_a_descriptor_without_a_position_needs_an_offset(self, small):
        class Bare:
            def __init__(self, fd):
                self.fileno = lambda: fd

        with open(small, "rb") as file:
            with pytest.raises(ApplicationError, match="give an offset"):
                await part_of(Bare(file.fileno()), None, None)
            assert (await part_of(Bare(file.fileno()), 9, None)).data == b"9"


class TestPathsend:
    @pytest.mark.parametrize("start", [START, announced(10)])
    async def test_small(self, connect, small, start):
        peer = connect(sending(start, path_of(small)))
        peer.get()
        reply = await peer.reply()
        assert (reply.status, reply.body) == (200, b"0123456789")
        assert reply.value(b"content-length") == b"10"
        assert len(peer.transport.writes) == 1  # head and file leave together
        assert peer.records[0].sent == 10

    async def test_large(self, connect, large):
        peer = connect(sending(START, path_of(large)))
        peer.get()
        reply = await peer.reply()
        assert reply.value(b"content-length") == b"%d" % len(LARGE)
        assert reply.body == LARGE
        peer.get()
        assert (await peer.reply()).body == LARGE
        assert [record.sent for record in peer.records] == [len(LARGE)] * 2

    async def test_to_an_http_1_0_client(self, connect, large):
        peer = connect(sending(START, path_of(large)))
        peer.get(version=b"1.0", fields=[(b"connection", b"keep-alive")])
        reply = await peer.reply()
        assert reply.body == LARGE
        assert reply.value(b"connection") == b"keep-alive"

    async def test_head_has_the_length_and_no_file(self, connect, large):
        peer = connect(sending(START, path_of(large)))
        peer.get(method=b"HEAD")
        reply = await peer.reply(head=True)
        assert reply.value(b"content-length") == b"%d" % len(LARGE)
        assert reply.rest == b""

    @pytest.mark.parametrize("status", [204, 304])
    async def test_a_status_without_body(self, connect, large, status):
        peer = connect(sending({**START, "status": status}, path_of(large)))
        peer.get()
        reply = await peer.reply()
        assert (reply.status, reply.value(b"content-length"), reply.rest) == (status, None, b"")

    async def test_empty(self, connect, tmp_path):
        (tmp_path / "empty").touch()
        peer = connect(sending(START, path_of(str(tmp_path / "empty"))))
        peer.get()
        reply = await peer.reply()
        assert (reply.value(b"content-length"), reply.body) == (b"0", b"")

    async def test_with_trailers_it_is_chunked(self, connect, large):
        trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
        peer = connect(sending({**START, "trailers": True}, path_of(large), trailers))
        peer.get(fields=[(b"te", b"trailers")])
        reply = await peer.reply()
        assert reply.body == LARGE
        assert reply.complete
        assert peer.transport.written.endswith(b"0\r\nx-sum: 1\r\n\r\n")

    async def test_a_grown_file_is_sent_as_announced(self, connect, large):
        peer = connect(sending(announced(100_000), path_of(large)))
        peer.get()
        reply = await peer.reply()
        assert (reply.body, reply.rest) == (LARGE[:100_000], b"")

    async def test_a_missing_file_lets_the_application_answer(self, connect, tmp_path):
        async def app(scope, receive, send):
            await send(START)
            try:
                await send(path_of(str(tmp_path / "none")))
            except ApplicationError:
                await send({**START, "status": 404})
                await send({"type": "http.response.body", "body": b"none"})

        peer = connect(app)
        peer.get()
        reply = await peer.reply()
        assert (reply.status, reply.body) == (404, b"none")

    @pytest.mark.parametrize("size", [None, 11])
    async def test_else_it_is_the_applications_error(self, connect, small, size, caplog):
        path = small if size else small + ".none"
        peer = connect(sending(announced(size) if size else START, path_of(path)))
        peer.get()
        assert (await peer.reply()).status == 500
        assert "Exception in ASGI application" in caplog.text
        assert peer.records[0].outcome == "app_error"

    @pytest.mark.parametrize("events", [1, 2])
    async def test_not_after_a_body_nor_twice(self, connect, small, large, events):
        errors = []

        async def app(scope, receive, send):
            await send(START)
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            with pytest.raises(ApplicationError) as caught:
                await send(path_of(small))
            errors.append(str(caught.value))
            await send({"type": "http.response.body", "body": b"b"})
            await send(path_of(large))  # ignored, as everything after the end

        peer = connect(app)
        peer.get()
        assert (await peer.reply()).body == b"ab"
        assert errors == ["unexpected message 'http.response.pathsend' in state BODY"]


class TestZerocopysend:
    async def test_mixed_with_bodies(self, connect, large):
        async def app(scope, receive, send):
            with open(large, "rb") as file:
                await send(START)
                await send({"type": "http.response.body", "body": b"<", "more_body": True})
                await send(part(file, True, offset=5, count=INLINE_SIZE + 1))
                await send(part(file, True, offset=1, count=2))
                await send(part(file, True))
                await send({"type": "http.response.body", "body": b">"})
                assert not file.closed

        peer = connect(app)
        peer.get()
        body = b"<" + LARGE[5 : 5 + INLINE_SIZE + 1] + LARGE[1:3] + LARGE + b">"
        assert (await peer.reply()).body == body
        assert peer.records[0].sent == len(body)

    async def test_alone_it_has_a_length(self, connect, large):
        async def app(scope, receive, send):
            with open(large, "rb") as file:
                await send(START)
                await send(part(file, offset=1))

        peer = connect(app)
        peer.get()
        reply = await peer.reply()
        assert reply.value(b"content-length") == b"%d" % (len(LARGE) - 1)
        assert reply.body == LARGE[1:]

    @pytest.mark.parametrize("size", [70_000, 70_002])
    async def test_must_fit_the_content_length(self, connect, large, size):
        errors = []

        async def app(scope, receive, send):
            with open(large, "rb") as file:
                await send(announced(size))
                with pytest.raises(ApplicationError) as caught:
                    await send(part(file, offset=0, count=70_001))
                errors.append(str(caught.value))
                await send(part(file, True, offset=0, count=size))
                await send({"type": "http.response.body"})

        peer = connect(app)
        peer.get()
        assert (await peer.reply()).body == LARGE[:size]
        what = "longer" if size < 70_001 else "shorter"
        assert errors == [f"response body is {what} than its Content-Length"]

    async def test_a_wrong_part_in_the_middle_leaves_the_response_whole(self, connect, small):
        async def app(scope, receive, send):
            with open(small, "rb") as file:
                await send(START)
                await send({"type": "http.response.body", "body": b"a", "more_body": True})
                with pytest.raises(ApplicationError):
                    await send(part(file, True, offset=9, count=2))
                await send(part(file, offset=9, count=1))

        peer = connect(app)
        peer.get()
        assert (await peer.reply()).body == b"a9"


class TestMeanwhile:
    """What happens while a file is on its way."""

    @pytest.fixture
    def held(self, monkeypatch):
        """Opening waits for `held.go`; `held.opening` says that it has begun."""

        class Held:
            go = threading.Event()
            opening = threading.Event()

        real = files._part

        def slow(*args):
            Held.opening.set()
            assert Held.go.wait(WAIT)
            return real(*args)

        monkeypatch.setattr(files, "_part", slow)
        yield Held
        Held.go.set()

    @pytest.fixture
    async def stalled(self, connect, large):
        """A client that does not read, to which a file is being sent; and what `send` raised."""
        raised = asyncio.Queue()

        async def app(scope, receive, send):
            try:
                with open(large, "rb") as file:
                    await send(START)
                    await send({"type": "http.response.body", "body": b"<", "more_body": True})
                    await send(part(file, True))
            except BaseException as error:
                raised.put_nowait(error)
                raise

        peer = connect(app, timeout_write=10)
        peer.transport.stall()
        peer.get()
        peer.raised = raised
        return peer

    async def test_the_client_leaves_while_a_file_is_opened(self, connect, large, held):
        raised = asyncio.Queue()

        async def app(scope, receive, send):
            await send(START)
            try:
                await send(path_of(large))
            except OSError as error:
                raised.put_nowait(error)

        peer = connect(app)
        peer.get()
        await asyncio.to_thread(held.opening.wait, WAIT)
        peer.reset()
        held.go.set()
        assert isinstance(await raised.get(), ClientDisconnected)

    async def test_nothing_else_is_sent_in_between(self, connect, large, held):
        refused = []

        async def app(scope, receive, send):
            await send(START)
            sending = asyncio.create_task(send(path_of(large)))
            await asyncio.to_thread(held.opening.wait, WAIT)
            for message in (
                START,
                {"type": "http.response.body"},
                {"type": "http.response.early_hint", "links": [b"</a>"]},
                path_of(large),
            ):
                with pytest.raises(ApplicationError):
                    await send(message)
                refused.append(message["type"])
            held.go.set()
            await sending

        peer = connect(app)
        peer.get()
        assert (await peer.reply()).body == LARGE
        assert len(refused) == 4

    async def test_the_request_times_out_before_anything_was_sent(self, connect, large, held):
        async def app(scope, receive, send):
            await send(START)
            await send(path_of(large))

        peer = connect(app)
        peer.get()
        await asyncio.to_thread(held.opening.wait, WAIT)
        (session,) = peer.context.running.values()
        session.cancel("timeout")
        assert (await peer.reply()).status == 504
        held.go.set()
        await asyncio.get_running_loop().shutdown_default_executor()

    async def test_the_client_leaves_within_a_file(self, stalled, caplog):
        while not stalled.transport.paused_writer:
            await asyncio.sleep(0.001)
        stalled.reset()
        assert isinstance(await stalled.raised.get(), ClientDisconnected)
        assert stalled.records[0].outcome == "client_gone"
        assert "Exception" not in caplog.text

    async def test_the_client_does_not_read_a_file(self, stalled):
        while not stalled.transport.paused_writer:
            await asyncio.sleep(0.001)
        stalled.advance(11)
        assert isinstance(await stalled.raised.get(), ClientDisconnected)
        assert stalled.records[0].outcome == "timeout"
        assert stalled.transport.aborted

    async def test_the_file_shrinks(self, connect, large, monkeypatch, caplog):
        real = files._part

        def shrinking(*args):
            part = real(*args)
            os.truncate(large, 100_000)
            return part

        monkeypatch.setattr(files, "_part", shrinking)
        peer = connect(sending(START, path_of(large)))
        peer.get()
        reply = await peer.reply()
        assert not reply.complete  # its end is not announced: the client must see that it is cut
        assert peer.transport.aborted
        assert "the file was not sent to its end" in caplog.text
        assert peer.records[0].outcome == "app_error"


HINT = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>"]}
HINT_SENT = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nlink: </b.js>\r\n\r\n"
LAST = {"type": "http.response.body", "body": b"done"}


class TestEarlyHints:
    @pytest.mark.parametrize("order", ["before start", "after start"])
    async def test_comes_before_the_head(self, connect, order):
        first, second = (HINT, START) if order == "before start" else (START, HINT)
        peer = connect(sending(first, second, LAST))
        peer.get()
        assert (await peer.reply()).status == 103
        assert (await peer.reply()).body == b"done"
        assert peer.transport.written.startswith(HINT_SENT)

    async def test_may_come_more_than_once_and_at_once(self, connect):
        gate = asyncio.Event()

        async def app(scope, receive, send):
            await send(HINT)
            await send({**HINT, "links": []})  # nothing to say: nothing is sent
            await send(HINT)
            await gate.wait()
            await send(START)
            await send(LAST)

        peer = connect(app)
        peer.get()
        for _ in range(2):
            assert (await peer.reply()).status == 103
        assert peer.received == b""
        gate.set()
        assert (await peer.reply()).status == 200

    async def test_http_1_0_knows_none(self, connect):
        scopes = []

        async def app(scope, receive, send):
            scopes.append(scope)
            await sending(HINT, START, LAST)(scope, receive, send)

        peer = connect(app)
        peer.get(version=b"1.0")
        assert (await peer.reply()).status == 200
        assert "http.response.early_hint" not in scopes[0]["extensions"]

    @pytest.mark.parametrize("link", ["text", b"a\r\nb: c", None])
    async def test_a_wrong_link(self, connect, link):
        peer = connect(sending({**HINT, "links": [link]}))
        peer.get()
        assert (await peer.reply()).status == 500

    async def test_not_within_the_body(self, connect):
        async def app(scope, receive, send):
            await send(START)
            await send({**LAST, "more_body": True})
            with pytest.raises(ApplicationError, match="early_hint' in state BODY"):
                await send(HINT)
            await send(LAST)

        peer = connect(app)
        peer.get()
        assert (await peer.reply()).body == b"donedone"
