"""The reader of heads in Python: what it does besides asking a parser and checking."""

import pytest

from asgiserver import speedups
from asgiserver.errors import PeerError
from asgiserver.h1 import codecs
from asgiserver.h1.codecs import make_head_reader
from asgiserver.h1.head_reader import HeadReader, Limits

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"


def test_fields_belong_to_their_request(parser):
    reader = make_head_reader(parser, Limits())
    for _ in range(3):
        request = reader.read(HEAD)
        assert request.fields == [(b"host", b"a"), (b"x", b"y")]
        request.fields.append((b"x", b"y"))


def test_as_many_fields_as_the_limit(parser):
    assert len(make_head_reader(parser, Limits(fields=2)).read(HEAD).fields) == 2
    with pytest.raises(PeerError, match="431 too many header fields"):
        make_head_reader(parser, Limits(fields=1)).read(HEAD)


def test_underscores_in_names(parser, caplog):
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Real_IP: 1\r\nCookie: a_b\r\n\r\n"
    names = {}
    for choice in ("keep", "drop"):
        reader = make_head_reader(parser, Limits(), choice)
        caplog.set_level("INFO", "asgiserver")
        for _ in range(2):
            names[choice] = [name for name, _ in reader.read(head).fields]
    assert names == {"keep": [b"host", b"x-real_ip", b"cookie"], "drop": [b"host", b"cookie"]}
    assert caplog.text.count("Dropped the field x-real_ip") == 1
    with pytest.raises(PeerError, match="400 underscore"):
        make_head_reader(parser, Limits(), "refuse").read(head)


def test_a_reader_shows_what_becomes_of_underscores():
    reader = make_head_reader("h11", Limits(), "refuse")
    assert repr(reader) == "<HeadReader underscores=refuse>"


def test_readers_by_name(monkeypatch):
    assert type(make_head_reader("httptools", Limits())) is HeadReader
    assert type(make_head_reader("h11", Limits())) is HeadReader
    monkeypatch.setattr(speedups, "is_used", False)
    assert type(make_head_reader("auto", Limits())) is HeadReader


@pytest.mark.skipif(not speedups.is_used, reason=f"the compiled core is {speedups.about}")
def test_auto_is_the_core_where_it_is_used():
    assert type(make_head_reader("auto", Limits())).__name__ == "CoreReader"


def test_a_core_of_other_sources_is_left_out_with_a_line(monkeypatch, caplog):
    monkeypatch.setattr(codecs.speedups, "is_used", False)
    monkeypatch.setattr(codecs.speedups, "is_stale", True)
    monkeypatch.setattr(codecs.speedups, "about", "built from other sources: install again")
    assert make_head_reader("auto", Limits()).read(HEAD).method == "GET"
    assert "The compiled core is not used: built from other sources" in caplog.text
