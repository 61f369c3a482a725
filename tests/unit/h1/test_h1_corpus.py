"""Every input of the corpus has the answer that the corpus requires, through both parsers."""

import http1_corpus
import pytest
from recorder import parse

CASES = http1_corpus.cases()
BY_NAME = [pytest.param(case, id=f"{case.group}: {case.name}") for case in CASES]


def in_words(parsed):
    """What the corpus says of it."""
    requests = f"{len(parsed.requests)} request" + "s" * (len(parsed.requests) != 1)
    if parsed.refusal is not None:
        behind = f", after {requests}" if parsed.requests else ""
        return "{} {}".format(*parsed.refusal) + behind
    return "within a body" if parsed.unfinished else requests


@pytest.mark.parametrize("case", BY_NAME)
def test_answer(case, parser):
    data = case.data
    whole = parse(data, None, parser)
    assert in_words(whole) == case.answer
    step = 1 if len(data) < 4000 else 997
    assert parse(data, range(step, len(data), step), parser) == whole


def test_size_and_names():
    assert len(CASES) >= 200
    assert len({(case.group, case.name) for case in CASES}) == len(CASES)
    assert len({case.text for case in CASES}) == len(CASES)


def test_page_is_the_corpus():
    written = http1_corpus.PAGE.read_text(encoding="utf-8")
    assert written == http1_corpus.page(), "run: python tests/http1_corpus.py"
