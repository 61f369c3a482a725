"""RFC 9110 section 13: conditional requests, in their order of precedence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiserver.http.conditions import failed_condition, parse_date, range_applies

TAG = b'"abc-1"'
MODIFIED = 784111777.25  # Sun, 06 Nov 1994 08:49:37 GMT and a bit
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = b"Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = b"Sun, 06 Nov 1994 08:49:38 GMT"


def status(method="GET", **fields):
    named = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return failed_condition(method, named, TAG, MODIFIED)


@pytest.mark.parametrize(
    ("value", "get", "put"),
    [
        (TAG, 304, 412),
        (b"W/" + TAG, 304, 412),
        (b'"x", ' + TAG, 304, 412),
        (b'"x",W/"abc-1"', 304, 412),
        (b"*", 304, 412),
        (b'"x"', 0, 0),
        (b"abc-1", 0, 0),
        (b"", 0, 0),
    ],
)
def test_if_none_match_compares_weakly(value, get, put):
    assert status("GET", if_none_match=value) == get
    assert status("HEAD", if_none_match=value) == get
    assert status("PUT", if_none_match=value) == put


@pytest.mark.parametrize(
    ("value", "expected"),
    [(TAG, 0), (b'"x", ' + TAG, 0), (b"*", 0), (b"W/" + TAG, 412), (b'"x"', 412), (b"", 412)],
)
def test_if_match_compares_strongly(value, expected):
    assert status(if_match=value) == expected


@pytest.mark.parametrize(
    ("value", "since", "unmodified"),
    [(DATE, 304, 0), (AFTER, 304, 0), (BEFORE, 0, 412), (b"yesterday", 0, 0), (b"", 0, 0)],
)
def test_dates(value, since, unmodified):
    assert status(if_modified_since=value) == since
    assert status("POST", if_modified_since=value) == 0
    assert status(if_unmodified_since=value) == unmodified


def test_precedence():
    assert status(if_none_match=b'"x"', if_modified_since=DATE) == 0  # tags before dates
    assert status(if_match=TAG, if_unmodified_since=BEFORE) == 0
    assert status(if_match=b'"x"', if_none_match=TAG) == 412
    assert status(if_match=TAG, if_none_match=TAG) == 304
    assert status(if_unmodified_since=BEFORE, if_modified_since=DATE) == 412


@pytest.mark.parametrize(
    ("value", "now", "expected"),
    [
        (None, MODIFIED, True),
        (TAG, MODIFIED, True),
        (b"W/" + TAG, MODIFIED + 9, False),
        (b'"x"', MODIFIED + 9, False),
        (DATE, MODIFIED + 9, True),
        (DATE, MODIFIED, False),  # it may change again within this second
        (AFTER, MODIFIED + 9, False),
        (BEFORE, MODIFIED + 9, False),
        (b"x", MODIFIED + 9, False),
    ],
)
def test_if_range(value, now, expected):
    assert range_applies(value, TAG, MODIFIED, now) is expected


@pytest.mark.parametrize(
    "value", [DATE, b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"]
)
def test_the_three_forms_of_a_date(value):
    assert parse_date(value) == 784111777


@pytest.mark.parametrize(
    "value", [b"", b"x", b"\xff", b"Sun, 99 Nov 1994 08:49:37 GMT", b"1 Jan 0 0", b"0"]
)
def test_no_date(value):
    assert parse_date(value) is None


@given(st.binary(max_size=40))
def test_anything_is_a_date_or_none(value):
    assert parse_date(value) is None or isinstance(parse_date(value), float)


@given(st.dictionaries(st.sampled_from([b"if-match", b"if-none-match"]), st.binary(max_size=30)))
def test_anything_may_stand_in_a_condition(fields):
    assert failed_condition("GET", fields, TAG, MODIFIED) in (0, 304, 412)
