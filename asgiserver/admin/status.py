"""The status of a server as JSON: its workers, what they run, its options, its versions."""

from __future__ import annotations

import dataclasses
import platform
from typing import TYPE_CHECKING, Any

from asgiserver._version import __version__
from asgiserver.admin.exposition import totals
from asgiserver.admin.health import is_stalled, live, ready, started
from asgiserver.config.fields import OFF
from asgiserver.config.options import FIELDS
from asgiserver.metrics.histogram import BOUNDS

if TYPE_CHECKING:
    from asgiserver.admin.source import ServerState, WorkerState
    from asgiserver.config.fields import Config

__all__ = ["status_of"]


def status_of(state: ServerState, config: Config) -> dict[str, Any]:
    """All there is to know, as plain JSON. Sizes are bytes, durations seconds."""
    verdicts = {"live": live(state), "started": started(state), "ready": ready(state)}
    return {
        "health": {
            name: {"passed": verdict.passed, "reason": verdict.reason}
            for name, verdict in verdicts.items()
        },
        "began": state.began,
        "workers_wanted": state.wanted,
        "stopping": state.stopping,
        "restarts": state.restarts,
        "workers": [_worker(worker) for worker in state.workers],
        "running": _running(state.workers),
        "totals": totals(state),
        "bounds": BOUNDS,
        "options": _options(config),
        "versions": {
            "asgiserver": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
        },
    }


def _worker(worker: WorkerState) -> dict[str, Any]:
    fields = dataclasses.asdict(worker)
    fields["phase"] = "stalled" if is_stalled(worker) else worker.phase
    return fields


def _running(workers: list[WorkerState]) -> list[dict[str, Any]]:
    """What all workers run, the slowest first.

    A worker that is stalled has published ages some time ago, to which that time is added.
    """
    everything = [
        {**request, "worker": worker.index, "age": round(request["age"] + worker.silence, 3)}
        for worker in workers
        for request in worker.running
    ]
    return sorted(everything, key=lambda request: request["age"], reverse=True)


def _options(config: Config) -> dict[str, dict[str, Any]]:
    options = {}
    origins = dict(config.origins)
    for name, option in FIELDS.items():
        value: Any = getattr(config, name)
        origin = origins.get(name)
        if origin is None and value != option.field.default:
            origin = "program"
        if option.info.secret and value is not None:
            value = "***"
        elif value == OFF:
            value = "off"
        elif not isinstance(value, str | int | float | bool | tuple | type(None)):
            value = repr(value)
        options[name] = {"value": value, "from": origin or "default"}
    return options
