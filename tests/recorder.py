"""Drives a request parser as a connection does, and records what it reports, without I/O."""

from itertools import pairwise
from typing import NamedTuple

from asgiserver.errors import PeerError
from asgiserver.h1.codecs import make_head_reader
from asgiserver.h1.head_reader import Limits
from asgiserver.h1.parser import RequestParser
from asgiserver.http.semantics import FORWARDING
from asgiserver.http.target import split_target


class Parsed(NamedTuple):
    """The complete requests with their bodies, the unfinished request, and the refusal."""

    requests: list
    unfinished: tuple | None
    refusal: tuple | None

    @property
    def answer(self):
        """The answer as the corpus writes it: the number of requests, or the refusal's status."""
        return self.refusal[0] if self.refusal else len(self.requests)


class Recorder:
    """A sink that keeps all that the parser reports."""

    def __init__(self):
        self.ended = []
        self.head = None
        self.body = []

    def on_preface(self, data):
        return False  # there is no other wire

    def on_request(self, head):
        assert self.head is None
        self.head = head
        self.body = []
        if not head.framing.has_body:
            self.on_request_end()

    def on_body(self, data):
        assert self.head is not None
        assert data
        assert type(data) is bytes
        self.body.append(data)

    def on_request_end(self):
        self.ended.append((*describe(self.head), b"".join(self.body)))
        self.head = None


def describe(head):
    """A head as a tuple that can be compared."""
    line = head.method, head.target, head.http_version, head.fields
    framing = head.framing
    forwarded = {name: head.forwarded.get(name) for name in FORWARDING} if head.forwarded else None
    parts = split_target(head.target)
    assert head.parts in (None, parts)
    facts = [getattr(framing, name) for name in framing.__slots__]
    return *line, head.keep_alive, forwarded, parts, *facts


def parse(data, pieces=None, parser="httptools", limits=None, eof=True):
    """The result of parsing `data` in `pieces`, see `cut`.

    An exception other than `PeerError` is raised.
    """
    sink = Recorder()
    requests = RequestParser(sink, make_head_reader(parser, limits or Limits()))
    refusal = None
    try:
        for piece in cut(data, pieces):
            requests.feed(piece)
            ended = -1
            while ended < len(sink.ended):  # the pipelined requests after the first one
                ended = len(sink.ended)
                requests.feed(b"")
        if eof:
            requests.feed_eof()
    except PeerError as error:
        refusal = (error.status, error.reason)
        before = len(sink.ended), sink.head, len(sink.body)
        requests.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # after a fault nothing more is parsed
        requests.feed_eof()
        assert before == (len(sink.ended), sink.head, len(sink.body))
        assert not requests.rest
    unfinished = None
    if sink.head is not None:
        # How much of a body was reported before the fault depends on the pieces.
        body = None if refusal else b"".join(sink.body)
        unfinished = (*describe(sink.head), body)
    return Parsed(sink.ended, unfinished, refusal)


def cut(data, pieces=None):
    """`data` in pieces: whole, in single bytes (``1``), or cut at the given offsets."""
    if pieces is None:
        return [data]
    if pieces == 1:
        return [data[i : i + 1] for i in range(len(data))]
    bounds = [0, *sorted(pieces), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]
