"""uvicorn's `run`, and its command."""

from __future__ import annotations

import inspect
import logging
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from asgiserver.cli.main import main as own_main
from asgiserver.cli.main import run_config
from asgiserver.compat.uvicorn.config import PARAMETERS, STARTUP_FAILURE, Config, fail
from asgiserver.compat.uvicorn.server import Server, ServerState
from asgiserver.errors import StartupError
from asgiserver.log.outlet import end_prints, end_streams
from asgiserver.process.runner import needs_supervisor
from asgiserver.process.runner import run as run_supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asgiserver.config.fields import Config as OwnConfig
    from asgiserver.config.options import Resolved

__all__ = ["STARTUP_FAILURE", "Config", "Server", "ServerState", "main", "run"]

logger = logging.getLogger("asgiserver")


def run(app: Any, **kwargs: Any) -> None:
    """Serve `app` until stopped; the keywords are those of `Config`, and `app_dir`.

    `workers` and `reload` run under our own supervisor. Raises ``SystemExit(3)`` when the server
    cannot start.
    """
    app_dir = kwargs.pop("app_dir", None)
    if app_dir is not None:
        sys.path.insert(0, app_dir)
    config = Config(app, **kwargs)
    if config.use_subprocess:
        if not isinstance(app, str):
            logger.error("reload and workers need the application as text: 'module:attribute'")
            sys.exit(STARTUP_FAILURE)
        _supervise(config)
        return
    server = Server(config)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        end_prints()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _supervise(config: Config) -> None:
    try:
        own = config.own_config(supervised=True)
        code = run_supervised(own, own.notes)
    except StartupError as error:
        fail(error)
    finally:
        end_prints()
    if code:
        sys.exit(code)


def main(args: Sequence[str] | None = None, **_settings: Any) -> NoReturn:
    """Run uvicorn's command with `args` (default: those of the process). Raises `SystemExit`."""
    sys.exit(own_main(args, run=_run_resolved))


def _run_resolved(resolved: Resolved, reread: Callable[[], Resolved]) -> int:
    """Serve as the command `asgiserver` does; in one process by a `Server` that programs find."""
    if needs_supervisor(resolved.config):
        return run_config(resolved, reread)
    server = Server(_ResolvedConfig(resolved.config))
    try:
        server.run()
    except KeyboardInterrupt:
        pass  # raised again after a graceful stop; uvicorn ends with 0
    finally:
        end_streams()
    return 0 if server.started else STARTUP_FAILURE


class _ResolvedConfig(Config):
    """The `Config` of a command line that our own command has read."""

    def __init__(self, own: OwnConfig) -> None:
        self._own = own
        left_out = ("env_file", "log_config", "workers", "reload", "reload_dirs")
        names = [name for name in PARAMETERS if name not in left_out]
        super().__init__(own.app, workers=1, **{name: getattr(own, name) for name in names})

    def own_config(self, *, supervised: bool = False) -> OwnConfig:
        return self._own


def _signature() -> inspect.Signature:
    """The signature that programs see: that of `Config`, by keywords."""
    named = inspect.Parameter("app", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    left_out = ("timeout_notify", "callback_notify")
    keywords = {name: value for name, value in PARAMETERS.items() if name not in left_out}
    kind = inspect.Parameter.KEYWORD_ONLY
    others = [
        inspect.Parameter(name, kind, default=value)
        for name, value in {**keywords, "app_dir": None}.items()
    ]
    return inspect.Signature([named, *others])


run.__signature__ = _signature()  # type: ignore[attr-defined] # inspect reads it

if __name__ == "__main__":
    main()
