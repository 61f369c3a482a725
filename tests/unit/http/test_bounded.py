"""A bounded memory stays bounded."""

from asgiserver.http.bounded import BoundedDict


def test_one_too_many_forgets_all():
    kept = BoundedDict(3)
    for number in range(3):
        kept.remember(number, str(number))
    assert kept == {0: "0", 1: "1", 2: "2"}
    kept.remember(3, "3")
    assert kept == {3: "3"}


def test_it_never_holds_more_than_it_may():
    kept = BoundedDict(16)
    for number in range(1000):
        kept.remember(number, None)
        assert len(kept) <= 16
        assert number in kept
