"""The named experiments besides the case table, and the settings of each."""

from __future__ import annotations

from benchmarks import concurrency, footprint, growth, loops
from benchmarks.experiment import Study

STUDIES: dict[str, Study] = {
    **{curve.name: Study(curve.title, curve.run) for curve in growth.CURVES},
    **footprint.STUDIES,
    **concurrency.STUDIES,
    "loops": Study(loops.TITLE, loops.run),
}
