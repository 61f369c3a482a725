"""The compiled core: what it accepts, Python reads alike; nothing usual is left to Python."""

from __future__ import annotations

import gc
import sys

import pytest
from debug_malloc import printed_by
from real_heads import REAL_HEADS
from recorder import describe

from asgiserver import speedups
from asgiserver.errors import PeerError
from asgiserver.h1.codecs import make_head_reader
from asgiserver.h1.head_reader import Limits
from asgiserver.http.semantics import METHODS

if speedups.is_used:
    from asgiserver.speedups import _core

    CORE = make_head_reader("auto", Limits())
else:
    pytest.skip(f"the compiled core is {speedups.about}", allow_module_level=True)


@pytest.fixture
def python():
    return make_head_reader("httptools", Limits())


def accepted(head, most_fields=128, keeps=False):
    return _core.read_head(head, most_fields, keeps)


def with_fields(*lines, request_line=b"GET / HTTP/1.1"):
    return b"\r\n".join([request_line, b"Host: a", *lines, b"", b""])


def assert_the_same(python, head):
    """Whether the core accepts `head`; if so, Python accepts it and gives the same request."""
    if accepted(head) is None:
        return False
    found = describe(CORE.read(head))
    try:
        expected = describe(python.read(head))
    except PeerError as error:
        pytest.fail(f"Python refuses it: {error.status} {error.reason}: {head!r}")
    assert found == expected, head
    return True


@pytest.mark.parametrize("who", REAL_HEADS)
def test_what_clients_and_proxies_send_is_not_left_to_python(who, python):
    assert assert_the_same(python, REAL_HEADS[who])


@pytest.mark.parametrize("method", METHODS)
def test_all_methods(method, python):
    assert assert_the_same(python, b"%b /a HTTP/1.1\r\nHost: a\r\n\r\n" % method)


@pytest.mark.parametrize(
    "who", ["Firefox, WebSocket", "two proxies, two lines", "curl, from a pipe", "ab"]
)
def test_every_changed_byte(who, python):
    """Each byte of a head in turn is left out, doubled, and replaced by every other."""
    head = REAL_HEADS[who]
    count = 0
    for at in range(len(head)):
        before, after = head[:at], head[at + 1 :]
        for middle in (b"", head[at : at + 1] * 2, *(bytes([byte]) for byte in range(256))):
            other = before + middle + after
            if other.find(b"\r\n\r\n") == len(other) - 4 and other[0] not in b"\r\n":
                count += assert_the_same(python, other)
    assert count > 1000


@pytest.mark.parametrize("end", [b"", b"\r", b"\r\n", b"\r\n\r", b"\r\n\r\n", b"\r\n\r\n\r\n"])
def test_only_a_whole_head(end):
    assert accepted(b"GET / HTTP/1.1\r\nHost: a" + end) is None or end == b"\r\n\r\n"
    for size in range(len(REAL_HEADS["Chrome"])):
        assert accepted(REAL_HEADS["Chrome"][:size]) is None
    assert accepted(REAL_HEADS["Chrome"] * 2) is None


@pytest.mark.parametrize(
    "host",
    [
        *(b"a", b"A.b-c_d~!$&'()*+;=", b"127.0.0.1:8000", b"a:", b"a:0", b"a:65535", b"x" * 255),
        *(b"[::]", b"[::1]:80", b"[1::]", b"[1::8]", b"[1:2:3:4:5:6:7::]", b"[::2:3:4:5:6:7:8]"),
        *(b"[1:2:3:4:5:6:7:8]", b"[ABCD:ef01::0]:", b"[1:2:3::5:6:7:8]"),
    ],
)
def test_hosts(host, python):
    assert assert_the_same(python, b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host)


@pytest.mark.parametrize(
    "host",
    [
        *(b"", b"a:65536", b"a:000080", b"a:-1", b"a:80 80", b"a b", b"a,b", b"u@a", b"x" * 256),
        *(b"a/b", b"a?b", b"a#b", b"a%41", b"a%zz", b"a[", b"[]", b"[::1", b"[::1]x", b"[1::2::3]"),
        *(b"[1:2:3:4:5:6:7]", b"[1:2:3:4:5:6:7:8:9]", b"[1:2:3:4:5:6:7::8]", b"[12345::]", b"[:1]"),
        *(b"[1:]", b"[:::]", b"[g::]", b"[::1%25a]", b"[::1.2.3.4]", b"[v1.a]", b"::1"),
    ],
)
def test_hosts_that_are_for_python_to_decide(host):
    assert accepted(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host) is None


@pytest.mark.parametrize(
    "lines",
    [
        *([b"Host: a"], [b"Content-Type: a", b"content-type: a"], [b"Expect: x"], [b"Expect:"]),
        *([b"Content-Length: 5"] * 2, [b"Content-Length: 1" + b"0" * 18], [b"Content-Length: +5"]),
        *([b"Content-Length:"], [b"Content-Length: 5, 5"], [b"Content-Length: 5 5"]),
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked"] * 2,
        *([b"Transfer-Encoding: gzip, chunked"], [b"Transfer-Encoding: chunked\t"]),
        *([b"Upgrade: a", b"Upgrade: b"], [b"X_A: b"], [b"X-" * 65 + b": a"], [b": a"], [b"X"]),
        *([b"X : a"], [b" X: a"], [b"X: a\x00"], [b"X: a\x7f"], [b"X: \r"], [b"X: a\nY: b"]),
    ],
)
def test_fields_that_are_for_python_to_decide(lines):
    assert accepted(with_fields(*lines)) is None


@pytest.mark.parametrize(
    "line",
    [
        *(b"GET /a#b HTTP/1.1", b"GET * HTTP/1.1", b"GET http://a/ HTTP/1.1", b"get / HTTP/1.1"),
        *(b"CONNECT a:80 HTTP/1.1", b"GET / HTTP/1.2", b"GET / HTTP/2.0", b"GET / http/1.1"),
        *(b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET /", b"GET", b"", b"GET /\xe4 HTTP/1.1"),
        *(b"GET /a b HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /\t HTTP/1.1", b"GETS / HTTP/1.1"),
    ],
)
def test_request_lines_that_are_for_python_to_decide(line):
    assert accepted(with_fields(request_line=line)) is None


def test_what_no_head_is():
    for odd in (bytearray(with_fields()), memoryview(with_fields()), "GET", None, 5):
        assert accepted(odd) is None
    assert accepted(type("Bytes", (bytes,), {})(with_fields())) is None
    assert accepted(with_fields(), -1) is None
    assert accepted(with_fields(), 0) is None
    with pytest.raises(TypeError):
        accepted(with_fields(), "1")
    with pytest.raises(OverflowError):
        accepted(with_fields(), 2**70)
    with pytest.raises(TypeError):
        _core.read_head(*[with_fields()])


def test_names_with_underscores_when_they_are_kept():
    head = with_fields(b"X_A: b", b"Cookie: a_b")
    assert accepted(head, keeps=True)[3] == [(b"host", b"a"), (b"x_a", b"b"), (b"cookie", b"a_b")]
    assert accepted(with_fields(b"Cookie: a_b")) is not None


def test_http_1_0_is_never_plain(python):
    head = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert assert_the_same(python, head)
    core = make_head_reader("auto", Limits())
    assert core.read(head).framing is not core.read(with_fields()).framing
    assert core.read(with_fields()).framing is core.read(with_fields(b"X: y")).framing


def test_common_names_are_one_object_each():
    fields = accepted(REAL_HEADS["Chrome"])[3]
    again = accepted(REAL_HEADS["Firefox"])[3]
    first = {name: name for name, _ in fields}
    shared = [name for name, _ in again if name in first]
    assert len(shared) == 8
    assert all(first[name] is name for name in shared)


def test_nothing_stays_behind():
    heads = list(REAL_HEADS.values())
    heads += [head[:-2] for head in heads] + [head.replace(b"Host", b"Hos t") for head in heads]

    def run(rounds):
        for _ in range(rounds):
            for head in heads:
                accepted(head)

    gc.collect()
    run(5)  # fills the free lists of tuples again
    before = sys.getallocatedblocks()
    run(200)  # what stays of one head would stay 200 times
    assert sys.getallocatedblocks() - before < 100


SCRIPT = """
from real_heads import REAL_HEADS
from asgiserver.speedups import _core

heads = [*REAL_HEADS.values(), *(head[:-1] for head in REAL_HEADS.values())]
{body}
"""
DEBUG_MALLOC = """
for head in heads * 50:
    _core.read_head(head, 128, False)
print("done")
"""
NO_MEMORY = """
import _testcapi
expected = {head: _core.read_head(head, 128, False) for head in heads}
failures = 0
for head in heads:
    for start in range(1000):
        found = failed = None
        _testcapi.set_nomemory(start, start + 1)
        try:
            found = _core.read_head(head, 128, False)
        except MemoryError:
            failed = True
        finally:
            _testcapi.remove_mem_hooks()
        if not failed:
            assert found == expected[head], head
            break
        failures += 1
    else:
        raise AssertionError("it never had enough")
assert failures > 300, failures
print("done")
"""


def run_script(body):
    """What a process of its own prints that runs `body` with the heads."""
    return printed_by(SCRIPT.format(body=body))


def test_memory_is_used_as_it_was_taken():
    assert run_script(DEBUG_MALLOC) == "done\n"


def test_every_allocation_may_fail():
    pytest.importorskip("_testcapi")
    assert run_script(NO_MEMORY) == "done\n"


def test_an_interpreter_of_its_own():
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    interpreters = pytest.importorskip(name)
    code = f"""
from asgiserver.speedups import _core
assert _core.read_head({with_fields()!r}, 9, False)[0] == "GET"
"""
    one = interpreters.create()
    try:
        assert interpreters.run_string(one, code) is None
    finally:
        interpreters.destroy(one)
    assert accepted(with_fields())[0] == "GET"
