"""Which wire a connection gets."""

import pytest

from asgiserver.wire.choose import Wires


def maker(name):
    return lambda context, passed_on: (name, context, passed_on)


@pytest.mark.parametrize(
    ("alpn", "name"), [("h9", "nine"), ("http/1.1", "one"), (None, "one"), ("unknown", "one")]
)
def test_what_tls_has_agreed_on_decides_and_the_last_one_is_the_default(alpn, name):
    wires = Wires({"h9": maker("nine"), "http/1.1": maker("one")})
    assert wires.connection("context", "header", alpn) == (name, "context", "header")
    assert wires.names == ("h9", "http/1.1")
    assert repr(wires) == "<Wires h9 http/1.1>"
