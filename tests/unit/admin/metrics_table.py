"""Makes the table of metrics in docs/admin.md: `python tests/unit/admin/metrics_table.py`."""

from __future__ import annotations

from pathlib import Path

from states import figures, row, server, worker

from asgiserver.admin.exposition import families

PAGE = Path(__file__).parents[3] / "docs" / "admin.md"
BEGIN = "<!-- Metrics, made by `python tests/unit/admin/metrics_table.py` -->\n"
END = "<!-- End of the metrics -->\n"


def every_family():
    """All metrics of a server whose every label occurs."""
    full = figures(
        refused={"missing Host": 1},
        states={"h2 idle": 1},
        h2_resets={"client CANCEL": 1},
        ended={"GET 2xx ok": row(1, 1.0)},
        certificates={"default": 1.0},
    )
    return list(families(server(worker(figures=full), restarts={"died": 1})))


def labels_of(family):
    """The labels of a metric, without that of a histogram's buckets."""
    found = {label: None for sample in family.samples for label in sample.labels if label != "le"}
    return list(found)


def table() -> str:
    """One row for each metric."""
    lines = ["| Metric | Kind | Labels | |", "|---|---|---|---|"]
    for family in every_family():
        name = family.name + ("_total" if family.kind == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in labels_of(family))
        lines.append(f"| `{name}` | {family.kind} | {labels} | {family.help} |")
    return "".join(f"{line}\n" for line in lines)


def page() -> str:
    """The page as it should be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page())
