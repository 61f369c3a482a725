"""A wire that records the calls of a session, for tests of the ASGI side alone."""

import asyncio

from fakes import FakeClock

from asgiserver import Config
from asgiserver.asgi.exchange import Exchange
from asgiserver.asgi.scope import http_scope
from asgiserver.context import ServerContext
from asgiserver.http.message import Framing, RequestHead
from asgiserver.http.peer import Peer


class FakeChannel:
    """`calls` are the names and arguments of the session's calls."""

    def __init__(self):
        self.calls = []
        self.writable = True
        self.room = asyncio.Event()

    async def wait_writable(self):
        await self.room.wait()

    def send_informational(self, status, fields):
        self.calls.append(("informational", status))

    def send_head(self, head, body, end):
        self.calls.append(("head", head.status, body, end))

    def send_body(self, data, end):
        self.calls.append(("body", data, end))

    def send_trailers(self, fields):
        self.calls.append(("trailers", fields))

    def consumed(self, size):
        self.calls.append(("consumed", size))

    def finish(self):
        self.calls.append(("finish",))

    def abort(self, reason):
        self.calls.append(("abort", reason))


def make_exchange(
    app, *, method="GET", target=b"/", chunked=False, expect_continue=False, **options
):
    """An exchange on a `FakeChannel`, which is its `channel`; its access records are `records`."""
    context = ServerContext(Config(app, **options), app, asyncio.get_running_loop(), FakeClock())
    framing = Framing(chunked, None if chunked else 0, expect_continue)
    head = RequestHead(method, target, "1.1", [(b"host", b"a")], framing)
    channel = FakeChannel()
    scope = http_scope(context, head, Peer(("192.0.2.7", 5), ("192.0.2.1", 80)))
    exchange = Exchange(context, channel, head, scope)
    records = []
    context.access = records.append
    return exchange, channel, records
