"""Event loops by name: what ``--loop`` means.

This module knows nothing of servers, and imports a loop library only when its loop is chosen.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from asgiserver.errors import ConfigError
from asgiserver.server.loading import load_object

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["loop_factory", "uvloop_fits"]


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The factory of the event loop called `name`, for `asyncio.Runner`.

    ``auto`` (uvloop where it is installed and made for the platform, else asyncio), ``asyncio``,
    ``uvloop``,
    ``none`` (whatever loop asyncio's policy makes), or ``module:factory``. Raises `ConfigError`.
    """
    if name == "auto":
        name = "uvloop" if uvloop_fits() else "asyncio"
    if name == "uvloop":
        return _uvloop()
    if name == "asyncio":
        return _asyncio()
    if name == "none":
        import asyncio

        return asyncio.new_event_loop
    if ":" not in name:
        raise ConfigError(f"loop: expected auto, asyncio, uvloop or module:factory, not {name!r}")
    factory: Any = load_object(name)
    if not callable(factory):
        raise ConfigError(f"loop: {name!r} cannot be called to make an event loop")
    return factory  # type: ignore[no-any-return]


def uvloop_fits() -> bool:
    """Whether ``auto`` means uvloop."""
    made_for = sys.implementation.name == "cpython" and sys.platform != "win32"
    return made_for and importlib.util.find_spec("uvloop") is not None


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        raise ConfigError("loop: uvloop is not installed; pip install uvloop") from None
    return uvloop.new_event_loop


def _asyncio() -> Callable[[], asyncio.AbstractEventLoop]:
    """The standard library's own loop, whatever the policy is."""
    import asyncio

    if sys.platform == "win32":
        return asyncio.ProactorEventLoop
    return asyncio.SelectorEventLoop
