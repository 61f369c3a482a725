"""The command lines of other servers, one table each, with this server's name of each option.

The tables are pure data; `asgiserver.cli.migrate` reads and writes command lines by them.
"""

# ruff: noqa: E501  (one line per option)
from __future__ import annotations

import dataclasses
from collections.abc import Callable

__all__ = ["SERVERS", "Flag", "Peer"]

Convert = Callable[[str], "str | None"]


@dataclasses.dataclass(frozen=True, slots=True)
class Flag:
    """One option of another server.

    `to` is this server's flag with `{}` for the value, or empty. `note` is printed after the flag's
    name. `convert` turns the other server's value into ours; None drops the flag and its note.
    """

    names: tuple[str, ...]
    to: str = ""
    note: str = ""
    takes: bool = True  # whether a value follows the flag
    optional: str | None = None  # the value of the flag when none follows
    convert: Convert | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """One server: its options, the defaults that differ from ours, and other differences."""

    flags: tuple[Flag, ...]
    defaults: tuple[tuple[str, str], ...]  # our option's name, and the other server's default
    differs: tuple[str, ...]
    attribute: str = "app"  # the attribute taken when only a module is named
    abbreviates: bool = False  # an unambiguous beginning of an option is enough
    variables: str = ""  # the prefix of the server's environment variables


def same(*names: str, note: str = "", convert: Convert | None = None) -> Flag:
    """An option with a value that has the same name here."""
    return Flag(names, f"{names[-1]} {{}}", note, convert=convert)


def value(names: str, to: str, note: str = "", convert: Convert | None = None) -> Flag:
    """An option with a value that is called `to` here; with an empty `to` only the note stays."""
    return Flag(tuple(names.split()), f"{to} {{}}" if to else "", note, convert=convert)


def switch(names: str, to: str = "", note: str = "") -> Flag:
    """An option without a value."""
    return Flag(tuple(names.split()), to, note, takes=False)


def gone(names: str, note: str) -> Flag:
    """An option with a value that has no counterpart."""
    return Flag(tuple(names.split()), "", note)


def _plain(*names: str) -> tuple[Flag, ...]:
    return tuple(same(name) for name in names)


def _switches(*names: str) -> tuple[Flag, ...]:
    return tuple(switch(name, name) for name in names)


def _choice(**values: str | None) -> Convert:
    return lambda text: values.get(text.lower(), text)


def _unless(*unset: str) -> Convert:
    """Drop the flag for the values that mean what is the default here."""
    return lambda text: None if text in unset else text


def _milliseconds(text: str) -> str:
    return f"{text}ms" if text.isdigit() else text


def _mebibytes(text: str) -> str:
    return f"{text}MiB" if text.isdigit() else text


LEVELS = _choice(warn="warning", notset="trace", trace="trace")
CERT_REQS = _choice(cert_none="0", cert_optional="1", cert_required="2")
DAEMON = "has no counterpart: let systemd or a container run the server in the foreground"
STATSD = "has no counterpart: take metrics from the access log (--access-log-format json)"
SERVER_NAME = "has no counterpart: the proxy or the application checks the Host field"
UMASK = "is set by the service manager; --uds-mode sets the permissions of the unix socket"
EXIT = "the exit code after SIGTERM or Ctrl-C is 0"

# fmt: off
UVICORN = Peer(
    flags=(
        *_plain("--host", "--port", "--uds", "--fd", "--reload-dir", "--reload-include", "--reload-exclude", "--reload-delay"),
        *_switches("--reload", "--access-log", "--no-access-log", "--use-colors", "--no-use-colors", "--proxy-headers", "--no-proxy-headers"),
        *_switches("--server-header", "--no-server-header", "--date-header", "--no-date-header", "--reset-contextvars", "--factory"),
        *_plain("--workers", "--ws-max-size", "--ws-max-queue", "--ws-ping-interval", "--ws-ping-timeout", "--lifespan", "--interface"),
        *_plain("--env-file", "--log-config", "--log-level", "--forwarded-allow-ips", "--root-path", "--backlog", "--app-dir", "--header"),
        *_plain("--limit-max-requests", "--limit-max-requests-jitter", "--timeout-keep-alive", "--timeout-graceful-shutdown"),
        *_plain("--ssl-keyfile", "--ssl-certfile", "--ssl-keyfile-password", "--ssl-cert-reqs", "--ssl-ca-certs", "--ssl-ciphers"),
        value("--loop", "--loop", convert=_choice(zuvloop="auto")),
        value("--http", "--http", convert=_choice(zttp="auto")),
        value("--ws", "--ws", convert=_choice(**{"websockets-sansio": "websockets"})),
        value("--ws-per-message-deflate", "--ws-compression", convert=_choice(true="shared", false="off", **{"1": "shared", "0": "off"})),
        same("--limit-concurrency", note="counts running requests here; --limit-connections counts connections"),
        value("--h11-max-incomplete-event-size", "--limit-request-head"),
        gone("--timeout-worker-healthcheck", "is not needed: a worker's event loop is watched, see --timeout-worker-stuck"),
        gone("--ssl-version", "is negotiated; --ssl-min-version is the oldest to accept"),
        switch("--http2", "--http2"),
        switch("--version", "--version"),
    ),
    defaults=(
        ("timeout_keep_alive", "5s"),
        ("timeout_graceful_shutdown", "no limit"),
        ("ws_compression", "on"),
        ("timeout_request_head", "no limit"),
        ("timeout_request_body", "no limit"),
        ("timeout_write", "no limit"),
    ),
    differs=(EXIT, "UVICORN_* variables are understood, each as ASGISERVER_*"),
)

GUNICORN = Peer(
    flags=(
        gone("-c --config", "names a Python file: translate its settings by hand (they are called like the flags) into asgiserver.toml"),
        value("-b --bind", "--bind"),
        value("-w --workers", "--workers"),
        Flag(("-k", "--worker-class")),  # see `finish_gunicorn` in asgiserver.cli.migrate
        Flag(("--threads",)),  # see `finish_gunicorn` too
        value("--worker-connections", "--limit-connections"),
        value("--max-requests", "--limit-max-requests", convert=_unless("0")),
        value("--max-requests-jitter", "--limit-max-requests-jitter"),
        value("-t --timeout", "--timeout-worker-stuck", "limits how long an event loop may be blocked; --timeout-request limits one request"),
        value("--graceful-timeout", "--timeout-graceful-shutdown"),
        value("--keep-alive", "--timeout-keep-alive"),
        value("--limit-request-line", "--limit-request-line", convert=_choice(**{"0": "off"})),
        value("--limit-request-fields", "--limit-request-fields"),
        gone("--limit-request-field_size", "has no counterpart: --limit-request-head limits the whole head"),
        value("--backlog", "--backlog"),
        switch("--reload", "--reload"),
        gone("--reload-engine", "is not needed: watchfiles is used when it is installed"),
        value("--reload-extra-file", "--reload-include"),
        switch("--preload", "--preload"),
        switch("--reuse-port", "--balance reuseport"),
        value("--chdir", "--app-dir", "becomes --app-dir: imports come from there, and the working directory stays"),
        switch("-D --daemon", note=DAEMON),
        Flag(("-e", "--env")),  # becomes an assignment before the command
        value("-p --pid", "--pid"),
        value("-u --user", "--user"),
        value("-g --group", "--group"),
        gone("-m --umask", UMASK),
        value("--forwarded-allow-ips", "--forwarded-allow-ips"),
        value("--access-logfile", "--access-log-file", convert=_unless("-")),
        gone("--access-logformat", "has another syntax: use --access-log-format combined, json or a template"),
        value("--error-logfile --log-file", "--log-file", convert=_unless("-")),
        value("--log-level", "--log-level", convert=LEVELS),
        value("--log-config", "--log-config"),
        value("--log-config-json", "--log-config"),
        switch("--capture-output", note="has no counterpart: standard output is not captured"),
        gone("--logger-class", "has no counterpart: use --log-config"),
        switch("--log-syslog", note="is not needed: name the handler in --log-config"),
        gone("--log-syslog-to", "is not needed: name the handler in --log-config"),
        gone("--log-syslog-prefix", "is not needed: name the handler in --log-config"),
        gone("--log-syslog-facility", "is not needed: name the handler in --log-config"),
        switch("--disable-redirect-access-to-syslog", note="is not needed"),
        switch("-R --enable-stdio-inheritance", note="is not needed"),
        gone("--statsd-host", STATSD),
        gone("--statsd-prefix", STATSD),
        gone("--dogstatsd-tags", STATSD),
        switch("--enable-backlog-metric", note=STATSD),
        gone("-n --name", "is not needed: processes are titled with the application"),
        value("--pythonpath", "--app-dir", "takes one directory; PYTHONPATH for more"),
        gone("--paste --paster", "has no counterpart: write a module that loads the PasteDeploy file"),
        gone("--paste-global", "has no counterpart: write a module that loads the PasteDeploy file"),
        Flag(("--proxy-protocol",), "--proxy-protocol {}", optional="auto", convert=_unless("off")),
        value("--proxy-allow-from", "--proxy-protocol-allow-ips"),
        value("--protocol", "", "is always HTTP: the uwsgi protocol is not spoken", convert=_unless("http")),
        gone("--uwsgi-allow-from", "belongs to the uwsgi protocol, which is not spoken"),
        value("--keyfile", "--ssl-keyfile"),
        value("--certfile", "--ssl-certfile"),
        value("--ca-certs", "--ssl-ca-certs"),
        value("--cert-reqs", "--ssl-cert-reqs", convert=_unless("0")),
        value("--ciphers", "--ssl-ciphers"),
        gone("--ssl-version", "is negotiated; --ssl-min-version is the oldest to accept"),
        switch("--suppress-ragged-eofs", note="is not needed"),
        switch("--do-handshake-on-connect", note="is not needed"),
        value("--http-protocols", "", "is not needed: HTTP/2 is served beside HTTP/1.1 unless --no-http2 says otherwise", convert=_unless("h1")),
        value("--http2-cleartext", "", "is not needed: HTTP/2 is served without TLS too, to clients that begin with it", convert=_unless("off")),
        value("--http2-max-concurrent-streams", "--h2-max-concurrent-streams"),
        gone("--http2-max-frame-size", "is 16 KiB"),
        gone("--http2-initial-window-size", "is not needed: windows grow by themselves, up to --h2-max-window"),
        value("--http2-max-header-list-size", "--limit-request-head"),
        *(switch(name, note="has no counterpart: what is unsafe is refused") for name in ("--permit-obsolete-folding", "--strip-header-spaces", "--permit-unconventional-http-method", "--permit-unconventional-http-version", "--casefold-http-method")),
        gone("--forwarder-headers", "has no counterpart: names with an underscore never reach WSGI"),
        value("--header-map", "--header-underscore", convert=_choice(dangerous="keep")),
        value("--asgi-loop", "--loop"),
        value("--asgi-lifespan", "--lifespan"),
        gone("--asgi-disconnect-grace-period", "has no counterpart; see --on-disconnect"),
        value("--websocket-max-message-size", "--ws-max-size"),
        value("--http-parser", "--http", convert=_choice(fast="httptools", python="h11")),
        value("--root-path", "--root-path"),
        gone("--worker-tmp-dir", "is not needed: workers beat over a pipe"),
        switch("--no-sendfile", note="has no counterpart; files are sent by the kernel where it can"),
        switch("--initgroups", note="is done with --user"),
        switch("--spew", note="has no counterpart"),
        switch("--check-config", note="has no counterpart; --print-config shows each option"),
        switch("--print-config", "--print-config"),
        *(gone(f"--dirty-{name}", "has no counterpart: run such work in a service of its own") for name in ("app", "workers", "timeout", "threads", "graceful-timeout")),
        *(gone(name, "has no counterpart: signals control the server") for name in ("--control-socket", "--control-socket-mode")),
        switch("--no-control-socket", note="is not needed"),
        switch("-v --version", "--version"),
    ),
    defaults=(
        ("timeout_keep_alive", "2s"),
        ("timeout_graceful_shutdown", "30s"),
        ("timeout_worker_stuck", "30s"),
        ("access_log", "off"),
    ),
    differs=(
        EXIT,
        "asgiserver.gunicorn.Worker is a worker class for those who keep gunicorn: gunicorn -k asgiserver.gunicorn.Worker",
    ),
    attribute="application",
    abbreviates=True,
    variables="GUNICORN_",
)

HYPERCORN = Peer(
    flags=(
        value("-b --bind", "--bind"),
        value("-w --workers", "--workers"),
        value("-k --worker-class", "--loop", convert=lambda text: None if text == "trio" else text),
        value("--access-log --access-logfile", "--access-log-file", convert=_unless("-")),
        gone("--access-logformat", "has another syntax: use --access-log-format combined, json or a template"),
        value("--error-log --error-logfile --log-file", "--log-file", convert=_unless("-")),
        value("--backlog", "--backlog"),
        value("--ca-certs", "--ssl-ca-certs"),
        value("--certfile", "--ssl-certfile"),
        value("--keyfile", "--ssl-keyfile"),
        value("--keyfile-password", "--ssl-keyfile-password"),
        value("--cert-reqs", "--ssl-cert-reqs", convert=CERT_REQS),
        value("--verify-mode", "--ssl-cert-reqs", convert=CERT_REQS),
        value("--ciphers", "--ssl-ciphers"),
        gone("-c --config", "names a file with other keys: translate it by hand into asgiserver.toml"),
        switch("-D --daemon", note=DAEMON),
        switch("--debug", "--log-level debug"),
        value("--graceful-timeout", "--timeout-graceful-shutdown"),
        value("--read-timeout", "--timeout-request-body"),
        value("--max-requests", "--limit-max-requests", convert=_unless("0")),
        value("--max-requests-jitter", "--limit-max-requests-jitter"),
        value("-g --group", "--group"),
        value("-u --user", "--user"),
        value("-m --umask", "", UMASK),
        value("--keep-alive", "--timeout-keep-alive"),
        gone("--insecure-bind", "has no counterpart: --ssl-redirect sends to https"),
        gone("--quic-bind", "has no counterpart: HTTP/3 is not served yet"),
        value("--log-config", "--log-config", convert=lambda text: text.removeprefix("json:").removeprefix("toml:")),
        value("--log-level", "--log-level", convert=LEVELS),
        value("-p --pid", "--pid"),
        switch("--reload", "--reload"),
        value("--root-path", "--root-path"),
        gone("--server-name", SERVER_NAME),
        gone("--statsd-host", STATSD),
        gone("--statsd-prefix", STATSD),
        value("--websocket-ping-interval", "--ws-ping-interval"),
    ),
    defaults=(
        ("timeout_keep_alive", "5s"),
        ("timeout_graceful_shutdown", "3s"),
        ("ws_ping_interval", "off"),
        ("access_log", "off"),
    ),
    differs=(EXIT, "HTTP/3 is not served; HTTP/2 and HTTP/1.1 are"),
    abbreviates=True,
)

GRANIAN = Peer(
    flags=(
        *_plain("--host", "--port", "--uds", "--workers", "--backlog", "--log-config", "--ssl-keyfile", "--ssl-keyfile-password"),
        value("--reload-paths", "--reload-dir"),
        value("--uds-permissions", "--uds-mode"),
        Flag(("--interface",)),  # see `granian_interface` in asgiserver.cli.migrate
        value("--http", "", "is not needed: HTTP/2 is served beside HTTP/1.1", convert=_unless("1", "auto")),
        switch("--ws", ""),
        switch("--no-ws", "--ws none"),
        value("--blocking-threads", "--wsgi-threads"),
        value("--loop", "--loop", convert=_choice(rloop="auto", winloop="auto")),
        *(gone(name, "belongs to granian's Rust runtime") for name in ("--blocking-threads-idle-timeout", "--runtime-threads", "--runtime-blocking-threads", "--runtime-mode", "--task-impl")),
        value("--backpressure", "--limit-concurrency", "answers 503 to requests beyond the limit; --overload queue lets them wait"),
        value("--http1-buffer-size", "--limit-request-head"),
        value("--http1-header-read-timeout", "--timeout-request-head", convert=_milliseconds),
        switch("--http1-keep-alive", ""),
        switch("--no-http1-keep-alive", "--timeout-keep-alive 0"),
        switch("--http1-pipeline-flush", note="is always done"),
        switch("--no-http1-pipeline-flush", ""),
        switch("--http2-adaptive-window", ""),
        switch("--no-http2-adaptive-window", note="has no counterpart: windows grow by themselves, up to --h2-max-window"),
        *(gone(f"--http2-initial-{name}-window-size", "is not needed: windows grow by themselves, up to --h2-max-window") for name in ("connection", "stream")),
        value("--http2-keep-alive-interval", "--h2-ping-interval", convert=_milliseconds),
        gone("--http2-keep-alive-timeout", "is 20 s"),
        value("--http2-max-concurrent-streams", "--h2-max-concurrent-streams"),
        gone("--http2-max-frame-size", "is 16 KiB"),
        value("--http2-max-headers-size", "--limit-request-head"),
        gone("--http2-max-send-buffer-size", "has no counterpart: an application waits until what it has sent has left"),
        switch("--log", ""),
        switch("--no-log", "--log-level critical"),
        value("--log-level", "--log-level", convert=LEVELS),
        *_switches("--access-log", "--no-access-log", "--reload", "--no-reload", "--factory", "--no-factory"),
        gone("--access-log-fmt", "has another syntax: use --access-log-format combined, json or a template"),
        value("--ssl-certificate", "--ssl-certfile"),
        value("--ssl-protocol-min", "--ssl-min-version", convert=_choice(**{"tls1.2": "1.2", "tls1.3": "1.3"})),
        value("--ssl-ca", "--ssl-ca-certs"),
        gone("--ssl-crl", "is set in an ssl_context_factory"),
        switch("--ssl-client-verify", "--ssl-cert-reqs required"),
        switch("--no-ssl-client-verify", ""),
        value("--url-path-prefix", "--root-path"),
        switch("--respawn-failed-workers", note="is always done, with a growing delay"),
        switch("--no-respawn-failed-workers", note="is always done, with a growing delay"),
        gone("--respawn-interval", "is not needed: the delay grows with each failure"),
        *(gone(name, "has no counterpart: memory is looked at with each beat of a worker") for name in ("--rss-sample-interval", "--rss-samples")),
        value("--workers-lifetime", "--max-worker-age"),
        value("--workers-max-rss", "--max-worker-rss", convert=_mebibytes),
        value("--workers-kill-timeout", "--timeout-graceful-shutdown"),
        value("--working-dir", "--app-dir", "becomes --app-dir: imports come from there, and the working directory stays"),
        value("--env-files", "--env-file"),
        Flag(("--static-path-route",)),  # see `granian_static` in asgiserver.cli.migrate
        Flag(("--static-path-mount",)),
        gone("--static-path-dir-to-file", "is always index.html"),
        gone("--static-path-expires", "has no counterpart: files are revalidated by ETag"),
        *(switch(name, note="has no counterpart: take metrics from the access log (--access-log-format json)") for name in ("--metrics", "--no-metrics")),
        *(gone(name, "has no counterpart") for name in ("--metrics-scrape-interval", "--metrics-address", "--metrics-port")),
        *(value(name, "--reload-exclude") for name in ("--reload-ignore-dirs", "--reload-ignore-patterns", "--reload-ignore-paths")),
        value("--reload-tick", "--reload-delay", convert=_milliseconds),
        switch("--reload-ignore-worker-failure", note="is always done"),
        switch("--no-reload-ignore-worker-failure", note="has no counterpart: the next change starts the worker again"),
        gone("--process-name", "is not needed: processes are titled with the application"),
        value("--pid-file", "--pid"),
        switch("--version", "--version"),
    ),
    defaults=(
        ("timeout_graceful_shutdown", "no limit"),
        ("timeout_request_head", "30s"),
        ("access_log", "off"),
        ("ssl_min_version", "1.3"),
    ),
    differs=(
        EXIT,
        "GRANIAN_* variables are not read; ASGISERVER_* are",
    ),
    variables="GRANIAN_",
)

DAPHNE = Peer(
    flags=(
        value("-p --port", "--port"),
        value("-b --bind", "--host"),
        value("-u --unix-socket", "--uds"),
        value("--fd", "--fd"),
        gone("-e --endpoint", "is Twisted's syntax: use --bind, --ssl-certfile and --ssl-keyfile"),
        value("-v --verbosity", "--log-level", convert=_choice(**{"0": "warning", "1": "info", "2": "debug", "3": "debug"})),
        value("-t --http-timeout", "--timeout-request"),
        value("--access-log", "--access-log-file", convert=_unless("-")),
        gone("--log-fmt", "is set in --log-config"),
        value("--ping-interval", "--ws-ping-interval"),
        value("--ping-timeout", "--ws-ping-timeout"),
        gone("--websocket_timeout --websocket-timeout", "has no counterpart: close the WebSocket in the application"),
        gone("--websocket_connect_timeout --websocket-connect-timeout", "has no counterpart: answer in time in the application"),
        value("--websocket-max-message-size", "--ws-max-size"),
        gone("--websocket-max-frame-size", "has no counterpart: --ws-max-size limits the whole message"),
        gone("--application-close-timeout", "has no counterpart: an application may end when it likes"),
        value("--root-path", "--root-path"),
        switch("--proxy-headers", "--proxy-headers", "believes only trusted proxies: name yours with --forwarded-allow-ips"),
        gone("--proxy-headers-host", "is not needed: X-Forwarded-For is read; see --forwarded-headers"),
        gone("--proxy-headers-port", "has no counterpart: X-Forwarded-For may hold the port"),
        Flag(("-s", "--server-name"), "--header Server:{}"),
        switch("--no-server-name", "--no-server-header"),
    ),
    defaults=(
        ("timeout_keep_alive", "no limit"),
        ("timeout_graceful_shutdown", "no wait"),
        ("ws_ping_timeout", "30s"),
    ),
    differs=(
        EXIT,
        "Django's runserver is still daphne's: remove daphne from INSTALLED_APPS, or keep it for development",
    ),
    attribute="application",
    abbreviates=True,
)

FASTAPI = Peer(
    flags=(
        *_plain("--host", "--port", "--workers", "--root-path", "--forwarded-allow-ips"),
        *_switches("--reload", "--proxy-headers", "--no-proxy-headers"),
        switch("--no-reload"),
        value("--app", ""),
        value("-e --entrypoint", ""),
    ),
    defaults=UVICORN.defaults,
    differs=(EXIT,),
)

SERVERS = {
    "uvicorn": UVICORN,
    "gunicorn": GUNICORN,
    "hypercorn": HYPERCORN,
    "granian": GRANIAN,
    "daphne": DAPHNE,
    "fastapi": FASTAPI,
}
