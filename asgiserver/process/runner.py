"""Running a configuration in this process, or in workers under a supervisor."""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

from asgiserver.config.options import FIELDS, as_typed
from asgiserver.errors import BROKEN_OFF, ConfigError, StartupError, WorkersFailed
from asgiserver.log.outlet import end_prints
from asgiserver.process.role import is_worker
from asgiserver.server.importing import refuse_nested_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asgiserver.config.fields import Config
    from asgiserver.log.setup import LoggingHandle

__all__ = ["needs_supervisor", "run", "run_or_raise"]


def needs_supervisor(config: Config) -> bool:
    """Whether `config` or the environment asks for something that only a supervisor can do.

    Variables of systemd ask for it: those of passed sockets, and that of ``Type=notify``. The
    successor of a supervisor is itself a supervisor.
    """
    from asgiserver.process.upgrade import VARIABLE

    if config.workers != 1 or _wanted(config) or VARIABLE in os.environ:
        return True
    return _under_systemd(config)


def _wanted(config: Config) -> list[str]:
    plain = type(config)()
    return [
        name
        for name, option in FIELDS.items()
        if option.info.needs_parent and getattr(config, name) != getattr(plain, name)
    ]


def _under_systemd(config: Config) -> bool:
    if not isinstance(config.app, str):
        return False  # a worker could not import it
    environ = os.environ
    mine = environ.get("LISTEN_PID") == str(os.getpid())
    return bool(environ.get("NOTIFY_SOCKET") or (mine and environ.get("LISTEN_FDS")))


def run(
    config: Config, notes: Sequence[str] = (), reread: Callable[[], Config] | None = None
) -> int:
    """Serve until stopped; returns the exit code, 128 + N when signal N broke off the start-up.

    `reread` reads the configuration again for a rolling restart. Raises `StartupError`.
    """
    try:
        return _run(config, notes, reread)
    except ConfigError as error:
        error.args = (as_typed(str(error), dict(config.origins)),)
        raise


def _run(config: Config, notes: Sequence[str], reread: Callable[[], Config] | None) -> int:
    from asgiserver.process.upgrade import VARIABLE
    from asgiserver.server.readiness import check_descriptor
    from asgiserver.server.standard_streams import open_missing

    refuse_nested_server()
    open_missing()
    if VARIABLE not in os.environ:  # a successor has no such descriptor: its predecessor used it
        check_descriptor(config.ready_fd)
    if not needs_supervisor(config):
        from asgiserver.server.runner import run as run_here

        if config.gc != "auto" or threading.current_thread() is not threading.main_thread():
            return run_here(config, notes)
        try:  # until the server ends, the process is all its own
            return run_here(dataclasses.replace(config, gc="freeze"), notes)
        finally:
            gc.unfreeze()
    if sys.platform == "win32":
        wanted = [name for name in _wanted(config) if not FIELDS[name].info.on_windows]
        if wanted:
            raise ConfigError(f"{', '.join(sorted(wanted))}: not on Windows; leave it out")
    if is_worker():
        raise ConfigError("a worker cannot have workers: start them from another process")
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError(
            "workers, reload and all else that needs a supervisor: call run() in the main thread"
        )
    from asgiserver.process.supervisor import Supervisor

    log = _Logging(config)
    for remark in config.remarks:
        logging.getLogger("asgiserver").debug("%s", remark)
    try:
        return Supervisor(config, notes, reread=reread and log.following(reread)).run()
    finally:
        log.close()


class _Logging:
    """The supervisor's own log, set up anew with each configuration that is read."""

    def __init__(self, config: Config) -> None:
        from asgiserver.log.setup import setup_logging

        self._set_up = setup_logging
        self._config = config
        self._handle = setup_logging(config)

    def following(self, reread: Callable[[], Config]) -> Callable[[], Config]:
        """A function that calls `reread` and sets up the log by the configuration it returns.

        That function raises what `reread` raises, and what setting up the log raises.
        """

        def reread_and_use() -> Config:
            config = reread()
            self._handle.close()
            try:
                self._handle = self._set_up(config)
            except BaseException:
                self._handle = self._set_up_as_before()
                raise
            self._config = config
            return config

        return reread_and_use

    def _set_up_as_before(self) -> LoggingHandle:
        try:
            return self._set_up(self._config)
        except BaseException:
            # The logging configuration in use may stand in the very file that has just failed.
            # Without it, the log goes where the other options say, or to the standard error.
            return self._set_up(dataclasses.replace(self._config, log_config=None))

    def close(self) -> None:
        """Undo the set-up."""
        self._handle.close()


def run_or_raise(config: Config, notes: Sequence[str] = ()) -> None:
    """Call `run` for a program, which wants an exception: `StartupError` or `SystemExit`."""
    events = sys.modules.get("asyncio.events")
    loop = events and events._get_running_loop()
    if loop is not None and not (is_worker() and needs_supervisor(config)):
        raise ConfigError(
            "run(): an event loop is running here, as in a notebook: await asgiserver.serve(...),"
            " or use asgiserver.serve_in_thread(...)"
        )
    try:
        code = run(config, notes)
    finally:
        end_prints()
    if code > BROKEN_OFF:
        raise SystemExit(code)
    if code == WorkersFailed.exit_code:
        raise WorkersFailed("workers died faster than they could be replaced; the log says why")
    if code:
        raise StartupError("no worker could be started; the log says why")
