"""Run one function in a process of its own, before the first worker: ``--run-once``.

This module knows nothing of workers.
"""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

from asgiserver.errors import BROKEN_OFF, ApplicationLoadError
from asgiserver.log.loggers import log_failure
from asgiserver.process.child import exit_text
from asgiserver.process.control import Failed, Setup
from asgiserver.process.signals import CHILD_LOOK, named

if TYPE_CHECKING:
    import selectors

    from asgiserver.config.fields import Config
    from asgiserver.process.launch import Launcher
    from asgiserver.process.signals import SignalQueue

__all__ = ["run_once"]

logger = logging.getLogger("asgiserver")

_STOPS = named("SIGTERM", "SIGINT", "SIGQUIT", "SIGBREAK")


def run_once(
    config: Config, launcher: Launcher, selector: selectors.BaseSelector, signals: SignalQueue
) -> int:
    """Call the function that `config` names, if any. Returns 0 to go on, or an exit code.

    `selector` has to watch `signals`.
    """
    if config.run_once is None:
        return 0
    setup = Setup(config=config, index=0, run_once=config.run_once)
    worker = launcher.start(setup, ())
    process = worker.process
    stopped_by = 0
    while not process.has_ended():
        selector.select(CHILD_LOOK)
        for number in signals.read():
            if number in _STOPS:
                logger.info("Stopping (%s)", number.name)
                process.signal(signal.SIGTERM)
                stopped_by = stopped_by or number
    failure = worker.read_failure()
    worker.close()
    if stopped_by:
        return BROKEN_OFF + stopped_by
    if process.exit_code:
        text = f"--run-once: it ended with {exit_text(process.exit_code)}"
        failure = failure or Failed(process.exit_code, text)
        log_failure(failure.text, failure.details)
        return ApplicationLoadError.exit_code
    return 0
