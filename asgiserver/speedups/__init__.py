"""The compiled core: whether it is there, and if not, why.

It is built with the package where there is a C compiler. Whatever it does, Python does too, so
nothing but speed depends on it (docs/adr/0023). ``ASGISERVER_SPEEDUPS=0`` leaves it out.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["BUILD", "VARIABLE", "about", "choose", "is_stale", "is_used"]

VARIABLE = "ASGISERVER_SPEEDUPS"

BUILD = 6
"""What the compiled core has to say it is: see the constant of the same name in ``_core.c``."""


def find() -> tuple[bool, bool, str]:
    """Whether the core can be used, whether it is one of other sources, and that in words."""
    if os.environ.get(VARIABLE) == "0":
        return False, False, f"off by {VARIABLE}=0"
    try:
        # Not from the package: that says of a missing module only that a name is missing.
        import asgiserver.speedups._core as _core
    except ModuleNotFoundError:
        return False, False, "not built"
    except ImportError as error:
        return False, False, f"cannot be loaded: {error}"
    if _core.BUILD != BUILD:
        return False, True, "built from other sources: install asgiserver again"
    return True, False, "in use"


is_used, is_stale, about = find()


def choose(name: str, otherwise: Any) -> Any:
    """What the core calls `name`, when it is used, or `otherwise`."""
    if not is_used:
        return otherwise
    import asgiserver.speedups._core as _core

    return getattr(_core, name)
