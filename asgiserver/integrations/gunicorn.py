"""A worker class for gunicorn: ``gunicorn -k asgiserver.gunicorn.Worker main:app``.

gunicorn owns the sockets and the processes; a `Worker` serves in one of the processes. Only this
module imports gunicorn. It knows nothing of our own supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker as BaseWorker

from asgiserver.config.fields import has_tls
from asgiserver.config.options import resolve_keywords
from asgiserver.errors import ApplicationLoadError, NestedServerError, StartupError
from asgiserver.log.loggers import ACCESS_LOGGER, LOGGER
from asgiserver.server.application import load_outside_the_loop
from asgiserver.server.control_socket import answering
from asgiserver.server.importing import importing, outside_the_loop
from asgiserver.server.listener import Listener
from asgiserver.server.loops import loop_factory
from asgiserver.server.main_task import run_main
from asgiserver.server.runner import StopSignals, start_and_wait
from asgiserver.server.server import Server

if TYPE_CHECKING:
    from types import FrameType

    from asgiserver.config.fields import Config

__all__ = ["Worker"]

logger = logging.getLogger(LOGGER)

BEAT = 1.0
"""The longest time between two signs of life for gunicorn, in seconds."""

KILL_MARGIN = 2.0
"""Seconds that are left for the lifespan's shutdown before gunicorn kills the worker."""


class Worker(BaseWorker):  # type: ignore[misc,unused-ignore] # gunicorn is not typed
    """Serves the application of one gunicorn worker process.

    `OPTIONS` are fields of `asgiserver.Config` that override gunicorn's settings.
    """

    OPTIONS: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def load_wsgi(self) -> None:
        """Let gunicorn import the application under the conditions of our own import."""
        try:
            with outside_the_loop(self.log.warning), importing("the application"):
                super().load_wsgi()
        except NestedServerError as error:
            self.log.error("%s", error)
            sys.exit(Arbiter.APP_LOAD_ERROR)

    def init_signals(self) -> None:
        """Set up gunicorn's signals; `run` later replaces those that stop the worker."""
        super().init_signals()
        signal.set_wakeup_fd(-1)  # the event loop has a wake-up descriptor of its own

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGQUIT, gunicorn's quick stop: end running requests, then the lifespan."""
        if self.server is None or self._loop is None:
            super().handle_quit(sig, frame)
            return
        self.cfg.worker_int(self)
        server = self.server
        self._loop.call_soon_threadsafe(
            lambda: server.request_stop(timeout=0, reason=signal.Signals(sig).name)
        )

    def run(self) -> None:
        """Serve until gunicorn stops this worker, or the limit of requests is reached."""
        if not self.alive:
            return  # gunicorn has stopped the worker while the application was imported
        _log_to(self.log)
        try:
            self._run(self._config())
        except StartupError as error:
            logger.error("%s", error, exc_info=error.__cause__)
            load_error = isinstance(error, ApplicationLoadError)
            sys.exit(Arbiter.APP_LOAD_ERROR if load_error else Arbiter.WORKER_BOOT_ERROR)

    def _run(self, config: Config) -> None:
        for note in config.notes:
            logger.warning("%s", note)
        app = load_outside_the_loop(config)
        scheme = "https" if has_tls(config) else "http"
        listeners = [Listener(_duplicate(sock), None, scheme) for sock in self.sockets]
        with asyncio.Runner(loop_factory=loop_factory(config.loop)) as runner:
            self._loop = loop = runner.get_loop()
            self.server = server = Server(config, listeners=listeners, app=app)
            with StopSignals(loop, server) as signals, answering(config):
                run_main(runner, self._serve(server, signals))

    async def _serve(self, server: Server, signals: StopSignals) -> None:
        self._beat()
        await start_and_wait(server, signals)

    def _beat(self) -> None:
        """Give a sign of life from the event loop, so that a blocked loop gives none."""
        assert self._loop is not None
        assert self.server is not None
        self.notify()
        if self.server.started:
            self.nr = self.server.view.snapshot().requests
            if self.nr >= self.max_requests:
                self.server.request_stop(reason=f"{self.nr} requests served")
            elif not self.alive:
                self.server.request_stop(reason="reload")
            elif os.getppid() != self.ppid:
                self.server.request_stop(reason="gunicorn is gone")
        self._loop.call_later(min(BEAT, (self.timeout or BEAT) / 2), self._beat)

    def _config(self) -> Config:
        """gunicorn's settings as our configuration. Raises `ConfigError`."""
        cfg = self.cfg
        grace = cfg.graceful_timeout
        header_map = getattr(cfg, "header_map", "drop")  # since gunicorn 22
        options: dict[str, Any] = {
            "workers": 1,
            "reload": False,
            "port": 0,
            "bind": (),
            "uds": None,
            "fd": None,
            "log_level": "info",  # gunicorn's logger has a level already
            "access_log": bool(cfg.accesslog or cfg.logconfig or cfg.logconfig_dict),
            "header_underscore": "keep" if header_map == "dangerous" else header_map,
            "timeout_keep_alive": cfg.keepalive,
            "timeout_graceful_shutdown": max(grace - KILL_MARGIN, grace / 2),
            "forwarded_allow_ips": [*_hosts(cfg.forwarded_allow_ips), "unix"],
            "backlog": cfg.backlog,
            "limit_request_line": cfg.limit_request_line or "off",
            "limit_request_fields": cfg.limit_request_fields,
            "wsgi_threads": max(cfg.threads, 1) if cfg.threads > 1 else None,
            "root_path": getattr(cfg, "root_path", "") or None,
        }
        proxy_protocol = getattr(cfg, "proxy_protocol", False)
        if proxy_protocol not in (False, "off"):
            options["proxy_protocol"] = "auto" if proxy_protocol is True else proxy_protocol
            options["proxy_protocol_allow_ips"] = [*_hosts(cfg.proxy_allow_ips), "unix"]
        if cfg.is_ssl:
            options |= self._tls_options()
        options = {name: value for name, value in options.items() if value is not None}
        return resolve_keywords(self.wsgi, {**options, **self.OPTIONS}, env=True).config

    def _tls_options(self) -> dict[str, Any]:
        cfg = self.cfg
        options = {
            "ssl_certfile": cfg.certfile,
            "ssl_keyfile": cfg.keyfile,
            "ssl_ca_certs": cfg.ca_certs,
            "ssl_ciphers": cfg.ciphers,
            "ssl_cert_reqs": int(cfg.cert_reqs),
        }
        hook = cfg.settings["ssl_context"]
        if hook.get() is not hook.default:
            options["ssl_context_factory"] = lambda _config, make: cfg.ssl_context(cfg, make)
        return options


def _hosts(addresses: str | list[str]) -> list[str]:
    return addresses.split(",") if isinstance(addresses, str) else list(addresses)


def _duplicate(sock: Any) -> socket.socket:
    """A duplicate of a socket of gunicorn, which keeps and closes its own."""
    return socket.socket(fileno=os.dup(sock.fileno()))


def _log_to(log: Any) -> None:
    """Send the server's log records where gunicorn's own records go."""
    for name, theirs in ((LOGGER, log.error_log), (ACCESS_LOGGER, log.access_log)):
        ours = logging.getLogger(name)
        ours.handlers = list(theirs.handlers)
        ours.setLevel(theirs.level)
        ours.propagate = False
