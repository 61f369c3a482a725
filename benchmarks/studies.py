"""The named experiments besides the case table, and the settings of each."""

from __future__ import annotations

from benchmarks import concurrency, footprint, growth, latency, loops, promises, scrape, streams
from benchmarks.experiment import Study

STUDIES: dict[str, Study] = {
    **{curve.name: Study(curve.title, curve.run) for curve in growth.CURVES},
    **footprint.STUDIES,
    **streams.STUDIES,
    "latency": latency.STUDY,
    "promises": promises.STUDY,
    **concurrency.STUDIES,
    "scrape": scrape.STUDY,
    "loops": Study(loops.TITLE, loops.run),
}
