"""Every wire has a name, by which its connections are counted."""

from asgiserver.h1.connection import H1Connection
from asgiserver.h2.connection import H2Connection
from asgiserver.wire.choose import HTTP_1, HTTP_2


def test_wires_have_the_names_of_alpn():
    assert (H1Connection.wire, H2Connection.wire) == (HTTP_1, HTTP_2)
