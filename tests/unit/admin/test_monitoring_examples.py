"""The dashboard and the alerts ask only for metrics and labels that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from metrics_table import every_family

from asgiserver.types import Outcome

FOLDER = Path(__file__).parents[3] / "examples" / "monitoring"
ENDINGS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def every_metric():
    """The names of all samples, with the labels of each."""
    names = {}
    for family in every_family():
        labels = {label for sample in family.samples for label in sample.labels}
        for ending in ENDINGS[family.kind]:
            names[family.name + ending] = labels
    return names


def expressions():
    for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_what_is_asked_for_is_there(title, expression):
    known = every_metric()
    for name, selector in re.findall(r"(asgiserver_\w+)(\{[^}]*\})?", expression):
        assert name in known
        for label in re.findall(r"(\w+)[=!]", selector):
            assert label in known[name] | {"instance", "job"}
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        given = set().union(*(known[name] for name in re.findall(r"asgiserver_\w+", expression)))
        assert {label.strip() for label in labels.split(",")} <= given | {"instance"}


def test_panels_have_titles_and_do_not_lie_on_each_other():
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    assert len({panel["title"] for panel in panels}) == len(panels)
    cells = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        own = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not own & cells
        cells |= own


def test_alerts_say_what_to_do_for_whom():
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert rule["annotations"]["summary"]


def test_alerts_name_outcomes_and_causes_that_there_are():
    text = (FOLDER / "alerts.yml").read_text()
    for outcome in re.findall(r'outcome="(\w+)"', text):
        assert outcome in get_args(Outcome)
