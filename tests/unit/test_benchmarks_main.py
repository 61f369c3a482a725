"""The command of the benchmarks: what it runs, and where it writes."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as command
from benchmarks.cases import CASES
from benchmarks.environment import BenchmarkError, Environment
from benchmarks.report import Report
from benchmarks.studies import STUDIES


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """The cases that would have been measured: each has a report of one row."""
    names = []

    def run_case(settings, name, options):
        names.append(name)
        verdict = {"against": "uvicorn", "target": 0.5, "ratio": 0.4, "verdict": "met"}
        return Report(name, name, ("server", "us"), [("asgiserver", "1")], verdicts=[verdict])

    monkeypatch.setattr(command, "run_case", run_case)
    monkeypatch.setattr(command, "HERE", tmp_path)
    monkeypatch.setattr(command.ground, "require", lambda tool, package: tool)
    monkeypatch.setattr(command.ground, "prepare", lambda version: Environment(tmp_path / "python"))
    monkeypatch.setattr(command.ground, "versions", lambda environment: {"asgiserver": "v1"})
    return names


def written(tmp_path):
    return {path.name for path in tmp_path.glob("results/*.json")}


def test_cases_are_written_one_beside_the_other(runs, tmp_path, capsys):
    assert command.run(["plaintext"]) == 0
    assert command.run(["tls", "stream"]) == 0
    assert runs == ["plaintext", "tls", "stream"]
    assert written(tmp_path) == {"plaintext.json", "tls.json", "stream.json"}
    assert "3 of the 3 targets" in (tmp_path / "results" / "README.md").read_text()
    assert "written to" in capsys.readouterr().out


def test_a_part_of_the_servers_replaces_no_result(runs, tmp_path, capsys):
    assert command.run(["plaintext", "--servers", "asgiserver,limit"]) == 0
    assert written(tmp_path) == set()
    assert "not written" in capsys.readouterr().out
    there = str(tmp_path / "results")
    assert command.run(["plaintext", "--servers", "asgiserver", "--output", there]) == 0
    assert written(tmp_path) == {"plaintext.json"}


def test_what_cannot_run_does_not_stop_the_others(runs, tmp_path, monkeypatch, capsys):
    whole = command.run_case

    def run_case(settings, name, options):
        if name == "tls":
            raise BenchmarkError("no certificate")
        return whole(settings, name, options)

    monkeypatch.setattr(command, "run_case", run_case)
    assert command.run(["tls", "plaintext"]) == 1
    assert written(tmp_path) == {"plaintext.json"}
    assert "error: tls: no certificate" in capsys.readouterr().err


def test_names():
    assert command.chosen(command.parse(["--all"])) == [*CASES, *STUDIES]
    assert command.chosen(command.parse(["curve", "plaintext"])) == [
        "curve-connections", "curve-headers", "curve-body", "curve-workers", "plaintext",
    ]  # fmt: skip
    with pytest.raises(BenchmarkError, match="did you mean startup"):
        command.chosen(command.parse(["start"]))


def test_servers_of_a_case():
    case = CASES["plaintext"]
    names = [one.name for one in command.servers_of(case, command.parse(["--loops"]))]
    assert names == [*case.servers(), "asgiserver-asyncio"]
    chosen = command.servers_of(case, command.parse(["--servers", "uvicorn", "--also", "limit"]))
    assert [one.name for one in chosen] == ["uvicorn", "limit"]


def test_without_a_name_everything_is_listed(capsys):
    assert command.run([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in [*CASES, *STUDIES])
