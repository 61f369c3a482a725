"""The application as it is configured: imported, ASGI 3, with static files in front of it.

This module knows nothing of loops and listeners.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from asgiserver.asgi.older.interface import as_asgi3
from asgiserver.server.importing import outside_the_loop
from asgiserver.server.loading import detect_interface, load_application, load_env_files
from asgiserver.server.standard_streams import open_missing

if TYPE_CHECKING:
    from asgiserver.config.fields import Config
    from asgiserver.types import ASGIApplication

__all__ = ["load", "load_outside_the_loop"]

logger = logging.getLogger("asgiserver")


def load_outside_the_loop(config: Config) -> ASGIApplication:
    """Call `load` before a loop runs in this thread, in a single process and in a worker alike."""
    if not (isinstance(config.app, str) or config.factory):
        return load(config)  # nothing is imported, so the program's own event loop stays as it is
    with outside_the_loop(logger.warning):
        return load(config)


def load(config: Config) -> ASGIApplication:
    """Import the application, make it ASGI 3 and put static files in front of it.

    Raises `ApplicationLoadError` or `ConfigError`.
    """
    load_env_files(config.env_file)
    begun = time.monotonic()
    app = load_application(config.app, factory=config.factory, app_dir=config.app_dir)
    logger.debug("Application: loaded %s in %.2f s", config.app, time.monotonic() - begun)
    open_missing()  # the application may have closed standard streams
    interface = config.interface
    if interface == "auto":
        interface = detect_interface(app)
    asgi3 = as_asgi3(app, interface, config.wsgi_threads)
    if interface != "asgi3" and config.interface == "auto":
        logger.info("The application is served as %s", interface.upper())
    if not config.static:
        return asgi3
    from asgiserver.static.app import StaticFiles

    return StaticFiles(asgi3, config.static)
