"""Every sequence of frames in the corpus has the answer that the corpus requires."""

import http2_corpus
import pytest

CASES = http2_corpus.cases()


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.group}: {c.name}") for c in CASES])
def test_frames(case):
    calls, out = case.run()
    assert calls == case.calls
    assert out == case.out
    size = sum(map(len, case.sent)) + sum(map(len, case.calls))
    calls, out = case.run(pieces=1 if size < 4000 else 997)
    assert calls == case.calls
    assert out == case.pieces


def test_size_and_names():
    assert len(CASES) >= 200
    assert len({(case.group, case.name) for case in CASES}) == len(CASES)


def test_page_is_the_corpus():
    written = http2_corpus.PAGE.read_text(encoding="utf-8")
    assert written == http2_corpus.page(), "run: python tests/http2_corpus.py"
