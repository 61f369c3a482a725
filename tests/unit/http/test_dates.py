"""Times as HTTP has them."""

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from asgiserver.http.dates import http_date


def test_the_example_of_rfc_9110():
    assert http_date(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.integers(0, 253402300799) | st.floats(0, 253402300799))
def test_it_is_the_date_of_the_email_package(seconds):
    assert http_date(seconds) == formatdate(seconds, usegmt=True).encode()
