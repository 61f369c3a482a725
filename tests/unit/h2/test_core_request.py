"""Requests of HTTP/2 by the compiled core: what it accepts, Python reads alike."""

from __future__ import annotations

import gc
import sys

import pytest
from debug_malloc import printed_by
from real_requests import REAL_REQUESTS

from asgiserver import speedups
from asgiserver.errors import PeerError
from asgiserver.h2 import request_head
from asgiserver.h2.faults import StreamFault
from asgiserver.h2.settings import Settings
from asgiserver.http.semantics import FORWARDING, METHODS
from asgiserver.http.target import split_target
from asgiserver.http.underscores import Underscores

if speedups.is_used:
    from asgiserver.h2.core_request import read_request
    from asgiserver.speedups import _core
else:
    pytest.skip(f"the compiled core is {speedups.about}", allow_module_level=True)

SETTINGS = Settings()
PSEUDO = [
    *((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")),
]


def accepted(fields, has_body=True, most_fields=128, most_target=8192, keeps=False):
    return _core.read_fields(fields, most_fields, most_target, keeps, has_body)


def seen(head):
    parts = split_target(head.target)
    assert head.parts in (None, parts)
    forwarded = {name: head.forwarded.get(name) for name in FORWARDING} if head.forwarded else None
    framing = [getattr(head.framing, name) for name in head.framing.__slots__]
    line = head.method, head.target, head.http_version
    return *line, head.fields, forwarded, parts, *framing, head.priority


def assert_the_same(fields, end=False, settings=SETTINGS):
    """Whether the core accepts `fields`; if so, Python accepts them and gives the same request."""
    keeps = settings.underscores.policy == "keep"
    if accepted(fields, not end, settings.fields, settings.line, keeps) is None:
        return False
    try:
        expected = seen(request_head.read_request(fields, end, settings))
    except (PeerError, StreamFault) as error:
        pytest.fail(f"Python refuses it: {error}: {fields!r}")
    assert seen(read_request(fields, end, settings)) == expected, fields
    return True


@pytest.mark.parametrize("who", REAL_REQUESTS)
def test_what_clients_and_proxies_send_is_not_left_to_python(who):
    fields = REAL_REQUESTS[who]
    assert assert_the_same(fields)
    assert assert_the_same(fields, end=True) or dict(fields).get(b"content-length")


@pytest.mark.parametrize("method", METHODS)
def test_all_methods(method):
    assert assert_the_same([(b":method", method), *PSEUDO[1:]])


def other_bytes(text):
    for at in range(len(text) + 1):
        for middle in (b"", text[at : at + 1] * 2, *(bytes([byte]) for byte in range(256))):
            yield text[:at] + middle + text[at + 1 :]


@pytest.mark.parametrize("who", ["curl, a form", "Firefox", "Envoy"])
def test_every_changed_byte(who):
    """Each byte of each field in turn is left out, doubled, and replaced by every other."""
    fields = REAL_REQUESTS[who]
    count = 0
    for at, (name, value) in enumerate(fields):
        before, after = fields[:at], fields[at + 1 :]
        for other in other_bytes(name):
            count += assert_the_same([*before, (other, value), *after])
        for other in other_bytes(value[:24]):
            count += assert_the_same([*before, (name, other), *after])
    assert count > 1000


def test_every_order():
    """Each field in turn stands elsewhere, is missing, or comes twice."""
    fields = REAL_REQUESTS["Firefox"]
    for at, field in enumerate(fields):
        rest = [*fields[:at], *fields[at + 1 :]]
        assert_the_same(rest)
        for to in range(len(fields)):
            assert_the_same([*rest[:to], field, *rest[to:]])
            assert_the_same([*fields[:to], field, *fields[to:]])


@pytest.mark.parametrize(
    "more",
    [
        *([(b"connection", b"close")], [(b"upgrade", b"a")], [(b"keep-alive", b"a")]),
        *([(b"transfer-encoding", b"chunked")], [(b"proxy-connection", b"a")], [(b"host", b"a")]),
        *([(b"te", b"gzip")], [(b"te", b"")], [(b"Accept", b"a")], [(b"", b"a")], [(b"a ", b"")]),
        *([(b"a", b" b")], [(b"a", b"b\t")], [(b"a", b"b\x00")], [(b"a", b"\n")], [(b"a_b", b"")]),
        *([(b"content-length", b"1")] * 2, [(b"content-length", b"+1")], [(b"expect", b"a")]),
        *([(b"content-type", b"a")] * 2, [(b"priority", b"u=1")] * 2, [(b":path", b"/")]),
        *([(b":protocol", b"websocket")], [(b":status", b"200")], [(b"x" * 129, b"a")]),
        [(b"x-%d" % number, b"a") for number in range(128)],
    ],
)
def test_fields_that_are_for_python_to_decide(more):
    if len(more) == 1 and more[0][0] in (b"content-length", b"content-type", b"priority"):
        more = more * 2
    assert accepted([*PSEUDO, *more]) is None


@pytest.mark.parametrize(
    "pseudo",
    [
        *({b":method": b"get"}, {b":method": b"CONNECT"}, {b":scheme": b"HTTP"}, {b":path": b""}),
        *({b":path": b"*"}, {b":path": b"a"}, {b":path": b"/a#b"}, {b":path": b"/a b"}),
        *({b":path": b"/\xe4"}, {b":authority": b""}, {b":authority": b"u@a"}),
        *({b":authority": b"a:65536"}, {b":path": b"/" * 8193}, {b":scheme": b"ftp"}),
    ],
)
def test_pseudo_fields_that_are_for_python_to_decide(pseudo):
    fields = list({**dict(PSEUDO), **pseudo}.items())
    assert accepted(fields) is None
    for name in pseudo:
        assert accepted([field for field in PSEUDO if field[0] != name]) is None


def test_what_no_fields_are():
    for odd in (None, 5, tuple(PSEUDO), [None], [*PSEUDO, (b"a",)], [*PSEUDO, [b"a", b"b"]], []):
        assert accepted(odd) is None
    assert accepted([*PSEUDO, (b"a", bytearray(b"b"))]) is None
    with pytest.raises(TypeError):
        _core.read_fields(*[PSEUDO])
    with pytest.raises(TypeError):
        accepted(PSEUDO, most_fields="1")
    with pytest.raises(OverflowError):
        accepted(PSEUDO, most_target=2**70)


def test_limits():
    more = [(b"x-%d" % number, b"a") for number in range(127)]
    assert len(accepted([*PSEUDO, *more])[2]) == 128
    crumbs = [(b"cookie", b"a=%d" % number) for number in range(255)]
    assert len(accepted([*PSEUDO, *crumbs, *more[:126]])[2]) == 128
    assert accepted([*PSEUDO, *more[:5]], most_fields=5) is None
    assert accepted([*PSEUDO, *more[:4]], most_fields=5) is not None
    assert accepted([*PSEUDO], most_target=0) is None


@pytest.mark.parametrize("crumbs", [[b"a=b"], [b"", b""], [b"a", b"", b"c"], [b"x" * 99] * 200])
def test_crumbs_are_joined(crumbs):
    fields = [*PSEUDO, (b"x", b"y"), *((b"cookie", crumb) for crumb in crumbs), (b"z", b"")]
    assert assert_the_same(fields)
    assert accepted(fields)[2][2] == (b"cookie", b"; ".join(crumbs))


def test_names_with_underscores_when_they_are_kept():
    assert assert_the_same(
        [*PSEUDO, (b"a_b", b"c")], settings=Settings(underscores=Underscores("keep"))
    )
    assert not assert_the_same([*PSEUDO, (b"a_b", b"c")])


def test_fields_are_not_copied():
    field = (b"x-a", b"b")
    fields = [*PSEUDO, field]
    assert accepted(fields)[2][1] is field
    assert fields == [*PSEUDO, field]


def test_nothing_stays_behind():
    requests = list(REAL_REQUESTS.values())
    requests += [[*fields, (b"a", b"\n")] for fields in requests]

    def run(rounds):
        for _ in range(rounds):
            for fields in requests:
                accepted(fields)

    gc.collect()
    run(5)
    before = sys.getallocatedblocks()
    run(200)
    assert sys.getallocatedblocks() - before < 100


NO_MEMORY = """
import _testcapi
from real_requests import REAL_REQUESTS
from asgiserver.speedups import _core

failures = 0
for fields in REAL_REQUESTS.values():
    expected = _core.read_fields(fields, 128, 8192, False, True)
    for start in range(1000):
        found = failed = None
        _testcapi.set_nomemory(start, start + 1)
        try:
            found = _core.read_fields(fields, 128, 8192, False, True)
        except MemoryError:
            failed = True
        finally:
            _testcapi.remove_mem_hooks()
        if not failed:
            assert found == expected, fields
            break
        failures += 1
    else:
        raise AssertionError("it never had enough")
assert failures > 15, failures
print("done")
"""


def test_every_allocation_may_fail():
    pytest.importorskip("_testcapi")
    assert printed_by(NO_MEMORY) == "done\n"
