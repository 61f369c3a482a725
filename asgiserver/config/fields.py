"""Every option of the server, one line each.

`Config` is pure data: frozen, picklable when the application is an import string, and free of side
effects. Flags, ``ASGISERVER_*`` variables, TOML keys and keyword arguments are derived from these
fields by `asgiserver.config.options`. Durations are seconds, sizes are bytes.
"""

# ruff: noqa: E501, RUF009  (one line per option)
from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self, Unpack

from asgiserver.config.values import KINDS, LARGEST, LEVELS, OFF, shown
from asgiserver.errors import ConfigError, closest, did_you_mean

if TYPE_CHECKING:
    from asgiserver.config.keywords import Options

__all__ = [
    "OFF",
    "Config",
    "OptionInfo",
    "admin_place",
    "convert",
    "has_tls",
    "option_info",
    "validate",
]


class OptionInfo(NamedTuple):
    """The metadata of one field of `Config`, from which the interfaces are derived."""

    help: str
    group: str
    kind: str  # a key of asgiserver.config.values.KINDS
    choices: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()  # other names of values, and what is used instead
    minimum: float = 0
    maximum: float = OFF
    also_off: tuple[Any, ...] = ()  # values that mean OFF, besides "off"
    flags: tuple[str, ...] = ()  # command-line names, when they are not --the-field-name
    env: tuple[str, ...] = ()  # variables read besides ASGISERVER_<NAME> and UVICORN_<NAME>
    repeat: bool = False  # the flag may be given more than once
    cli: bool = True  # False: a keyword argument only
    secret: bool = False  # never printed
    no_effect: str = ""  # why the option does nothing (yet); noted once when the option is set
    # About processes.
    needs_parent: bool = False  # only a supervisor can provide the option
    in_workers: bool = True  # False: only the supervisor reads it; its workers have the default
    on_windows: bool = True
    needs_start: bool = False  # True: a rolling restart does not change it


def option(default: Any, help: str, group: str, kind: str = "", **info: Any) -> Any:
    """Declare one option: its default, its help text and where it belongs."""
    if not kind:
        kinds = {bool: "bool", int: "int", tuple: "list"}
        kind = kinds.get(type(default), "str")
    repeat = isinstance(default, tuple)
    metadata = {"option": OptionInfo(help, group, kind, repeat=repeat, **info)}
    return field(default=default, metadata=metadata, kw_only=True)


def option_info(config_field: dataclasses.Field[Any]) -> OptionInfo | None:
    """The `OptionInfo` of a field of `Config`; None for the application itself."""
    return config_field.metadata.get("option")


MOST_WORKERS = 512


# fmt: off
@dataclass(frozen=True, repr=False)
class Config:
    """The configuration of one server; see ``asgiserver --help`` for each option.

    Values may be written as on the command line (``"30s"``, ``"16MiB"``); the fields hold the
    converted values (30.0, 16777216). Raises `ConfigError` when a value is wrong or two options
    contradict each other.
    """

    app: Any = None

    # Application
    factory: bool = option(False, "Call APP without arguments to get the application", "Application")
    app_dir: str = option("", "Directory put first on sys.path before the import (default: the current one)", "Application")
    env_file: tuple[str, ...] = option((), "File of environment variables, for options and for the application; variables that are set already keep their values", "Application")
    interface: str = option("auto", "Interface of the application; auto finds out which it has", "Application", choices=("auto", "asgi3", "asgi2", "wsgi"))
    lifespan: str = option("auto", "Lifespan protocol: auto uses it if the application supports it, on requires it, off does not use it", "Application", choices=("auto", "on", "off"))
    root_path: str = option("", "Path prefix under which a proxy publishes the application", "Application", "prefix")
    loop: str = option("auto", "Event loop: auto (uvloop where it is installed), asyncio, uvloop, none (the loop that asyncio's policy makes), or module:factory", "Application", renamed=(("zuvloop", "auto"),))
    reset_contextvars: bool = option(False, "Start each request with empty context variables instead of those that the lifespan has set", "Application")
    on_disconnect: str = option("notify", "When the client has left: notify the application, or cancel it", "Application", choices=("notify", "cancel"))
    pathsend: bool = option(False, "Offer http.response.pathsend, by which an application names a file for the server to send; all middleware has to know it", "Application")
    wsgi_threads: int = option(10, "Threads that run a WSGI application", "Application", minimum=1)
    static: tuple[str, ...] = option((), "/route=directory: serve the files of a directory below a route, in front of the application", "Application")

    # Listening
    host: str = option("127.0.0.1", "Address to listen on", "Listening", needs_start=True)
    port: int = option(8000, "TCP port; 0 chooses a free one", "Listening", flags=("--port", "-p"), env=("PORT",), maximum=65535, needs_start=True)
    bind: tuple[str, ...] = option((), "host:port, [::]:port, unix:/path or fd://N; replaces --host and --port", "Listening", flags=("--bind", "-b"), needs_start=True)
    uds: str | None = option(None, "Listen on this unix socket", "Listening", "name", needs_start=True)
    uds_mode: str | None = option(None, "Permissions of the unix socket, octal (default: those that the umask leaves)", "Listening", "mode")
    fd: int | None = option(None, "Listen on this inherited file descriptor", "Listening", "int", needs_start=True)
    backlog: int = option(2048, "Connections that the kernel may queue before the server accepts them", "Listening", minimum=1)
    ready_file: str | None = option(None, "Write the addresses and the process id as JSON to this file once requests are served", "Listening", "name", in_workers=False)
    ready_fd: int | None = option(None, "Write the same JSON as --ready-file to this inherited file descriptor, and close it", "Listening", "int", in_workers=False)

    # Protocol
    http: str = option("auto", "Reader of HTTP/1 request heads; auto: the compiled core where it was built, else httptools, else h11", "Protocol", choices=("auto", "httptools", "h11"), renamed=(("zttp", "auto"),))
    server_header: bool = option(True, "Send a Server field unless the application does", "Protocol")
    date_header: bool = option(True, "Send a Date field unless the application does", "Protocol")
    headers: tuple[str, ...] = option((), "Name:Value to send with each response unless the application does", "Protocol", "headers", flags=("--header",))
    header_underscore: str = option("drop", "What to do with request fields that have an underscore in their name, which many applications confuse with fields that have a hyphen", "Protocol", choices=("drop", "keep", "refuse"))
    h11_max_incomplete_event_size: int | None = option(None, "uvicorn's name for --limit-request-head", "Protocol", "size", minimum=1)

    # HTTP/2
    http2: bool = option(True, "Serve HTTP/2 too: over TLS by ALPN, else to clients that begin with it", "HTTP/2")
    h2_max_concurrent_streams: int = option(128, "Requests that a client may have open at a time on one connection", "HTTP/2", minimum=1, maximum=2**31 - 1)
    h2_max_window: int = option(16 * 2**20, "Request bodies that one connection may send before the application takes them; windows grow up to this where that makes uploads faster", "HTTP/2", "size", minimum=65535, maximum=2**31 - 1)
    h2_ping_interval: float = option(OFF, "Ping a client that has requests open and is silent for this long; leave it if nothing comes for 20 s then", "HTTP/2", "seconds", minimum=0.001, also_off=(0,))

    # WebSocket
    ws: str = option("auto", "WebSocket codec", "WebSocket", choices=("auto", "wsproto", "websockets", "python", "none"), renamed=(("websockets-sansio", "websockets"),))
    ws_max_size: int = option(16 * 2**20, "Largest message, after inflating it; a larger one is closed with 1009", "WebSocket", "size", minimum=1)
    ws_max_queue: int = option(32, "Messages that may wait for the application; then the server stops reading", "WebSocket", minimum=1)
    ws_ping_interval: float = option(20.0, "Ping a connection that is silent for this long", "WebSocket", "seconds", also_off=(None, 0))
    ws_ping_timeout: float = option(20.0, "Close a connection when nothing arrives for this long after a ping", "WebSocket", "seconds", also_off=(None, 0))
    ws_per_message_deflate: bool | None = option(None, "uvicorn's name for --ws-compression: true is shared, false is off", "WebSocket", "bool", choices=("true", "false"))
    ws_compression: str = option("off", "permessage-deflate: off, one compressor that all connections share, or a full one for each connection", "WebSocket", choices=("off", "shared", "full"))
    ws_close_timeout: float = option(10.0, "Wait this long for the client's close frame", "WebSocket", "seconds")
    ws_send_timeout: float = option(60.0, "Cut a client that reads nothing of what is sent for this long", "WebSocket", "seconds", minimum=0.001)

    # Processes
    workers: int | str = option(1, "Worker processes: a number, or auto (the usable CPUs)", "Processes", "workers", flags=("--workers", "-w"), env=("WEB_CONCURRENCY",), minimum=1, maximum=MOST_WORKERS, in_workers=False)
    supervise: bool = option(False, "Run a supervisor for one worker too, for restarts without a gap", "Processes", needs_parent=True)
    preload: bool = option(False, "Import the application once, before the workers are forked", "Processes", needs_parent=True, in_workers=False, on_windows=False, needs_start=True)
    run_once: str | None = option(None, "module:function to call once, before the first worker starts", "Processes", "name", needs_parent=True, in_workers=False)
    timeout_worker_stuck: float = option(60.0, "Replace a worker whose event loop is blocked for this long", "Processes", "seconds", also_off=(0,))
    gc: str = option("auto", "Garbage collector: default leaves it alone, freeze spares it what the start-up has made, tuned also lets it run less often; auto is freeze, but default with --reload and for a server that is embedded", "Processes", choices=("auto", "default", "freeze", "tuned"))
    limit_max_requests: int | None = option(None, "Replace a worker after this many requests", "Processes", "int", minimum=1, needs_parent=True)
    limit_max_requests_jitter: int = option(0, "Add a random number up to this to --limit-max-requests, so that workers are not replaced all at once", "Processes")
    max_worker_age: float = option(OFF, "Replace a worker that is older than this", "Processes", "seconds", minimum=1, needs_parent=True)
    max_worker_rss: float = option(OFF, "Replace a worker whose resident memory stays above this", "Processes", "size", minimum=1, needs_parent=True, on_windows=False)
    balance: str = option("auto", "How new connections are spread over workers: one queue that they share, or one for each (reuseport)", "Processes", choices=("auto", "shared", "reuseport"), needs_start=True)
    drain_delay: float = option(0.0, "At shutdown, announce the end for this long while still accepting connections", "Processes", "seconds", maximum=86400, in_workers=False)
    pid: str | None = option(None, "Write the process id to this file", "Processes", "name", needs_parent=True, in_workers=False, on_windows=False, needs_start=True)
    user: str | None = option(None, "Run as this user after the sockets are bound", "Processes", "name", needs_parent=True, in_workers=False, on_windows=False, needs_start=True)
    group: str | None = option(None, "Run as this group after the sockets are bound", "Processes", "name", needs_parent=True, in_workers=False, on_windows=False, needs_start=True)

    # Reload
    reload: bool = option(False, "Restart when a file changes (development)", "Reload", needs_parent=True, needs_start=True)
    reload_dirs: tuple[str, ...] = option((), "Directory to watch (default: the current one)", "Reload", flags=("--reload-dir",))
    reload_includes: tuple[str, ...] = option((), "Pattern of files to watch in addition to *.py; it may name hidden files", "Reload", flags=("--reload-include",))
    reload_excludes: tuple[str, ...] = option((), "Pattern of files or directories not to watch", "Reload", flags=("--reload-exclude",))
    reload_delay: float = option(0.25, "Wait this long between two checks of the files", "Reload", "seconds", minimum=0.01, maximum=3600)

    # Proxies
    proxy_headers: bool = option(True, "Believe the forwarding headers of trusted proxies", "Proxies")
    forwarded_allow_ips: tuple[str, ...] = option(("loopback", "unix"), "Trusted proxies: addresses, networks, loopback, private, unix, or *", "Proxies", "commas", env=("FORWARDED_ALLOW_IPS",))
    forwarded_headers: str = option("x-forwarded", "Which forwarding headers to believe: X-Forwarded-*, or Forwarded of RFC 7239", "Proxies", choices=("x-forwarded", "forwarded", "none"))
    forwarded_fields: tuple[str, ...] = option(("for", "proto"), "What of these headers to believe; add one only if your proxies always set or clear it", "Proxies", "commas", choices=("for", "proto", "host", "port", "prefix"))
    proxy_hops: int | None = option(None, "Believe exactly this many proxies, counted from the server outwards", "Proxies", "int", minimum=1)
    proxy_protocol: str = option("off", "PROXY protocol that clients must speak first", "Proxies", choices=("off", "v1", "v2", "auto"))
    proxy_protocol_allow_ips: tuple[str, ...] = option(("loopback", "unix"), "Peers that may speak the PROXY protocol", "Proxies", "commas")

    # TLS
    ssl_keyfile: str | None = option(None, "Private key, PEM", "TLS", "name")
    ssl_certfile: str | None = option(None, "Certificate chain, PEM", "TLS", "name")
    ssl_keyfile_password: str | None = option(None, "Password of the private key", "TLS", secret=True)
    ssl_min_version: str = option("1.2", "Lowest TLS version to accept", "TLS", choices=("1.2", "1.3"))
    ssl_cert_reqs: int = option(0, "Client certificates: none, optional or required", "TLS", "cert_reqs")
    ssl_ca_certs: str | None = option(None, "Certificates of the authorities that sign client certificates, PEM", "TLS", "name")
    ssl_ciphers: str | None = option(None, "OpenSSL cipher list for TLS 1.2 (default: OpenSSL's)", "TLS", "name")
    ssl_sni: tuple[str, ...] = option((), "name=certfile:keyfile: another certificate for that server name", "TLS")
    ssl_redirect: str | None = option(None, "host:port of a plain listener that redirects to https", "TLS", "name")
    ssl_context_factory: Callable[..., Any] | None = option(None, "Function that returns the ssl.SSLContext to use; it is called with the configuration and with a function that makes the default context", "TLS", "callable", cli=False)
    tls_transport: str = option("auto", "Who implements TLS: auto is the server itself, loop is the event loop", "TLS", choices=("auto", "loop"), renamed=(("aiofastnet", "auto"),))

    # Timeouts
    timeout_keep_alive: float = option(75.0, "Close a connection that is idle for this long", "Timeouts", "seconds")
    timeout_request_head: float = option(20.0, "A request head must be complete within this time", "Timeouts", "seconds", minimum=0.001)
    timeout_request_body: float = option(30.0, "A request body must not stall for longer than this", "Timeouts", "seconds", minimum=0.001)
    timeout_write: float = option(60.0, "A client must read some of a response within this time", "Timeouts", "seconds", minimum=0.001)
    timeout_request: float = option(OFF, "Cancel a request that takes longer; it is answered 504", "Timeouts", "seconds", minimum=0.001)
    timeout_graceful_shutdown: float = option(25.0, "Wait this long for running requests at shutdown", "Timeouts", "seconds")
    timeout_startup: float = option(OFF, "The lifespan's start-up must be complete within this time", "Timeouts", "seconds", minimum=0.001)
    timeout_lifespan_shutdown: float = option(30.0, "The lifespan's shutdown must be complete within this time", "Timeouts", "seconds", minimum=0.001)

    # Limits
    limit_request_line: int = option(8192, "Largest request line; a larger one is answered 414", "Limits", "size", minimum=1)
    limit_request_head: int = option(65536, "Largest request head; a larger one is answered 431", "Limits", "size", minimum=1)
    limit_request_fields: int = option(128, "Most fields in a request head; more are answered 431", "Limits", minimum=1)
    limit_request_body: float = option(OFF, "Largest request body; a larger one is answered 413", "Limits", "size")
    limit_connections: int | None = option(None, "Connections open at a time, per worker; then idle ones are closed, or new ones are answered 503", "Limits", "int", minimum=1)
    limit_concurrency: int | None = option(None, "Requests that run at a time, per worker; more are answered 503", "Limits", "int", minimum=1)
    limit_websockets: int | None = option(None, "WebSockets open at a time, per worker; more are answered 503", "Limits", "int", minimum=1)
    overload: str = option("shed", "What happens to requests beyond --limit-concurrency: queue lets them wait, shed answers 503 at once", "Limits", choices=("queue", "shed"))
    timeout_queue: float = option(5.0, "A request waits at most this long for its turn (--overload queue)", "Limits", "seconds")

    # Logging
    log_level: str = option("info", "Level of the server's own log", "Logging", "level", choices=tuple(reversed(LEVELS)))
    log_config: Any = option(None, "Logging configuration: .json, .toml, .yaml or .ini file (or a dict)", "Logging", "settings")
    log_format: str = option("text", "Format of the server's own log", "Logging", choices=("text", "json", "ecs", "gcp", "logfmt"))
    log_file: str | None = option(None, "Append the server's own log to this file instead of standard error; after a rotation it is opened anew", "Logging", "name")
    access_log: bool = option(True, "Log each request when it ends", "Logging")
    access_log_format: str = option("", "text, combined, json, ecs, gcp, logfmt, or a template such as '{client} {status}' (default: that of --log-format)", "Logging")
    access_log_file: str | None = option(None, "Append access lines to this file instead of standard output; after a rotation it is opened anew", "Logging", "name")
    access_log_buffer: bool = option(True, "Write access lines together, about once a second; without it each one at once, so that a killed process loses none", "Logging")
    access_log_skip: tuple[str, ...] = option((), "Pattern of paths whose requests are not logged, such as '/health*'; those that fail are", "Logging")
    access_log_sample: float = option(1.0, "Log this part of the requests, such as 0.1 or 10%; all that fail are logged", "Logging", "share")
    access_log_slow: float = option(OFF, "Log only requests that take at least this long, and those that fail", "Logging", "seconds")
    request_id: str = option("off", "Give each request an id: on shows it in logs and to the application, send also in the response", "Logging", choices=("off", "on", "send"))
    request_id_header: str = option("X-Request-ID", "Field of the id, which is taken over from trusted proxies (--forwarded-allow-ips)", "Logging", "name")
    otel: bool = option(False, "Trace requests and measure them with OpenTelemetry, which OTEL_* variables configure", "Logging")
    use_colors: bool | None = option(None, "Colours in the log (default: on a terminal)", "Logging", "bool")

    # Diagnosis
    loop_stall_warn: float = option(0.5, "Name in the log what has blocked the event loop for this long", "Diagnosis", "seconds", also_off=(0,), minimum=0.01)
    request_warn: float = option(OFF, "Name in the log a request that has run for this long without an answer, and where in the application it waits", "Diagnosis", "seconds", also_off=(0,), minimum=0.001)
    control: str = option("auto", "Unix socket on which asgiserver dump asks the server what it is doing: a path, off, or auto (Linux: a name made of the process id, for the same user and root alone; elsewhere off)", "Diagnosis", "name", in_workers=False)

    # Admin
    admin: str | None = option(None, "Listener for operators, host:port or unix:/path: health, figures, status and orders; see docs/admin.md", "Admin", "name", in_workers=False, needs_start=True)
    admin_token: str | None = option(None, "Token that the admin listener asks for (Authorization: Bearer), except for health", "Admin", secret=True, in_workers=False, needs_start=True)
    admin_insecure: bool = option(False, "Let the admin listener show figures and status on the network without a token", "Admin", in_workers=False, needs_start=True)
    health_path: str | None = option(None, "Path of the public listener that the server answers itself: 200 when it is ready, 503 when it stops", "Admin", "name")

    # What uvicorn has and nothing needs here; no flag of uvicorn sets the last two
    timeout_worker_healthcheck: float = option(5.0, "uvicorn's ping of a worker's thread", "Accepted for uvicorn, without effect", "seconds", no_effect="a worker's event loop itself is watched, see --timeout-worker-stuck")
    ssl_version: int = option(17, "uvicorn's ssl.PROTOCOL_* number", "Accepted for uvicorn, without effect", no_effect="the version is negotiated, see --ssl-min-version")
    callback_notify: Callable[..., Any] | None = option(None, "uvicorn's periodic callback", "Accepted for uvicorn, without effect", "callable", cli=False, no_effect="run a task of your own instead")
    timeout_notify: float = option(30.0, "Seconds between two calls of callback_notify", "Accepted for uvicorn, without effect", "seconds", cli=False, no_effect="see callback_notify")

    # Lines about these options that the server logs once, when it starts
    notes: tuple[str, ...] = field(default=(), kw_only=True, compare=False)
    remarks: tuple[str, ...] = field(default=(), kw_only=True, compare=False)  # logged at level debug
    sources: tuple[str, ...] = field(default=(), kw_only=True, compare=False)  # where options come from
    origins: tuple[tuple[str, str], ...] = field(default=(), kw_only=True, compare=False)  # options that are given
# fmt: on

    if TYPE_CHECKING:  # what may be written, where the fields tell what it becomes
        def __init__(self, app: Any = None, **options: Unpack[Options]) -> None: ...

    def __new__(cls, *args: Any, **options: Any) -> Self:
        for name in options.keys() - cls.__dataclass_fields__.keys():
            hint = did_you_mean(name, cls.__dataclass_fields__)
            raise ConfigError(f"unknown option {name!r}{hint}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        _normalise(self)
        validate(self)

    def __repr__(self) -> str:
        """The values that differ from the defaults, without secrets."""
        parts = [] if self.app is None else [repr(self.app)]
        for config_field in dataclasses.fields(self):
            info, value = option_info(config_field), getattr(self, config_field.name)
            if info is not None and value != config_field.default:
                parts.append(f"{config_field.name}={'***' if info.secret else repr(value)}")
        return f"Config({', '.join(parts)})"


def convert(config_field: dataclasses.Field[Any], value: Any) -> Any:
    """The value that `config_field` holds when a person writes `value`; None means the default.

    Raises `ValueError` with what was expected.
    """
    info = config_field.metadata["option"]
    if value is None:
        return OFF if None in info.also_off else config_field.default
    try:
        result = KINDS[info.kind](value)
    except ValueError:
        if info.secret:
            raise ValueError("expected a string without NUL") from None
        raise
    if result is None and config_field.default is not None:
        raise ValueError(f"cannot be {shown(value)}; give a whole number")
    if info.also_off and result in info.also_off:
        return OFF
    result = dict(info.renamed).get(result, result) if isinstance(result, str) else result
    if info.choices and info.kind != "bool":
        for item in result if isinstance(result, tuple) else (result,):
            if item not in info.choices:
                close = closest(str(item), info.choices)
                hint = f"; did you mean {close}?" if close else ""
                raise ValueError(f"expected {', '.join(info.choices)}, not {item!r}{hint}")
    if isinstance(result, int | float):
        _check_bounds(info, result, value)
    return result


def _check_bounds(info: OptionInfo, number: float, value: Any) -> None:
    largest = LARGEST.get(info.kind, OFF)
    if not info.minimum <= number <= info.maximum:
        text = f"at least {info.minimum}"
        if info.maximum != OFF:
            text = f"from {info.minimum} to {info.maximum}"
        elif info.kind in ("seconds", "size"):
            text += " (or off)"
        raise ValueError(f"must be {text}, not {shown(value)}")
    if largest < number < OFF:
        off = " (or off)" if info.kind in ("seconds", "size") else ""
        raise ValueError(f"must be at most {largest}{off}, not {shown(value)}")


def _normalise(config: Config) -> None:
    """Convert every value that people may write, and gather the notes about the values."""
    notes = list(config.notes)

    def put(name: str, value: Any) -> None:
        object.__setattr__(config, name, value)  # nothing else writes to a frozen Config

    for config_field in dataclasses.fields(config):
        info, name = option_info(config_field), config_field.name
        if info is None:
            continue
        given = getattr(config, name)
        try:
            value = convert(config_field, given)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from None
        put(name, value)
        if isinstance(given, str) and given in dict(info.renamed):
            notes.append(f"{name}={given} is not available here: {value} is used")
        if info.no_effect and value != config_field.default:
            notes.append(f"{name} has no effect: {info.no_effect}")

    if config.h11_max_incomplete_event_size is not None:
        put("limit_request_head", config.h11_max_incomplete_event_size)
    if config.ws_per_message_deflate is not None and config.ws_compression != "full":
        put("ws_compression", "shared" if config.ws_per_message_deflate else "off")
    if config.reload and config.workers != 1:
        put("workers", 1)
        notes.append("workers has no effect: with --reload there is one worker")
    put("notes", tuple(dict.fromkeys(notes)))


def validate(config: Config) -> None:
    """Check combinations of options. Raises `ConfigError` with one line that names the fix."""
    rules = _listening_rules, _application_rules, _tls_rules, _admin_rules
    for wrong, text in itertools.chain.from_iterable(rule(config) for rule in rules):
        if wrong:
            raise ConfigError(text)


_Rule = tuple[object, str]


def _listening_rules(config: Config) -> tuple[_Rule, ...]:
    return (
        (config.uds and config.fd is not None, "uds and fd are both given; use --bind for several listeners"),
        (
            not all(config.bind),
            "bind: expected host:port, unix:/path or fd://N, not ''; use :port for all addresses",
        ),
        (
            config.bind and (config.uds or config.fd is not None),
            "bind is given, and so are other addresses; write these as --bind unix:/path, --bind fd://N",
        ),
        (
            config.ssl_redirect and not has_tls(config),
            "ssl_redirect needs TLS; give ssl_certfile and ssl_keyfile",
        ),
    )


def _application_rules(config: Config) -> tuple[_Rule, ...]:
    imported = config.app is None or isinstance(config.app, str)
    loops = ("auto", "asyncio", "uvloop", "none")
    bad_static = [item for item in config.static if not (item.startswith("/") and "=" in item)]
    return (
        (
            config.reload and not imported,
            "reload needs the application as an import string, 'module:attribute'",
        ),
        (
            config.workers != 1 and not imported,
            f"workers: {config.workers} processes need the application as an import string, 'module:attribute'",
        ),
        (
            config.loop not in loops and ":" not in config.loop,
            f"loop: expected {', '.join(loops)} or module:factory, not {config.loop!r}",
        ),
        (
            config.run_once and ":" not in config.run_once,
            f"run_once: expected module:function, not {config.run_once!r}",
        ),
        (
            not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", config.request_id_header),
            f"request_id_header: expected the name of a field, not {config.request_id_header!r}",
        ),
        (bad_static, f"static: expected /route=directory, not {''.join(bad_static[:1])!r}"),
    )


def has_tls(config: Config) -> bool:
    """Whether the listeners speak TLS."""
    return bool(config.ssl_certfile or config.ssl_sni or config.ssl_context_factory)


def _tls_rules(config: Config) -> tuple[_Rule, ...]:
    bad_sni = [item for item in config.ssl_sni if not item.partition("=")[2]]
    return (
        (
            config.ssl_keyfile and not has_tls(config),
            "ssl_keyfile is given without ssl_certfile; give both",
        ),
        (
            config.ssl_cert_reqs and not (config.ssl_ca_certs or config.ssl_context_factory),
            "ssl_cert_reqs needs ssl_ca_certs, the authorities that sign client certificates",
        ),
        (bad_sni, f"ssl_sni: expected name=certfile:keyfile, not {''.join(bad_sni[:1])!r}"),
    )


def admin_place(address: str) -> str:
    """Who can reach the admin listener at `address`: ``unix``, ``loopback`` or ``network``."""
    from asgiserver.http.loopback import is_loopback  # here, because few starts need it

    if address.startswith("unix:"):
        return "unix"
    host = address.rpartition(":")[0]
    return "loopback" if is_loopback(host.strip("[]")) else "network"


def _admin_rules(config: Config) -> tuple[_Rule, ...]:
    address, path = config.admin, config.health_path
    known = address is None or address.startswith("unix:") or address.rpartition(":")[2].isdigit()
    exposed = address is not None and known and admin_place(address) == "network"
    return (
        (not known, f"admin: expected host:port or unix:/path, not {address!r}"),
        (config.admin_token == "", "admin_token is empty; give a long random one, or leave it out"),
        (
            exposed and not (config.admin_token or config.admin_insecure),
            f"admin: {address} can be reached from the network; give admin_token, or admin_insecure",
        ),
        (
            path is not None and not path.startswith("/"),
            f"health_path: expected a path such as /healthz, not {path!r}",
        ),
    )
