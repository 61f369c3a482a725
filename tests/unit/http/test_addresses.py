"""Addresses as proxies write them, held against the standard library's own reading of them."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgiserver.http.addresses import parse_node


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:4711", ("192.0.2.1", 4711)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("2001:DB8:0::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:4711", ("2001:db8::1", 4711)),
        ("::ffff:192.0.2.1", ("192.0.2.1", 0)),
        ("::192.0.2.1", ("::c000:201", 0)),
        *(
            (text, None)
            for text in (
                *("", "unknown", "_hidden", "192.0.2.1:_port", "192.0.2.1:65536", "192.0.2.1:"),
                *("192.0.2", "192.0.2.01", "[192.0.2.1]", "[2001:db8::1", "2001:db8::1]", "a.b"),
                *(
                    "fe80::1%eth0",
                    "[fe80::1%25eth0]:1",
                    "1.2.3.4 5",
                    "<script>",
                    "\x00",
                    "\u0661.1.1.1",
                ),
            )
        ),
    ],
)
def test_nodes(text, node):
    assert parse_node(text) == node


def reference(text):
    """What `ipaddress` reads."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.version == 6 and address.scope_id is not None:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


addresses = st.ip_addresses().map(lambda address: [str(address), address.exploded])
near = st.text("0123456789abcdefABCDEF:.[]%/ ", max_size=40)


@given(st.one_of(addresses.flatmap(st.sampled_from), near))
@example("::1.2.3.4")
@example("::102:0")
@example("::ffff:1.2.3.4")
@example("::ffff:0:1.2.3.4")
@example("1::2:0:0:0:3")
@example("0:0:1::")
@example("1.2.3.04")
def test_an_address_is_what_the_standard_library_takes_it_for(text):
    node = parse_node(text)
    if ":" in text and node is not None and node[1]:
        return  # with a port: no address alone
    expected = reference(text)
    if node is None or expected is None or text.startswith("["):
        assert expected is None or node is not None
    else:
        assert node == (expected, 0)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_address_with_a_port(address, port):
    text = f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"
    assert parse_node(text) == (reference(str(address)), port)


@given(near)
def test_what_is_read_is_an_address(text):
    node = parse_node(text)
    if node is not None:
        assert reference(node[0]) == node[0]
