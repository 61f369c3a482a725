"""TLS over a transport: records however they arrive, both ends of a connection, and what breaks."""

import asyncio
import gc
import ssl
import weakref

import pytest
from fakes import FakeTransport, turns
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pki import Authority

from asgiserver.server.tls_transport import ANSWERS_SIZE, PIECE_SIZE, TLSTransport

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def ca():
    return Authority()


@pytest.fixture(scope="module")
def server_context(ca, tmp_path_factory):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ca.issue("localhost").write(tmp_path_factory.mktemp("tls"), "server"))
    context.set_alpn_protocols(["http/1.1"])
    return context


class Recorder(asyncio.Protocol):
    """What a protocol is told; `keep_open` is its answer to the end of input."""

    def __init__(self, keep_open=False):
        self.keep_open = keep_open
        self.parts = []
        self.events = []
        self.transport = None

    @property
    def data(self):
        return b"".join(self.parts)

    def connection_made(self, transport):
        self.transport = transport
        self.events.append("made")

    def data_received(self, data):
        self.parts.append(data)

    def eof_received(self):
        self.events.append("eof")
        return self.keep_open

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, exc):
        self.events.append("lost")


class Client:
    """The other end, in memory."""

    def __init__(self, ca, version=None, offered=()):
        context = ssl.create_default_context(cadata=ca.pem)
        if offered:
            context.set_alpn_protocols(offered)
        if version is not None:
            context.minimum_version = context.maximum_version = VERSIONS[version]
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def said(self):
        return self.outgoing.read()

    def hear(self, data):
        """Take what the server has written; what it said in plain text."""
        self.incoming.write(data)
        heard = b""
        try:
            while part := self.ssl.read(65536):
                heard += part
        except ssl.SSLWantReadError:
            pass
        return heard

    def shake_hands(self, data=b""):
        self.incoming.write(data)
        try:
            self.ssl.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.said()

    def say(self, data):
        self.ssl.write(data)
        return self.said()

    def say_goodbye(self):
        try:
            self.ssl.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self.said()


class Pair:
    """A client, the transport under test, and what it stands on."""

    def __init__(self, ca, context, version=None, *, keep_open=False, offered=()):
        self.client = Client(ca, version, offered)
        self.protocol = Recorder(keep_open)
        self.raw = FakeTransport()
        self.tls = TLSTransport(asyncio.get_running_loop(), context, self.make_protocol)
        self.raw.connect(self.tls)

    def make_protocol(self, alpn):
        self.alpn = alpn
        return self.protocol

    def shake_hands(self):
        for _ in range(3):
            self.raw.arrive(self.client.shake_hands(self.taken()))
        self.client.hear(self.taken())
        assert self.protocol.events == ["made"]
        return self

    def taken(self):
        """What has been written since the last time."""
        data = self.raw.written
        self.raw.writes.clear()
        return data

    def heard(self):
        return self.client.hear(self.taken())


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def pair(ca, server_context):
    def pair(version=None, **options):
        return Pair(ca, server_context, version, **options)

    return pair


class TestHandshake:
    @pytest.mark.parametrize(
        ("offered", "agreed"), [(["h9", "http/1.1"], "http/1.1"), (["h9"], None), ([], None)]
    )
    async def test_who_makes_the_protocol_hears_what_was_agreed_on(
        self, ca, server_context, offered, agreed
    ):
        made = Pair(ca, server_context, offered=offered).shake_hands()
        assert made.alpn == agreed

    async def test_both_versions(self, pair, version):
        made = pair(version).shake_hands()
        await made.tls.handshake()
        assert made.tls.get_extra_info("ssl_object").version() == f"TLSv{version}"
        assert made.tls.get_extra_info("sslcontext").verify_mode == ssl.CERT_NONE
        assert made.tls.get_extra_info("peername") == ("192.0.2.7", 50123)
        assert f"TLSv{version}" in repr(made.tls)

    async def test_byte_by_byte(self, pair, version):
        made = pair(version)
        for _ in range(3):
            for byte in made.client.shake_hands(made.taken()):
                made.raw.arrive(bytes([byte]))
        for byte in made.client.say(b"hello") + made.client.say(b" world"):
            made.raw.arrive(bytes([byte]))
        assert made.protocol.data == b"hello world"

    async def test_data_after_the_last_flight(self, pair):
        made = pair("1.3")
        made.raw.arrive(made.client.shake_hands())
        made.raw.arrive(made.client.shake_hands(made.taken()) + made.client.say(b"early"))
        assert made.protocol.data == b"early"

    async def test_failure_is_told_in_an_alert(self, pair, version):
        made = pair(version)
        made.raw.arrive(b"\x16\x03\x01\x00\x05hello")
        with pytest.raises(ssl.SSLError):
            await made.tls.handshake()
        assert made.raw.closing
        assert made.raw.written[:1] == b"\x15"  # an alert
        await turns()
        assert made.protocol.events == []

    async def test_plain_http_gets_no_alert(self, pair):
        made = pair()
        made.raw.arrive(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ssl.SSLError, match="HTTP_REQUEST"):
            await made.tls.handshake()
        assert made.raw.written == b""

    @pytest.mark.parametrize("first", [b"", b"\x16\x03\x01"])
    async def test_client_leaves(self, pair, first):
        made = pair()
        made.raw.arrive(first)
        made.raw.arrive(None)
        with pytest.raises(ConnectionResetError):
            await made.tls.handshake()
        assert made.raw.lost

    async def test_cancelled(self, pair):
        made = pair()
        task = asyncio.ensure_future(made.tls.handshake())
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert made.raw.aborted
        made.raw.protocol.data_received(b"\x16\x03\x01\x00\x05hello")  # too late
        await turns()
        assert made.raw.lost

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(data=st.binary(max_size=400), hello=st.booleans(), at=st.integers(0, 500))
    def test_garbage(self, ca, server_context, data, hello, at):
        """Whatever comes: an orderly end, or patience."""

        async def main():
            made = Pair(ca, server_context)
            first = made.client.shake_hands() if hello else b""
            made.raw.arrive(first[:at] + data + first[at + len(data) :])
            made.raw.arrive(None)
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await made.tls.handshake()
            await turns()
            assert made.raw.lost

        asyncio.run(main())


class TestReading:
    async def test_records_in_one_piece(self, pair, version):
        made = pair(version).shake_hands()
        made.raw.arrive(b"".join(made.client.say(b"x%d" % number) for number in range(50)))
        assert made.protocol.data == b"".join(b"x%d" % number for number in range(50))

    async def test_large(self, pair, version):
        made = pair(version).shake_hands()
        data = bytes(range(256)) * 4096
        sent = made.client.say(data)
        for start in range(0, len(sent), 10_000):
            made.raw.arrive(sent[start : start + 10_000])
        assert made.protocol.data == data
        assert max(map(len, made.protocol.parts)) <= 65536

    async def test_records_are_passed_on_together(self, pair, version):
        made = pair(version).shake_hands()
        made.raw.arrive(made.client.say(b"x" * 16384 * 10))
        assert [len(part) for part in made.protocol.parts][:2] == [65536, 65536]

    @pytest.mark.parametrize("rest", [b"", b"x" * 30_000])
    async def test_the_end_after_large_ones(self, pair, version, rest):
        made = pair(version).shake_hands()
        made.raw.arrive(made.client.say(b"x" * 50_000) + made.client.say_goodbye() + rest)
        assert made.protocol.data == b"x" * 50_000
        assert made.protocol.events == ["made", "eof"]
        assert made.raw.closing

    async def test_pause(self, pair, version):
        """Nothing is passed on while paused, nothing is lost, and the kernel's buffer fills."""
        made = pair(version).shake_hands()
        made.protocol.data_received = lambda data: (
            made.protocol.parts.append(data),
            made.tls.pause_reading(),
        )
        made.raw.arrive(made.client.say(b"a") + made.client.say(b"b") + made.client.say(b"c"))
        assert made.protocol.data == b"a"
        assert not made.raw.reading
        assert not made.tls.is_reading()
        made.tls.pause_reading()
        for expected in (b"ab", b"abc", b"abc"):
            made.tls.resume_reading()
            made.tls.resume_reading()
            await turns()
            assert made.protocol.data == expected

    async def test_cut_after_what_is_unread(self, pair):
        made = pair().shake_hands()
        made.protocol.data_received = lambda data: (
            made.protocol.parts.append(data),
            made.tls.pause_reading(),
        )
        made.raw.arrive(made.client.say(b"a") + made.client.say(b"b"))
        assert made.tls.eof_received()  # some loops notice while paused
        assert not made.raw.closing
        made.tls.resume_reading()
        await turns()
        made.tls.resume_reading()
        await turns()
        assert made.protocol.data == b"ab"
        assert made.protocol.events == ["made", "lost"]

    async def test_cut(self, pair, version):
        """No close_notify: it is no end that anybody should believe."""
        made = pair(version).shake_hands()
        made.raw.arrive(made.client.say(b"a") + made.client.say(b"lost")[:-1])
        made.raw.arrive(None)
        await turns()
        assert made.protocol.data == b"a"
        assert made.protocol.events == ["made", "lost"]

    async def test_a_changed_record(self, pair, version):
        made = pair(version).shake_hands()
        record = bytearray(made.client.say(b"hello"))
        record[-1] ^= 1
        made.raw.arrive(bytes(record))
        assert made.protocol.data == b""
        assert made.raw.closing
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            made.heard()
        await turns()
        assert made.protocol.events == ["made", "lost"]


class TestWriting:
    async def test_small(self, pair, version):
        made = pair(version).shake_hands()
        made.tls.write(b"hello")
        made.tls.write(b"")
        assert len(made.raw.writes) == 1
        assert made.heard() == b"hello"
        made.tls.writelines([b"a", bytearray(b"b"), memoryview(b"c")])
        assert made.heard() == b"abc"

    @pytest.mark.parametrize(
        ("sizes", "writes"),
        [
            ([], 0),
            ([100, 10_000], 1),
            ([100, 16384, 100], 3),
            ([1, 16383, 1], 2),
            ([10_000, 10_000, 6384, 1], 3),
            ([100, 100_000, 5, 5], 6),
        ],
    )
    async def test_small_ones_share_a_record(self, pair, version, sizes, writes):
        made = pair(version).shake_hands()
        parts = [bytes([number]) * size for number, size in enumerate(sizes)]
        made.tls.writelines(parts)
        assert len(made.raw.writes) == writes
        assert made.heard() == b"".join(parts)

    @pytest.mark.parametrize("size", [PIECE_SIZE, PIECE_SIZE + 1, 1 << 20])
    async def test_large_is_encrypted_in_pieces(self, pair, version, size):
        made = pair(version).shake_hands()
        data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        made.tls.write(data)
        assert max(map(len, made.raw.writes)) < PIECE_SIZE + 200
        assert made.heard() == data

    async def test_backpressure(self, pair):
        made = pair().shake_hands()
        made.raw.stall()
        made.tls.write(b"x" * 100_000)
        assert made.protocol.events == ["made", "pause"]
        assert made.tls.get_write_buffer_size() > 100_000
        made.raw.read_all()
        assert made.protocol.events == ["made", "pause", "resume"]
        assert made.heard() == b"x" * 100_000

    async def test_answers_to_a_client_that_does_not_read_are_bounded(self, pair):
        """A key update asks for another. The alert stands in for it: no client here sends any."""
        made = pair().shake_hands()
        made.raw.stall()
        made.tls.write(b"x" * 100_000)
        before = len(made.raw.written)
        made.tls._outgoing.write(b"k" * ANSWERS_SIZE)
        made.raw.arrive(made.client.say(b"a"))
        assert len(made.raw.written) == before
        assert not made.raw.closing
        made.tls._outgoing.write(b"k")
        made.raw.arrive(made.client.say(b"a"))
        assert made.raw.aborted

    async def test_answers_wait_for_the_client(self, pair):
        made = pair().shake_hands()
        made.raw.stall()
        made.tls.write(b"x" * 100_000)
        made.tls._outgoing.write(b"answer")
        made.raw.arrive(made.client.say(b"a"))
        made.raw.read_all()
        assert made.raw.written.endswith(b"answer")

    async def test_after_the_end(self, pair):
        made = pair().shake_hands()
        made.tls.close()
        before = made.raw.written
        made.tls.write(b"late")
        made.tls.writelines([b"late"])
        made.tls.write_eof()
        made.tls.close()
        assert made.raw.written == before


class TestEnds:
    async def test_close(self, pair, version):
        """What was written and close_notify, without waiting for the client's."""
        made = pair(version).shake_hands()
        made.tls.write(b"bye")
        made.tls.close()
        assert made.tls.is_closing()
        assert made.heard() == b"bye"
        assert made.client.ssl.read(1) == b""  # an orderly end
        await turns()
        assert made.protocol.events == ["made", "lost"]

    async def test_close_while_the_client_does_not_read(self, pair):
        made = pair().shake_hands()
        made.raw.stall()
        made.tls.write(b"x" * 10_000)
        made.tls.close()
        await turns()
        assert "lost" not in made.protocol.events
        made.raw.read_all()
        await turns()
        assert made.protocol.events == ["made", "lost"]
        assert made.heard() == b"x" * 10_000

    async def test_the_client_ends(self, pair, version):
        made = pair(version).shake_hands()
        made.raw.arrive(made.client.say(b"a") + made.client.say_goodbye())
        await turns()
        assert made.protocol.data == b"a"
        assert made.protocol.events == ["made", "eof", "lost"]
        with pytest.raises(ssl.SSLZeroReturnError):  # close_notify is answered
            made.heard()

    async def test_answer_to_a_client_that_has_ended(self, pair):
        """From TLS 1.3 on each side closes by itself (RFC 8446 section 6.1)."""
        made = pair("1.3", keep_open=True).shake_hands()
        assert made.tls.can_write_eof()
        made.raw.arrive(made.client.say(b"a") + made.client.say_goodbye())
        made.raw.arrive(b"more after the end")
        made.tls.pause_reading()
        made.tls.resume_reading()
        made.raw.arrive(None)
        await turns()
        assert not made.raw.closing
        made.tls.write(b"answer")
        assert made.heard() == b"answer"
        made.tls.close()
        await turns()
        assert made.protocol.events == ["made", "eof", "lost"]

    async def test_no_half_of_an_old_connection(self, pair):
        assert not pair("1.2").shake_hands().tls.can_write_eof()

    async def test_end_of_writing(self, pair):
        """As before closing late: the client sees the end, and what it sends is dropped."""
        made = pair("1.3").shake_hands()
        made.tls.pause_reading()
        made.tls.write_eof()
        made.tls.resume_reading()
        assert made.raw.reading
        assert made.raw.eof_written
        assert not made.raw.closing
        made.raw.arrive(made.client.say(b"more"))
        assert made.protocol.data == b""
        assert made.heard() == b""
        made.raw.arrive(None)
        await turns()
        assert made.protocol.events == ["made", "lost"]

    async def test_abort(self, pair):
        made = pair().shake_hands()
        made.tls.abort()
        assert made.raw.aborted
        made.raw.protocol.data_received(made.client.say(b"late"))
        await turns()
        assert made.protocol.events == ["made", "lost"]
        assert made.protocol.data == b""

    async def test_close_from_within(self, pair):
        made = pair().shake_hands()
        made.protocol.data_received = lambda data: (
            made.protocol.parts.append(data),
            made.tls.close(),
        )
        made.raw.arrive(made.client.say(b"a") + made.client.say(b"b"))
        assert made.protocol.data == b"a"

    async def test_another_protocol(self, pair):
        made = pair().shake_hands()
        other = Recorder()
        made.tls.set_protocol(other)
        assert made.tls.get_protocol() is other
        made.raw.arrive(made.client.say(b"a"))
        assert other.data == b"a"

    @pytest.mark.parametrize("how", ["close", "abort", "lost", "failed"])
    async def test_freed(self, pair, how):
        """Without a round of the garbage collector."""
        made = pair()
        gc.collect()
        gc.disable()
        try:
            if how == "failed":
                made.raw.arrive(b"\x16\x03\x01\x00\x05hello")
                with pytest.raises(ssl.SSLError):
                    await made.tls.handshake()
            else:
                made.shake_hands()
                made.raw.lose() if how == "lost" else getattr(made.tls, how)()
            await turns()
            assert made.raw.lost
            tls = weakref.ref(made.tls.get_extra_info("ssl_object"))
            made.raw.protocol = None  # as those of the loops let go of it
            made.raw = made.tls = made.protocol = None
            await turns()
            assert tls() is None
        finally:
            gc.enable()
