"""Fields with an underscore in their name, which CGI cannot tell from those with a hyphen."""

from __future__ import annotations

import logging

import pytest

from asgiserver.errors import PeerError
from asgiserver.http.underscores import Underscores

PLAIN = (b"x-real-ip", b"1")
ODD = (b"x_real_ip", b"2")


def test_they_are_dropped_and_the_first_is_named_once(caplog):
    caplog.set_level(logging.INFO, "asgiserver")
    rule = Underscores()
    assert list(rule.checked([PLAIN, ODD])) == [PLAIN]
    assert list(rule.checked([ODD])) == []
    assert [record.getMessage().count("x_real_ip") for record in caplog.records] == [1]


def test_they_may_be_kept_or_refused():
    assert list(Underscores("keep").checked([PLAIN, ODD])) == [PLAIN, ODD]
    with pytest.raises(PeerError, match="underscore"):
        Underscores("refuse").checked([ODD])
    assert list(Underscores("refuse").checked([PLAIN])) == [PLAIN]


def test_it_shows_its_policy():
    assert repr(Underscores("refuse")) == "<Underscores refuse>"
