"""What a server says of itself once it serves: a panel on a terminal, else one line an address."""

from __future__ import annotations

import importlib.util
import logging
import sys
from typing import TYPE_CHECKING

from asgiserver import speedups
from asgiserver._version import __version__
from asgiserver.config.fields import has_tls
from asgiserver.log.columns import paint, wants_colors
from asgiserver.log.loggers import has_foreign_handlers, logger, write_text
from asgiserver.log.outlet import is_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgiserver.config.fields import Config

__all__ = ["announce", "make_panel"]

_EVERYWHERE = ("0.0.0.0", "[::]")
_BOLD, _DIM = "1", "2"


def announce(
    config: Config, addresses: Sequence[str], workers: int = 0, *, panel: bool = False
) -> None:
    """Say that requests are served; `workers` is 0 in a process that serves them itself.

    `panel` when the process is the server's own, so that Ctrl-C stops it.
    """
    if panel and shows_panel(config):
        colors = wants_colors(config.use_colors, sys.stderr)
        write_text(make_panel(config, addresses, workers, colors))
        return
    for address in addresses:
        logger.info("Serving on %s", address)


def shows_panel(config: Config) -> bool:
    """Whether a person sees the server's own log, and nobody else formats it."""
    return (
        config.log_format == "text"
        and config.log_file is None
        and is_terminal(sys.stderr)
        and logger.isEnabledFor(logging.INFO)
        and not has_foreign_handlers(logger)
    )


def make_panel(config: Config, addresses: Sequence[str], workers: int, colors: bool) -> str:
    """The panel, with its line ends."""

    def styled(text: str, code: str) -> str:
        return paint(text, code) if colors else text

    rows = [("Serving on", styled(address, _BOLD)) for address in clickable(addresses)]
    if workers:
        rows.append(("Workers", f"{workers}, reloading" if config.reload else str(workers)))
    rows.append(("Event loop", loop_name(config.loop)))
    rows.append(("HTTP/1", reader_name(config.http)))
    if has_tls(config):
        rows.append(("TLS", f"{config.ssl_min_version} or higher"))
    if config.sources:
        rows.append(("Options", ", ".join(config.sources)))
    what = config.app if isinstance(config.app, str) else type(config.app).__name__
    title = f"{styled(f'asgiserver {__version__}', _BOLD)}  {what}"
    width = max(len(name) for name, _ in rows)
    lines = ["", title, ""]
    last = ""
    for name, value in rows:
        shown = "" if name == last else name
        lines.append(f"{styled(f'{shown:<{width}}', _DIM)}  {value}")
        last = name
    lines += ["", styled("Ctrl-C stops", _DIM), ""]
    return "".join(f"  {line}".rstrip() + "\n" for line in lines)


def clickable(addresses: Sequence[str]) -> list[str]:
    """The addresses, and one that a browser on this machine takes for ``0.0.0.0`` and ``[::]``."""
    found: list[str] = []
    for address in addresses:
        found.append(address)
        if any(f"//{host}:" in address for host in _EVERYWHERE):
            scheme, _, rest = address.partition("//")
            found.append(f"{scheme}//localhost:{rest.rpartition(':')[2]}")
    return list(dict.fromkeys(found))


def loop_name(loop: str) -> str:
    """What ``--loop`` makes of `loop`."""
    if loop != "auto":
        return loop
    from asgiserver.server.loops import uvloop_fits

    return "uvloop" if uvloop_fits() else "asyncio"


def reader_name(http: str) -> str:
    """What reads request heads with ``--http``."""
    if http != "auto":
        return http
    if speedups.is_used:
        return "compiled core"
    parser = "httptools" if importlib.util.find_spec("httptools") else "h11"
    return f"{parser} (compiled core: {'stale' if speedups.is_stale else speedups.about})"
