"""The arithmetic of the benchmarks: spread, ratios within the run, verdicts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.cases import CASES, Case, Target
from benchmarks.experiment import lowest
from benchmarks.results import Measurement, Result, Round, Spread, ratio
from benchmarks.servers import SERVERS, Wanted


def rounds(*costs: float, errors: int = 0) -> list[Round]:
    return [Round(cost, 1e6 / cost, 10.0, 20.0, errors) for cost in costs]


CASE = Case(
    "x",
    "X",
    Wanted("apps:plain"),
    peers=("slow", "quick"),
    targets=(Target("uvicorn", 0.5), Target("best peer", 0.6), Target("limit", 2.0)),
)


def measured(ours: list[Round], **others: list[Round]) -> Measurement:
    results = [Result("asgiserver", rounds=ours)]
    results += [Result(name, rounds=found) for name, found in others.items()]
    return Measurement(CASE, results)


def test_spread_is_the_median_between_the_quartiles():
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)
    assert math.isnan(Spread.of([math.nan, 1.0, 2.0]).low)
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


def test_a_drift_that_hits_both_servers_cancels_out_of_the_ratio():
    found = ratio([10.0, 20.0, 40.0], [20.0, 40.0, 80.0])
    assert (found.median, found.low, found.high) == (0.5, 0.5, 0.5)


def test_a_ratio_needs_the_same_rounds_of_both():
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_the_best_peer_is_the_cheapest_peer_and_never_the_limit():
    found = measured(rounds(10), slow=rounds(40), quick=rounds(20), limit=rounds(5))
    best = Target("best peer", 1.0)
    assert found.meant(best) == "quick"
    assert measured(rounds(10), limit=rounds(5)).meant(best) is None


def test_the_best_granian_is_the_better_of_its_modes():
    case = replace(CASE, peers=("quick", "granian", "granian-mt"))
    found = measured(rounds(10), quick=rounds(5), granian=rounds(40), **{"granian-mt": rounds(20)})
    found.case = case
    assert found.meant(Target("best granian", 1.0)) == "granian-mt"


def test_verdicts_name_the_peer_and_say_met_or_missed():
    found = measured(rounds(10), uvicorn=rounds(20), quick=rounds(12), limit=rounds(5))
    words = [found.verdict(target) for target in CASE.targets]
    assert [(against, word) for against, _, word in words] == [
        ("uvicorn", "met"),
        ("best peer (quick)", "missed"),
        ("limit", "met"),
    ]


def test_a_target_is_not_met_by_a_server_that_made_errors():
    found = measured(rounds(1, errors=3), uvicorn=rounds(20))
    assert found.verdict(CASE.targets[0])[2] == "missed"


def test_what_was_not_measured_has_no_verdict():
    assert measured([], uvicorn=rounds(20)).verdict(CASE.targets[0])[2] == "not measured"
    assert measured(rounds(1)).verdict(CASE.targets[0]) == ("uvicorn", None, "not measured")


def test_lowest_compares_with_the_lowest_other():
    (verdict,) = lowest({"asgiserver": 3.0, "a": 6.0, "b": 4.0}, "memory")
    assert verdict["verdict"] == "met"
    assert verdict["ratio"] == 0.75
    assert "b" in verdict["against"]
    assert lowest({"asgiserver": 3.0}, "memory") == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_case_names_known_servers_and_targets_that_take_part(case):
    assert set(case.servers()) <= set(SERVERS)
    for target in case.targets:
        assert target.against.startswith("best ") or target.against in case.servers()
