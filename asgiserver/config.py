"""Every option of the server, one line each.

`Config` is pure data: frozen, picklable when the application is an import string, and free of side
effects. Flags, ``ASGISERVER_*`` variables, TOML keys and keyword arguments are derived from these
fields by `asgiserver.options`. Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from asgiserver.errors import ConfigError

__all__ = ["OFF", "Config", "OptionInfo", "option_info"]

# A duration or a size that is switched off.
OFF = math.inf


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """What the derived interfaces need to know about one field of `Config`."""

    help: str
    group: str
    kind: str  # str, int, bool, list, seconds, size, workers
    choices: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()  # command-line names, when they are not --the-field-name
    env: tuple[str, ...] = ()  # variables read besides ASGISERVER_<NAME>
    repeat: bool = False  # the flag may be given more than once
    cli: bool = True  # False: a keyword argument only
    no_effect: str = ""  # why the option does nothing (yet); said once when it is set


def option(default: Any, help: str, group: str, kind: str = "", **info: Any) -> Any:  # noqa: A002
    """Declare one option: its default, its help text and where it belongs."""
    if not kind:
        kinds = {bool: "bool", int: "int", tuple: "list"}
        kind = kinds.get(type(default), "str")
    metadata = {"option": OptionInfo(help, group, kind, repeat=kind == "list", **info)}
    return field(default=default, metadata=metadata)


def option_info(config_field: dataclasses.Field[Any]) -> OptionInfo | None:
    """The `OptionInfo` of a field of `Config`; None for the application itself."""
    return config_field.metadata.get("option")


LOG_LEVELS = ("critical", "error", "warning", "info", "debug", "trace")
LATER_HTTP2 = "HTTP/2 is not served yet; HTTP/1.1 is"


# fmt: off
@dataclass(frozen=True)
class Config:
    """The configuration of one server; see ``asgiserver --help`` for each option.

    Raises `ConfigError` when a value is out of range or two options contradict each other.
    """

    app: Any = None

    # Application
    factory: bool = option(False, "Call APP without arguments to get the application", "Application")
    app_dir: str = option("", "Directory put first on sys.path before the import (default: the current one)", "Application")
    env_file: tuple[str, ...] = option((), "File of environment variables, read before the import", "Application")
    interface: str = option("auto", "Kind of application", "Application", choices=("auto", "asgi3", "asgi2", "wsgi"))
    lifespan: str = option("auto", "Lifespan protocol", "Application", choices=("auto", "on", "off"))
    root_path: str = option("", "Path prefix under which a proxy publishes the application", "Application")
    loop: str = option("auto", "Event loop: auto, asyncio, uvloop, or module:factory", "Application")
    reset_contextvars: bool = option(False, "Start each request from an empty context instead of the lifespan's", "Application")

    # Listening
    host: str = option("127.0.0.1", "Address to listen on", "Listening")
    port: int = option(8000, "TCP port; 0 takes a free one", "Listening", env=("PORT",))
    bind: tuple[str, ...] = option((), "host:port, [::]:port, unix:/path or fd://N; replaces --host and --port", "Listening", flags=("--bind", "-b"))
    uds: str | None = option(None, "Listen on this unix socket", "Listening")
    uds_mode: str | None = option(None, "Permissions of the unix socket, octal (default: by umask)", "Listening")
    fd: int | None = option(None, "Listen on this inherited file descriptor", "Listening", "int")
    backlog: int = option(2048, "Connections that the kernel may queue", "Listening")
    ready_file: str | None = option(None, "Write addresses and pid as JSON to this file once requests are served", "Listening")
    ready_fd: int | None = option(None, "The same to this inherited file descriptor, then close it", "Listening", "int")

    # Protocol
    http: str = option("auto", "Parser of HTTP/1 request heads", "Protocol", choices=("auto", "httptools", "h11"))
    http2: bool = option(False, "Serve HTTP/2", "Protocol", no_effect=LATER_HTTP2)
    server_header: bool = option(True, "Send a Server field unless the application does", "Protocol")
    date_header: bool = option(True, "Send a Date field unless the application does", "Protocol")
    headers: tuple[str, ...] = option((), "Name:Value to send with each response unless the application does", "Protocol", flags=("--header",))
    h11_max_incomplete_event_size: int | None = option(None, "uvicorn's name for --limit-request-head", "Protocol", "size")

    # Timeouts
    timeout_keep_alive: float = option(75.0, "Close a connection that is idle for this long", "Timeouts", "seconds")
    timeout_request_head: float = option(20.0, "A request head must be complete within this", "Timeouts", "seconds")
    timeout_request_body: float = option(30.0, "A request body must not stall for longer", "Timeouts", "seconds")
    timeout_write: float = option(60.0, "A client must read something of a response within this", "Timeouts", "seconds")
    timeout_graceful_shutdown: float = option(25.0, "Wait this long for running requests at shutdown", "Timeouts", "seconds")
    timeout_startup: float = option(OFF, "The lifespan start-up must be complete within this", "Timeouts", "seconds")
    timeout_lifespan_shutdown: float = option(30.0, "The lifespan shutdown must be complete within this", "Timeouts", "seconds")
    timeout_worker_healthcheck: float = option(5.0, "uvicorn's ping of a worker's thread", "Timeouts", "seconds", no_effect="a worker's event loop itself is watched, see --timeout-worker-stuck")

    # Limits
    limit_request_line: int = option(8192, "Size of a request line (414)", "Limits", "size")
    limit_request_head: int = option(65536, "Size of a request head (431)", "Limits", "size")
    limit_request_fields: int = option(128, "Number of fields in a request head (431)", "Limits")
    limit_concurrency: int | None = option(None, "Requests that run at a time; more are answered 503", "Limits", "int")

    # Logging
    log_level: str = option("info", "Level of the server's own log", "Logging", choices=LOG_LEVELS)
    log_config: Any = option(None, "Logging configuration: .json, .toml, .yaml or .ini file (or a dict)", "Logging", "str")
    access_log: bool = option(True, "Log each request at its end", "Logging")
    access_log_format: str = option("text", "text, combined, json, or a template such as '{client} {status}'", "Logging")
    use_colors: bool | None = option(None, "Colours in the log (default: on a terminal)", "Logging", "bool")
# fmt: on

    def __post_init__(self) -> None:
        validate(self)


def validate(config: Config) -> None:
    """Check ranges and combinations. Raises `ConfigError` with one line that names the fix."""
