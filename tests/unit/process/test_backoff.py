from asgiserver.process.backoff import Failures


def test_the_first_crash_is_replaced_at_once():
    failures = Failures()
    failures.add(100.0, booted=True)
    assert failures.retry_at == 100.0
    failures.add(101.0, booted=True)
    assert failures.retry_at == 101.5


def test_delays_double_up_to_a_limit():
    failures = Failures()
    delays = []
    for number in range(12):
        failures.add(number * 100.0, booted=False)
        delays.append(failures.retry_at - number * 100.0)
    assert delays[:4] == [0.25, 0.5, 1.0, 2.0]
    assert delays[-1] == Failures.LONGEST_DELAY
    failures.steady()
    failures.add(5000.0, booted=False)
    assert failures.retry_at == 5000.25


def test_five_within_a_minute_are_too_many():
    failures = Failures()
    for second in (0.0, 20.0, 40.0, 59.0):
        failures.add(second, booted=False)
    assert not failures.too_many(59.0)
    failures.add(61.0, booted=False)  # the first is forgotten
    assert not failures.too_many(61.0)
    failures.add(62.0, booted=False, counts=False)
    assert not failures.too_many(62.0)
    failures.add(63.0, booted=False)
    assert failures.too_many(63.0)
