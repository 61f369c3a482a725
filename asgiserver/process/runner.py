"""Running a configuration: in this process, or in workers under a supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.errors import StartupError, WorkersFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asgiserver.config import Config

__all__ = ["needs_supervisor", "run", "run_or_raise"]

_NEED_PARENT = (
    "supervise",
    "reload",
    "preload",
    "run_once",
    "limit_max_requests",
    "max_worker_age",
    "max_worker_rss",
    "pid",
    "user",
    "group",
)


def needs_supervisor(config: Config) -> bool:
    """Whether something was asked for that only a parent process can do."""
    plain = type(config)()
    return config.workers != 1 or any(
        getattr(config, name) != getattr(plain, name) for name in _NEED_PARENT
    )


def run(
    config: Config, notes: Sequence[str] = (), reread: Callable[[], Config] | None = None
) -> int:
    """Serve until stopped; the exit code. Raises `StartupError`.

    `reread` gives the configuration as it is at a rolling restart.
    """
    if not needs_supervisor(config):
        from asgiserver.server.runner import run as run_here

        return run_here(config, notes)
    from asgiserver.logs import setup_logging
    from asgiserver.process.supervisor import Supervisor

    logging_handle = setup_logging(config)
    try:
        return Supervisor(config, notes, reread=reread).run()
    finally:
        logging_handle.close()


def run_or_raise(config: Config, notes: Sequence[str] = ()) -> None:
    """The same for programs, which want an exception. Raises `StartupError`."""
    code = run(config, notes)
    if code == WorkersFailed.exit_code:
        raise WorkersFailed("workers died faster than they could be replaced; the log says why")
    if code:
        raise StartupError("no worker could be started; the log says why")
