"""Hypothesis: any bytes in any pieces mean the same to every codec."""

from __future__ import annotations

import itertools
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from ws_peer import CONT, TEXT, frame, outcome

from asgiserver.ws.codecs import codec_factory
from asgiserver.ws.deflate import negotiate
from asgiserver.ws.python_codec import PythonCodec, xor_mask

MAX_SIZE = 200
PYTHON, WSPROTO, WEBSOCKETS = map(codec_factory, ("python", "wsproto", "websockets"))

# Behind any beginning, this ends every frame that fits the limit; then it is a violation itself.
PADDING = bytes(2 * MAX_SIZE)

unhurried = settings(deadline=None)  # the machine that runs this may be busy


def compress(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


payloads = st.one_of(
    st.binary(max_size=MAX_SIZE + 20),
    st.text(max_size=80).map(str.encode),
    st.binary(max_size=300).map(compress),
    st.integers(0, 5000).map(lambda code: code.to_bytes(2, "big")),
)
frames = st.one_of(
    st.builds(
        frame,
        st.sampled_from([0, 0, 1, 1, 2, 2, 8, 9, 10, 3, 11]),
        payloads,
        fin=st.booleans(),
        rsv=st.sampled_from([0, 0, 0, 0, 4, 4, 1, 2]),
        mask=st.binary(min_size=4, max_size=4),
    ),
    st.builds(frame, st.sampled_from([1, 2, 9]), st.binary(max_size=300), mask=st.none()),
    st.builds(frame, st.sampled_from([1, 2]), st.binary(max_size=125), length_bytes=st.just(8)),
)
good = st.lists(st.text(max_size=30).map(str.encode), max_size=4)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Frames, some of them in a sensible order, the last maybe cut off."""
    parts = []
    for fragments in draw(st.lists(good, max_size=3)):
        for number, fragment in enumerate(fragments):
            last = number == len(fragments) - 1
            parts.append(frame(TEXT if number == 0 else CONT, fragment, fin=last))
    parts += draw(st.lists(frames, max_size=4))
    data = b"".join(parts)
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


cut_lists = st.lists(st.integers(0, 5000), max_size=6)


def check(data: bytes, cuts: list[int], mode: str) -> None:
    def result(factory, pieces):
        offers = [("permessage-deflate", [])]
        return outcome(factory, pieces, MAX_SIZE, negotiate(offers, mode))

    data += PADDING
    pieces = split(data, cuts)
    expected = result(PYTHON, [data])
    assert result(PYTHON, pieces) == expected
    assert result(WEBSOCKETS, pieces) == expected
    assert result(WSPROTO, pieces) == expected


@unhurried
@given(streams(), cut_lists)
def test_frames(data, cuts):
    check(data, cuts, "off")


@unhurried
@given(streams(), cut_lists)
def test_frames_with_compression(data, cuts):
    check(data, cuts, "shared")


@unhurried
@given(st.binary(max_size=100), cut_lists)
def test_any_bytes(data, cuts):
    check(data, cuts, "off")


@unhurried
@given(st.lists(st.text(max_size=50), max_size=5), cut_lists)
def test_messages_survive(texts, cuts):
    data = b"".join([frame(TEXT, text.encode()) for text in texts])
    expected = [("text", text) for text in texts]
    for factory in (PYTHON, WSPROTO, WEBSOCKETS):
        assert outcome(factory, split(data, cuts)) == expected


@unhurried
@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking(data, mask):
    expected = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
    assert xor_mask(data, mask) == expected
    assert outcome(PythonCodec, [frame(2, data, mask=mask)]) == [("binary", data)]
