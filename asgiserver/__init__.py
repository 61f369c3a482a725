"""asgiserver: an ASGI server.

    import asgiserver

    asgiserver.run("main:app", port=8000)          # until it is stopped
    await asgiserver.serve(app, port=8000)         # the same inside a running event loop
    async with asgiserver.Server(asgiserver.Config(app, port=0)) as server:
        ...                                        # server.addresses; drained at the end
    with asgiserver.serve_in_thread(app) as server:
        ...                                        # the same for a program without a loop

An import of this package is cheap: names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from asgiserver._version import __version__

if TYPE_CHECKING:
    from typing import Unpack

    from asgiserver.config.fields import Config
    from asgiserver.config.keywords import Options
    from asgiserver.errors import (
        ApplicationError as ApplicationError,
    )
    from asgiserver.errors import (
        ApplicationLoadError as ApplicationLoadError,
    )
    from asgiserver.errors import (
        BindError as BindError,
    )
    from asgiserver.errors import (
        ClientDisconnected as ClientDisconnected,
    )
    from asgiserver.errors import (
        ConfigError as ConfigError,
    )
    from asgiserver.errors import (
        LifespanFailed as LifespanFailed,
    )
    from asgiserver.errors import (
        StartupError as StartupError,
    )
    from asgiserver.errors import (
        WorkersFailed as WorkersFailed,
    )
    from asgiserver.log.origin import request_id
    from asgiserver.server.server import Server
    from asgiserver.server.thread import serve_in_thread

__all__ = ["Config", "Server", "__version__", "request_id", "run", "serve", "serve_in_thread"]

_ERRORS = (
    "ApplicationError",
    "ApplicationLoadError",
    "BindError",
    "ClientDisconnected",
    "ConfigError",
    "LifespanFailed",
    "StartupError",
    "WorkersFailed",
)
_LAZY = {
    "Config": "asgiserver.config.fields",
    "Server": "asgiserver.server.server",
    "request_id": "asgiserver.log.origin",
    "serve_in_thread": "asgiserver.server.thread",
    **dict.fromkeys(_ERRORS, "asgiserver.errors"),
}


def run(app: Any, *, env: bool = True, **options: Unpack[Options]) -> None:
    """Serve `app`, an application or its import string, until the process is told to stop.

    `options` are the fields of `Config`. Options that are not given come from ``ASGISERVER_*``
    variables and from ``[tool.asgiserver]`` in ``pyproject.toml``, unless `env` is false. Raises
    `StartupError` when the server cannot start, also where an event loop runs already, and
    `SystemExit` with 128 + N when signal N broke off the start. With workers or `reload` only the
    main thread may call this. In the module that `app` names, the call belongs under
    ``if __name__ == "__main__":``.
    """
    from asgiserver.config.options import resolve_keywords
    from asgiserver.process.runner import run_or_raise

    resolved = resolve_keywords(app, options, env=env)
    run_or_raise(resolved.config, notes=resolved.notes)


async def serve(app: Any, *, env: bool = True, **options: Unpack[Options]) -> None:
    """Serve `app` in the running event loop until `Server.stop` or cancellation.

    Options are found as in `run`; those about processes and reloading belong to `run` alone.
    Raises `StartupError` when the server cannot start.
    """
    from asgiserver.config.options import resolve_keywords
    from asgiserver.server.server import Server

    # The host program owns the process, so variables such as WEB_CONCURRENCY do not count here.
    options.setdefault("workers", 1)
    options.setdefault("reload", False)
    await Server(resolve_keywords(app, options, env=env).config).serve()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_LAZY})
