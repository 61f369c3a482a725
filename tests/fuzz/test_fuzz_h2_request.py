"""Changed requests of HTTP/2 through the compiled core: what it accepts, Python reads alike."""

import os

import http1_requests as http1
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_requests import REAL_REQUESTS

from asgiserver import speedups
from asgiserver.errors import PeerError
from asgiserver.h2 import request_head
from asgiserver.h2.faults import StreamFault
from asgiserver.h2.settings import Settings
from asgiserver.http.semantics import FORWARDING
from asgiserver.http.target import split_target
from asgiserver.http.underscores import Underscores

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "400")) * 5
fuzz = settings(max_examples=EXAMPLES, deadline=None)
pytestmark = pytest.mark.timeout(max(60, EXAMPLES // 10))
if speedups.is_used:
    from asgiserver.h2.core_request import read_request
else:
    pytest.skip(f"the compiled core is {speedups.about}", allow_module_level=True)

REQUESTS = list(REAL_REQUESTS.values())
FIELDS = sorted({field for fields in REQUESTS for field in fields})
ODD_FIELDS = [
    *((b":method", method) for method in (b"get", b"HEAD", b"CONNECT", b"", b"G T")),
    *((b":scheme", scheme) for scheme in (b"http", b"HTTPS", b"ftp", b"", b"1")),
    *((b":path", path) for path in (b"*", b"", b"a", b"/#", b"/%zz", b"/?", b"//a?b?c")),
    *((b":authority", http1.to_bytes(host)) for host in (*http1.HOSTS, *http1.ODD_HOSTS)),
    *((b"host", http1.to_bytes(host)) for host in http1.HOSTS),
    *((b"content-length", http1.to_bytes(size)) for size in (*http1.LENGTHS, *http1.ODD_LENGTHS)),
    *((name, b"a") for name in (b"connection", b"upgrade", b"te", b"Te", b"a_b", b"", b"x y")),
    *((b"cookie", crumb) for crumb in (b"", b"a", b"b=c")),
    *((b"x", value) for value in (b" a", b"a ", b"\t", b"a\x00", b"a\x0bb", b"\x7f", b"\xff")),
    *((b"te", b"Trailers"), (b"expect", b"100-Continue"), (b":protocol", b"websocket")),
]


@st.composite
def requests(draw):
    fields = list(draw(st.sampled_from(REQUESTS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(fields)))
        new = draw(
            st.lists(st.sampled_from(draw(st.sampled_from([FIELDS, ODD_FIELDS]))), max_size=2)
        )
        fields[at : at + draw(st.integers(0, 2))] = new
    if fields and draw(st.booleans()):
        at = draw(st.integers(0, len(fields) - 1))
        noise = draw(st.one_of(st.sampled_from(http1.NOISE), st.binary(max_size=3)))
        parts = list(fields[at])
        which = draw(st.integers(0, 1))
        cut = draw(st.integers(0, len(parts[which])))
        parts[which] = parts[which][:cut] + noise + parts[which][cut + draw(st.integers(0, 2)) :]
        fields[at] = (parts[0], parts[1])
    return fields


def seen(head):
    forwarded = {name: head.forwarded.get(name) for name in FORWARDING} if head.forwarded else None
    assert head.parts in (None, split_target(head.target))
    framing = [getattr(head.framing, name) for name in head.framing.__slots__]
    return head.method, head.target, head.fields, forwarded, *framing, head.priority


def outcome(read, fields, end, limits):
    try:
        return seen(read(fields, end, limits))
    except (PeerError, StreamFault) as error:
        return str(error)


@fuzz
@given(
    requests(),
    st.booleans(),
    st.sampled_from([0, 5, 128]),
    st.sampled_from(["keep", "drop", "refuse"]),
)
def test_requests_are_read_alike(fields, end, most_fields, policy):
    limits = Settings(fields=most_fields, underscores=Underscores(policy))
    expected = outcome(request_head.read_request, fields, end, limits)
    assert outcome(read_request, fields, end, limits) == expected
