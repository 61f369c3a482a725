"""Heads of responses by the compiled core: what it accepts, Python makes alike."""

from __future__ import annotations

import gc
import sys

import pytest
from debug_malloc import printed_by

from asgiserver import speedups
from asgiserver.errors import ApplicationError
from asgiserver.h1 import encoder
from asgiserver.http import message
from asgiserver.http.message import ResponseHead
from asgiserver.wire.server_fields import ServerFields

if speedups.is_used:
    from asgiserver.speedups import _core
else:
    pytest.skip(f"the compiled core is {speedups.about}", allow_module_level=True)

ATTRIBUTES = "status", "fields", "content_length", "close", "bodyless", "overrides", "trailers"
REAL_RESPONSES = {
    "Starlette": [(b"content-length", b"13"), (b"content-type", b"text/plain; charset=utf-8")],
    "FastAPI": [(b"content-length", b"27"), (b"content-type", b"application/json")],
    "a stream": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")],
    "Django": [
        *((b"Content-Type", b"text/html; charset=utf-8"), (b"X-Frame-Options", b"DENY")),
        *(
            (b"Content-Length", b"12"),
            (b"Vary", b"Cookie"),
            (b"X-Content-Type-Options", b"nosniff"),
        ),
        (b"Set-Cookie", b"sessionid=a; HttpOnly; Path=/; SameSite=Lax"),
        (b"Set-Cookie", b"csrftoken=b; Path=/; SameSite=Lax"),
    ],
    "with ids": [
        (b"x-request-id", b"5a4e0e5e"),
        (b"server-timing", b"app;dur=1.5"),
        (b"etag", b'"a"'),
    ],
    "latin-1": [(b"content-disposition", b"attachment; filename=\xe4.txt")],
    "empty": [],
}


def python_head(status, headers):
    """The head as Python makes it, and its bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(message, "_accepted", message._left_to_python)
        patch.setattr(encoder, "_encoded", encoder._left_to_python)
        return made(status, headers)


def made(status, headers):
    head = ResponseHead(status, headers)
    seen = {name: getattr(head, name) for name in ATTRIBUTES}
    return seen, encoder.HeadEncoder(ServerFields()).encode(head, b"a: b\r\n\r\n")


def assert_the_same(headers, status=200):
    """Whether the core accepts `headers`; if so, Python accepts them and makes the same head."""
    if _core.check_response(headers) is None:
        return False
    before = list(headers)
    assert made(status, headers) == python_head(status, headers)
    assert headers == before
    return True


@pytest.mark.parametrize("who", REAL_RESPONSES)
@pytest.mark.parametrize("status", [200, 204, 304, 404])
def test_what_frameworks_send_is_not_left_to_python(who, status):
    assert assert_the_same(REAL_RESPONSES[who], status)


@pytest.mark.parametrize("who", ["Django", "latin-1"])
def test_every_changed_byte(who):
    headers = REAL_RESPONSES[who]
    count = 0
    for at, field in enumerate(headers):
        for part in (0, 1):
            for cut in range(len(field[part]) + 1):
                for middle in (b"", *(bytes([byte]) for byte in range(256))):
                    other = list(field)
                    other[part] = field[part][:cut] + middle + field[part][cut + 1 :]
                    count += assert_the_same(
                        [*headers[:at], (other[0], other[1]), *headers[at + 1 :]]
                    )
    assert count > 1000


@pytest.mark.parametrize(
    "field",
    [
        *((b"connection", b"close"), (b"Connection", b"a"), (b"transfer-encoding", b"chunked")),
        *((b"date", b"a"), (b"Server", b"a"), (b"content-length", b"+1"), (b"content-length", b"")),
        *((b"content-length", b"1" * 19), (b"", b"a"), (b"a b", b""), (b"a:", b""), (b"\xe4", b"")),
        *((b"a", b"\r"), (b"a", b"\n"), (b"a", b"\x00"), (b"a", bytearray(b"b")), ("a", b"b")),
        *((b"a", "b"), (b"a",), (b"a", b"b", b"c"), [b"a", b"b"], None),
    ],
)
def test_fields_that_are_for_python_to_decide(field):
    assert _core.check_response([(b"a", b"b"), field]) is None


def test_what_no_fields_are():
    for odd in (None, 5, (), {}, iter([]), [(b"content-length", b"1")] * 2):
        assert _core.check_response(odd) is None
    for odd in (None, (), [None], [(b"a",)], [[b"a", b"b"]], [(b"a", "b")]):
        assert _core.encode_head(b"", odd, b"") is None
    for arguments in ((), (b"", []), ("", [], b""), (b"", [], None)):
        with pytest.raises(TypeError):
            _core.encode_head(*arguments)


def test_fields_in_lists_are_sent():
    """The core leaves them to Python in both places."""
    _, whole = made(200, [[b"x", b"y"]])
    assert b"x: y\r\n" in whole
    with pytest.raises(ApplicationError, match="CR, LF or NUL"):
        ResponseHead(200, [(b"x", b"y\r\n")])


def test_nothing_stays_behind():
    responses = list(REAL_RESPONSES.values())
    responses += [[*headers, (b"a", b"\n")] for headers in responses]

    def run(rounds):
        for _ in range(rounds):
            for headers in responses:
                _core.check_response(headers)
                _core.encode_head(b"a", headers, b"b")

    gc.collect()
    run(5)
    before = sys.getallocatedblocks()
    run(200)
    assert sys.getallocatedblocks() - before < 100


NO_MEMORY = """
import _testcapi
from asgiserver.speedups import _core

failures = 0
def until_enough(function, *args):
    global failures
    expected = function(*args)
    for start in range(1000):
        found = failed = None
        _testcapi.set_nomemory(start, start + 1)
        try:
            found = function(*args)
        except MemoryError:
            failed = True
        finally:
            _testcapi.remove_mem_hooks()
        if not failed:
            assert found == expected
            return
        failures += 1

for headers in {responses!r}:
    until_enough(_core.check_response, headers)
    until_enough(_core.encode_head, b"a", headers, b"b")
assert failures > 10, failures
print("done")
"""


def test_every_allocation_may_fail():
    pytest.importorskip("_testcapi")
    assert printed_by(NO_MEMORY.format(responses=list(REAL_RESPONSES.values()))) == "done\n"
