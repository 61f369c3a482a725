"""Telling other programs that requests are served: ``--ready-file`` and ``--ready-fd``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from asgiserver.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgiserver.config.fields import Config


def announce_ready(config: Config, addresses: Sequence[str]) -> None:
    """Write ``{"addresses": [...], "pid": ...}``: whole, or not at all.

    Raises `StartupError` when it cannot be written: somebody waits for it.
    """
    if config.ready_file is None and config.ready_fd is None:
        return
    import json

    data = json.dumps({"addresses": list(addresses), "pid": os.getpid()}).encode() + b"\n"
    try:
        if config.ready_file is not None:
            draft = f"{config.ready_file}.{os.getpid()}"
            with open(draft, "wb") as file:
                file.write(data)
            os.replace(draft, config.ready_file)
        if config.ready_fd is not None:
            with open(config.ready_fd, "wb") as pipe:
                pipe.write(data)
    except OSError as error:
        raise StartupError(f"cannot announce readiness: {error}") from error


def withdraw_ready(config: Config) -> None:
    """Remove the ready file: the server is gone."""
    if config.ready_file is not None:
        try:
            os.unlink(config.ready_file)
        except OSError:
            pass
