"""The arithmetic of latencies at fixed rates."""

from __future__ import annotations

import math

from benchmarks.latency import percentile, read_log, report, verdicts


def values(p99: float) -> dict[str, object]:
    at = {"p50": 1.0, "p99": p99, "p99.9": p99 * 2, "rate": 10.0}
    return {"most": 1000.0, "30%": at, "60%": at, "80%": at}


def test_a_percentile_is_a_value_that_was_measured():
    ordered = [float(number) for number in range(1, 1001)]
    assert percentile(ordered, 50) == 500
    assert percentile(ordered, 99) == 990
    assert percentile(ordered, 99.9) == 999
    assert percentile([7.0], 50) == 7.0
    assert math.isnan(percentile([], 99))


def test_the_log_of_h2load_gives_times_in_order_and_failures(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "1700000000000000\t200\t90\n1700000000000001\t-1\t5\n1700000000000002\t200\t30\n"
    )
    assert read_log(log) == ([30.0, 90.0], 1)


def test_it_has_to_be_the_lowest_but_for_the_compiled_ones():
    found = {"asgiserver": values(110), "uvicorn": values(300), "weft": values(100)}
    wanted = [(one["target_against"], one["target"], one["verdict"]) for one in verdicts(found)]
    assert wanted == [("uvicorn", 1.0, "met"), ("weft", 1.2, "met")]
    found["weft"] = values(50)
    assert [one["verdict"] for one in verdicts(found)] == ["met", "missed"]
    assert verdicts({"uvicorn": values(1)}) == []


def test_what_could_not_be_measured_stands_in_the_table():
    text = report({"asgiserver": values(110)}, {"daphne": "closes"}).table()
    assert "not measured: closes" in text
