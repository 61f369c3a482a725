"""uvicorn's `Config`: its parameters by their names, and our configuration made of them."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgiserver.compat.uvicorn.importer import ImportFromStringError, import_from_string
from asgiserver.compat.uvicorn.logging import (
    LOG_LEVELS,
    LOGGING_CONFIG,
    TRACE_LOG_LEVEL,
    configure,
    effective_level,
    for_workers,
)
from asgiserver.config.options import FIELDS, resolve_keywords
from asgiserver.errors import ApplicationLoadError, StartupError
from asgiserver.server.application import load, load_outside_the_loop
from asgiserver.server.listener import bind_sockets
from asgiserver.server.loading import import_folder, load_env_files
from asgiserver.server.loops import loop_factory

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import NoReturn

    from asgiserver.config.fields import Config as OwnConfig

__all__ = [
    "INTERFACES",
    "LOGGING_CONFIG",
    "LOG_LEVELS",
    "PARAMETERS",
    "SSL_PROTOCOL_VERSION",
    "STARTUP_FAILURE",
    "TRACE_LOG_LEVEL",
    "Config",
    "fail",
]

logger = logging.getLogger("asgiserver")

STARTUP_FAILURE = 3
"""The exit code when a server does not start."""

SSL_PROTOCOL_VERSION: int = ssl.PROTOCOL_TLS_SERVER
INTERFACES = ["auto", "asgi3", "asgi2", "wsgi"]

PARAMETERS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 8000,
    "uds": None,
    "fd": None,
    "loop": "auto",
    "http": "auto",
    "http2": False,
    "ws": "auto",
    "ws_max_size": 16 * 2**20,
    "ws_max_queue": 32,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
    "ws_per_message_deflate": True,
    "lifespan": "auto",
    "env_file": None,
    "log_config": LOGGING_CONFIG,
    "log_level": None,
    "access_log": True,
    "use_colors": None,
    "interface": "auto",
    "reload": False,
    "reload_dirs": None,
    "reload_delay": 0.25,
    "reload_includes": None,
    "reload_excludes": None,
    "workers": None,
    "proxy_headers": True,
    "server_header": True,
    "date_header": True,
    "forwarded_allow_ips": None,
    "root_path": "",
    "limit_concurrency": None,
    "limit_max_requests": None,
    "limit_max_requests_jitter": 0,
    "backlog": 2048,
    "timeout_keep_alive": 5,
    "timeout_notify": 30,
    "timeout_graceful_shutdown": None,
    "timeout_worker_healthcheck": 5,
    "callback_notify": None,
    "ssl_keyfile": None,
    "ssl_certfile": None,
    "ssl_keyfile_password": None,
    "ssl_version": SSL_PROTOCOL_VERSION,
    "ssl_cert_reqs": ssl.CERT_NONE,
    "ssl_ca_certs": None,
    "ssl_ciphers": None,
    "ssl_context_factory": None,
    "headers": None,
    "factory": False,
    "h11_max_incomplete_event_size": None,
    "reset_contextvars": False,
}
"""The parameters of `Config` besides `app`, in their order, with uvicorn's defaults.

A value that is uvicorn's default counts as not given: our own default holds.
"""

_ALWAYS = ("host", "port", "access_log")  # given even where it is the default
_ELSEWHERE = (  # what `Server` and this module do themselves, or ask the loggers
    *("callback_notify", "timeout_notify", "limit_max_requests", "limit_max_requests_jitter"),
    *("env_file", "log_config", "log_level", "use_colors", "ssl_context_factory", "workers"),
)


def fail(error: StartupError) -> NoReturn:
    """Log why a server does not start, and raise `SystemExit` as uvicorn does."""
    cause = error.__cause__ if isinstance(error, ApplicationLoadError) else None
    # The logger of programs: it writes when no server has set up ours, too.
    logging.getLogger("uvicorn.error").error("%s", error, exc_info=cause)
    sys.exit(STARTUP_FAILURE)


class Config:
    """The configuration of one server, under uvicorn's names.

    Every parameter is an attribute of its name, and may be changed until the server starts. To make
    a `Config` sets up logging, and reads `env_file` into the environment. `loaded_app` is the
    application once `load` has been called. Raises `TypeError` for a parameter that does not exist.
    """

    app: Any
    host: str
    port: int
    uds: str | None
    fd: int | None
    loop: str
    http: Any
    interface: str
    reload: bool
    reload_dirs: list[Path]
    reload_delay: float
    reload_includes: list[str]
    reload_excludes: list[str]
    workers: int
    backlog: int
    limit_max_requests: int | None
    limit_max_requests_jitter: int
    callback_notify: Callable[[], Any] | None
    timeout_notify: float
    headers: list[tuple[str, str]]
    loaded_app: Any

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # the other parameters

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        given = _SIGNATURE.bind(self, app, *args, **kwargs)
        given.apply_defaults()
        values = dict(given.arguments)
        del values["self"]
        load_env_files(_as_list(values.pop("env_file")))
        vars(self).update(values)
        self.loaded = False
        self.headers = list(self.headers or ())
        self.workers = self.workers or int(os.environ.get("WEB_CONCURRENCY") or 1)
        self.configure_logging()
        self.reload_includes = _as_list(self.reload_includes)
        self.reload_excludes = _as_list(self.reload_excludes)
        self.reload_dirs = [Path(name).resolve() for name in _as_list(self.reload_dirs)]
        if self.should_reload and not self.reload_dirs:
            self.reload_dirs = [Path.cwd()]

    @property
    def asgi_version(self) -> str:
        """``2.0`` for an application of ASGI 2, else ``3.0``."""
        return "2.0" if self.interface == "asgi2" else "3.0"

    @property
    def is_ssl(self) -> bool:
        """Whether the server speaks TLS."""
        return bool(self.ssl_keyfile or self.ssl_certfile or self.ssl_context_factory)

    @property
    def should_reload(self) -> bool:
        """Whether the server restarts when a file changes."""
        return isinstance(self.app, str) and self.reload

    @property
    def use_subprocess(self) -> bool:
        """Whether other processes serve."""
        return bool(self.reload or self.workers > 1)

    def configure_logging(self) -> None:
        """Set up uvicorn's loggers in this process, see `asgiserver.compat.uvicorn.logging`."""
        configure(**self._logging())

    def _logging(self) -> dict[str, Any]:
        names = ("log_config", "log_level", "access_log", "use_colors")
        return {name: getattr(self, name) for name in names}

    def load_app(self) -> Any:
        """Import the application and return it. Raises `SystemExit` when there is none."""
        try:
            return import_from_string(self.app)
        except ImportFromStringError as error:
            fail(ApplicationLoadError(str(error)))

    def load(self, *, in_loop: bool = True) -> None:
        """Import the application into `loaded_app`; with `in_loop` an event loop may be running.

        Raises `SystemExit` when that fails.
        """
        try:
            own = self.own_config()
            self.loaded_app = load(own) if in_loop else load_outside_the_loop(own)
        except StartupError as error:
            fail(error)
        self.loaded = True

    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        """What makes the event loop; None for the one of asyncio's policy."""
        if self.loop == "none":
            return None
        try:
            return loop_factory(self.own_config().loop)
        except StartupError as error:
            fail(error)

    def setup_event_loop(self) -> NoReturn:
        """Raise `AttributeError`: `get_loop_factory` has replaced this method."""
        raise AttributeError("setup_event_loop: use get_loop_factory, or leave it to Server.run")

    def bind_socket(self) -> socket.socket:
        """A socket bound to the address, for `Server.run` in this process or in another one.

        Raises `SystemExit` when the address cannot be bound.
        """
        try:
            own = self.own_config()
            listeners = bind_sockets(own)
        except StartupError as error:
            fail(error)
        family = socket.AF_INET6 if ":" in (own.host or ":") else socket.AF_INET
        listeners.sort(key=lambda one: one.socket.family not in (family, _UNIX))
        for other in listeners[1:]:
            other.close()
        sock = listeners[0].socket
        sock.set_inheritable(True)
        return sock

    def own_config(self, *, supervised: bool = False) -> OwnConfig:
        """Our configuration of one server, or with `supervised` of a supervisor and its workers.

        ``ASGISERVER_*`` variables and configuration files give what uvicorn has no name for.
        Raises `ConfigError`.
        """
        options = {name: self._option(name) for name in PARAMETERS if self._is_given(name)}
        options |= {
            "host": self.host or "",
            "app_dir": import_folder(),
            "workers": 1,
            "reload": False,
            "log_level": max(effective_level(), TRACE_LOG_LEVEL),
            "use_colors": self.use_colors,
        }
        if self.uds is not None:
            options["uds_mode"] = "666"
        if self.ssl_context_factory is not None:
            options["ssl_context_factory"] = functools.partial(
                _make_context, self.ssl_context_factory, self
            )
        if supervised:
            options |= {
                "workers": self.workers,
                "reload": self.should_reload,
                "limit_max_requests": self.limit_max_requests,
                "limit_max_requests_jitter": self.limit_max_requests_jitter,
                "log_config": for_workers(**self._logging()),
            }
        return resolve_keywords(self.app, options, env=True).config

    def _is_given(self, name: str) -> bool:
        if name in _ALWAYS:
            return True
        return name not in _ELSEWHERE and getattr(self, name) not in (PARAMETERS[name], [])

    def _option(self, name: str) -> Any:
        value = getattr(self, name)
        if name in ("http", "ws") and not _is_known(name, value):
            logger.warning("%s=%r: this server has its own protocols; left out", name, value)
            return None
        if name == "reload_dirs":
            return [str(folder) for folder in value]
        return value


def _make_context(
    factory: Callable[..., ssl.SSLContext], config: Config, _own: OwnConfig, make: Any
) -> ssl.SSLContext:
    """Call a ``ssl_context_factory`` with the `Config` for which it was written."""
    return factory(config, make)


def _is_known(name: str, value: object) -> bool:
    info = FIELDS[name].info
    return value in info.choices or value in dict(info.renamed)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str | os.PathLike) else list(value)


def _signature() -> inspect.Signature:
    """The signature that programs see, and by which arguments are bound."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    named = [inspect.Parameter(name, kind) for name in ("self", "app")]
    others = [inspect.Parameter(name, kind, default=value) for name, value in PARAMETERS.items()]
    return inspect.Signature([*named, *others])


_SIGNATURE = _signature()
_UNIX = getattr(socket, "AF_UNIX", None)
Config.__init__.__signature__ = _SIGNATURE  # type: ignore[attr-defined] # inspect reads it
