"""The keywords of `asgiserver.run`, `serve`, `serve_in_thread` and `Config`, for type checkers.

Made from asgiserver/config/fields.py by ``python -m asgiserver.options types``. Do not edit.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike

    Text = str | PathLike[str]
    Header = str | tuple[str | bytes, str | bytes]

__all__ = ["Options"]


class Options(TypedDict, total=False):
    """Each option of the server; None stands for its default."""

    # Application
    factory: bool | None
    """Call APP without arguments to get the application (default: false)."""
    app_dir: Text | None
    """Directory put first on sys.path before the import (default: the current one)."""
    env_file: Text | Iterable[Text] | None
    """File of environment variables, for options and for the application; variables that are set already keep their values."""
    interface: Literal["auto", "asgi3", "asgi2", "wsgi"] | None
    """Interface of the application; auto finds out which it has [auto|asgi3|asgi2|wsgi] (default: auto)."""
    lifespan: Literal["auto", "on", "off"] | None
    """Lifespan protocol: auto uses it if the application supports it, on requires it, off does not use it [auto|on|off] (default: auto)."""
    root_path: str | None
    """Path prefix under which a proxy publishes the application."""
    loop: Text | None
    """Event loop: auto (uvloop where it is installed), asyncio, uvloop, none (the loop that asyncio's policy makes), or module:factory (default: auto)."""
    reset_contextvars: bool | None
    """Start each request with empty context variables instead of those that the lifespan has set (default: false)."""
    on_disconnect: Literal["notify", "cancel"] | None
    """When the client has left: notify the application, or cancel it [notify|cancel] (default: notify)."""
    pathsend: bool | None
    """Offer http.response.pathsend, by which an application names a file for the server to send; all middleware has to know it (default: false)."""
    wsgi_threads: int | None
    """Threads that run a WSGI application (default: 10)."""
    static: Text | Iterable[Text] | None
    """/route=directory: serve the files of a directory below a route, in front of the application."""

    # Listening
    host: Text | None
    """Address to listen on (default: 127.0.0.1)."""
    port: int | None
    """TCP port; 0 chooses a free one (default: 8000)."""
    bind: Text | Iterable[Text] | None
    """host:port, [::]:port, unix:/path or fd://N; replaces --host and --port."""
    uds: Text | None
    """Listen on this unix socket."""
    uds_mode: int | str | None
    """Permissions of the unix socket, octal (default: those that the umask leaves)."""
    fd: int | None
    """Listen on this inherited file descriptor."""
    backlog: int | None
    """Connections that the kernel may queue before the server accepts them (default: 2048)."""
    ready_file: Text | None
    """Write the addresses and the process id as JSON to this file once requests are served."""
    ready_fd: int | None
    """Write the same JSON as --ready-file to this inherited file descriptor, and close it."""

    # Protocol
    http: Literal["auto", "httptools", "h11", "zttp"] | None
    """Reader of HTTP/1 request heads; auto: the compiled core where it was built, else httptools, else h11 [auto|httptools|h11] (default: auto)."""
    server_header: bool | None
    """Send a Server field unless the application does (default: true)."""
    date_header: bool | None
    """Send a Date field unless the application does (default: true)."""
    headers: str | Iterable[Header] | Mapping[str, str] | None
    """Name:Value to send with each response unless the application does."""
    header_underscore: Literal["drop", "keep", "refuse"] | None
    """What to do with request fields that have an underscore in their name, which many applications confuse with fields that have a hyphen [drop|keep|refuse] (default: drop)."""
    h11_max_incomplete_event_size: float | str | None
    """uvicorn's name for --limit-request-head."""

    # HTTP/2
    http2: bool | None
    """Serve HTTP/2 too: over TLS by ALPN, else to clients that begin with it (default: true)."""
    h2_max_concurrent_streams: int | None
    """Requests that a client may have open at a time on one connection (default: 128)."""
    h2_max_window: float | str | None
    """Request bodies that one connection may send before the application takes them; windows grow up to this where that makes uploads faster (default: 16MiB)."""
    h2_ping_interval: float | str | None
    """Ping a client that has requests open and is silent for this long; leave it if nothing comes for 20 s then (default: off)."""

    # WebSocket
    ws: Literal["auto", "wsproto", "websockets", "python", "none", "websockets-sansio"] | None
    """WebSocket codec [auto|wsproto|websockets|python|none] (default: auto)."""
    ws_max_size: float | str | None
    """Largest message, after inflating it; a larger one is closed with 1009 (default: 16MiB)."""
    ws_max_queue: int | None
    """Messages that may wait for the application; then the server stops reading (default: 32)."""
    ws_ping_interval: float | str | None
    """Ping a connection that is silent for this long (default: 20s)."""
    ws_ping_timeout: float | str | None
    """Close a connection when nothing arrives for this long after a ping (default: 20s)."""
    ws_per_message_deflate: bool | None
    """uvicorn's name for --ws-compression: true is shared, false is off."""
    ws_compression: Literal["off", "shared", "full"] | None
    """permessage-deflate: off, one compressor that all connections share, or a full one for each connection [off|shared|full] (default: off)."""
    ws_close_timeout: float | str | None
    """Wait this long for the client's close frame (default: 10s)."""
    ws_send_timeout: float | str | None
    """Cut a client that reads nothing of what is sent for this long (default: 60s)."""

    # Processes
    workers: int | str | None
    """Worker processes: a number, or auto (the usable CPUs) (default: 1)."""
    supervise: bool | None
    """Run a supervisor for one worker too, for restarts without a gap (default: false)."""
    preload: bool | None
    """Import the application once, before the workers are forked (default: false)."""
    run_once: Text | None
    """module:function to call once, before the first worker starts."""
    timeout_worker_stuck: float | str | None
    """Replace a worker whose event loop is blocked for this long (default: 60s)."""
    gc: Literal["auto", "default", "freeze", "tuned"] | None
    """Garbage collector: default leaves it alone, freeze spares it what the start-up has made, tuned also lets it run less often; auto is freeze, but default with --reload and for a server that is embedded [auto|default|freeze|tuned] (default: auto)."""
    limit_max_requests: int | None
    """Replace a worker after this many requests."""
    limit_max_requests_jitter: int | None
    """Add a random number up to this to --limit-max-requests, so that workers are not replaced all at once (default: 0)."""
    max_worker_age: float | str | None
    """Replace a worker that is older than this (default: off)."""
    max_worker_rss: float | str | None
    """Replace a worker whose resident memory stays above this (default: off)."""
    balance: Literal["auto", "shared", "reuseport"] | None
    """How new connections are spread over workers: one queue that they share, or one for each (reuseport) [auto|shared|reuseport] (default: auto)."""
    drain_delay: float | str | None
    """At shutdown, announce the end for this long while still accepting connections (default: 0s)."""
    pid: Text | None
    """Write the process id to this file."""
    user: Text | None
    """Run as this user after the sockets are bound."""
    group: Text | None
    """Run as this group after the sockets are bound."""

    # Reload
    reload: bool | None
    """Restart when a file changes (development) (default: false)."""
    reload_dirs: Text | Iterable[Text] | None
    """Directory to watch (default: the current one)."""
    reload_includes: Text | Iterable[Text] | None
    """Pattern of files to watch in addition to *.py; it may name hidden files."""
    reload_excludes: Text | Iterable[Text] | None
    """Pattern of files or directories not to watch."""
    reload_delay: float | str | None
    """Wait this long between two checks of the files (default: 0.25s)."""

    # Proxies
    proxy_headers: bool | None
    """Believe the forwarding headers of trusted proxies (default: true)."""
    forwarded_allow_ips: str | Iterable[str] | None
    """Trusted proxies: addresses, networks, loopback, private, unix, or * (default: loopback,unix)."""
    forwarded_headers: Literal["x-forwarded", "forwarded", "none"] | None
    """Which forwarding headers to believe: X-Forwarded-*, or Forwarded of RFC 7239 [x-forwarded|forwarded|none] (default: x-forwarded)."""
    forwarded_fields: str | Iterable[str] | None
    """What of these headers to believe; add one only if your proxies always set or clear it [for|proto|host|port|prefix] (default: for,proto)."""
    proxy_hops: int | None
    """Believe exactly this many proxies, counted from the server outwards."""
    proxy_protocol: Literal["off", "v1", "v2", "auto"] | None
    """PROXY protocol that clients must speak first [off|v1|v2|auto] (default: off)."""
    proxy_protocol_allow_ips: str | Iterable[str] | None
    """Peers that may speak the PROXY protocol (default: loopback,unix)."""

    # TLS
    ssl_keyfile: Text | None
    """Private key, PEM."""
    ssl_certfile: Text | None
    """Certificate chain, PEM."""
    ssl_keyfile_password: Text | None
    """Password of the private key."""
    ssl_min_version: Literal["1.2", "1.3"] | None
    """Lowest TLS version to accept [1.2|1.3] (default: 1.2)."""
    ssl_cert_reqs: int | str | None
    """Client certificates: none, optional or required (default: none)."""
    ssl_ca_certs: Text | None
    """Certificates of the authorities that sign client certificates, PEM."""
    ssl_ciphers: Text | None
    """OpenSSL cipher list for TLS 1.2 (default: OpenSSL's)."""
    ssl_sni: Text | Iterable[Text] | None
    """name=certfile:keyfile: another certificate for that server name."""
    ssl_redirect: Text | None
    """host:port of a plain listener that redirects to https."""
    ssl_context_factory: Callable[..., Any] | None
    """Function that returns the ssl.SSLContext to use; it is called with the configuration and with a function that makes the default context."""
    tls_transport: Literal["auto", "loop", "aiofastnet"] | None
    """Who implements TLS: auto is the server itself, loop is the event loop [auto|loop] (default: auto)."""

    # Timeouts
    timeout_keep_alive: float | str | None
    """Close a connection that is idle for this long (default: 75s)."""
    timeout_request_head: float | str | None
    """A request head must be complete within this time (default: 20s)."""
    timeout_request_body: float | str | None
    """A request body must not stall for longer than this (default: 30s)."""
    timeout_write: float | str | None
    """A client must read some of a response within this time (default: 60s)."""
    timeout_request: float | str | None
    """Cancel a request that takes longer; it is answered 504 (default: off)."""
    timeout_graceful_shutdown: float | str | None
    """Wait this long for running requests at shutdown (default: 25s)."""
    timeout_startup: float | str | None
    """The lifespan's start-up must be complete within this time (default: off)."""
    timeout_lifespan_shutdown: float | str | None
    """The lifespan's shutdown must be complete within this time (default: 30s)."""

    # Limits
    limit_request_line: float | str | None
    """Largest request line; a larger one is answered 414 (default: 8KiB)."""
    limit_request_head: float | str | None
    """Largest request head; a larger one is answered 431 (default: 64KiB)."""
    limit_request_fields: int | None
    """Most fields in a request head; more are answered 431 (default: 128)."""
    limit_request_body: float | str | None
    """Largest request body; a larger one is answered 413 (default: off)."""
    limit_connections: int | None
    """Connections open at a time, per worker; then idle ones are closed, or new ones are answered 503."""
    limit_concurrency: int | None
    """Requests that run at a time, per worker; more are answered 503."""
    limit_websockets: int | None
    """WebSockets open at a time, per worker; more are answered 503."""
    overload: Literal["queue", "shed"] | None
    """What happens to requests beyond --limit-concurrency: queue lets them wait, shed answers 503 at once [queue|shed] (default: shed)."""
    timeout_queue: float | str | None
    """A request waits at most this long for its turn (--overload queue) (default: 5s)."""

    # Logging
    log_level: int | str | None
    """Level of the server's own log [critical|error|warning|info|debug|trace] (default: info)."""
    log_config: Text | Mapping[str, Any] | None
    """Logging configuration: .json, .toml, .yaml or .ini file (or a dict)."""
    log_format: Literal["text", "json", "ecs", "gcp", "logfmt"] | None
    """Format of the server's own log [text|json|ecs|gcp|logfmt] (default: text)."""
    log_file: Text | None
    """Append the server's own log to this file instead of standard error; after a rotation it is opened anew."""
    access_log: bool | None
    """Log each request when it ends (default: true)."""
    access_log_format: Text | None
    """text, combined, json, ecs, gcp, logfmt, or a template such as '{client} {status}' (default: that of --log-format)."""
    access_log_file: Text | None
    """Append access lines to this file instead of standard output; after a rotation it is opened anew."""
    access_log_buffer: bool | None
    """Write access lines together, about once a second; without it each one at once, so that a killed process loses none (default: true)."""
    access_log_skip: Text | Iterable[Text] | None
    """Pattern of paths whose requests are not logged, such as '/health*'; those that fail are."""
    access_log_sample: float | str | None
    """Log this part of the requests, such as 0.1 or 10%; all that fail are logged (default: 1.0)."""
    access_log_slow: float | str | None
    """Log only requests that take at least this long, and those that fail (default: off)."""
    request_id: Literal["off", "on", "send"] | None
    """Give each request an id: on shows it in logs and to the application, send also in the response [off|on|send] (default: off)."""
    request_id_header: Text | None
    """Field of the id, which is taken over from trusted proxies (--forwarded-allow-ips) (default: X-Request-ID)."""
    otel: bool | None
    """Trace requests and measure them with OpenTelemetry, which OTEL_* variables configure (default: false)."""
    use_colors: bool | None
    """Colours in the log (default: on a terminal)."""

    # Diagnosis
    loop_stall_warn: float | str | None
    """Name in the log what has blocked the event loop for this long (default: 0.5s)."""
    request_warn: float | str | None
    """Name in the log a request that has run for this long without an answer, and where in the application it waits (default: off)."""
    control: Text | None
    """Unix socket on which asgiserver dump asks the server what it is doing: a path, off, or auto (Linux: a name made of the process id, for the same user and root alone; elsewhere off) (default: auto)."""

    # Admin
    admin: Text | None
    """Listener for operators, host:port or unix:/path: health, figures, status and orders; see docs/admin.md."""
    admin_token: Text | None
    """Token that the admin listener asks for (Authorization: Bearer), except for health."""
    admin_insecure: bool | None
    """Let the admin listener show figures and status on the network without a token (default: false)."""
    health_path: Text | None
    """Path of the public listener that the server answers itself: 200 when it is ready, 503 when it stops."""

    # Accepted for uvicorn, without effect
    timeout_worker_healthcheck: float | str | None
    """uvicorn's ping of a worker's thread (no effect: a worker's event loop itself is watched, see --timeout-worker-stuck)."""
    ssl_version: int | None
    """uvicorn's ssl.PROTOCOL_* number (no effect: the version is negotiated, see --ssl-min-version)."""
    callback_notify: Callable[..., Any] | None
    """uvicorn's periodic callback (no effect: run a task of your own instead)."""
    timeout_notify: float | str | None
    """Seconds between two calls of callback_notify (no effect: see callback_notify)."""
