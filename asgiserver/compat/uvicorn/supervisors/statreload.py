"""Watching only files that a method names, for programs that override it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiserver.compat.uvicorn.supervisors.basereload import BaseReload

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asgiserver.compat.uvicorn.config import Config

__all__ = ["StatReload"]


class StatReload(BaseReload):
    """Compares the modification times of the files of `iter_py_files`."""

    reloader_name = "StatReload"

    def __init__(
        self, config: Config, target: Callable[..., Any], sockets: list[socket.socket]
    ) -> None:
        super().__init__(config, target, sockets)
        self.mtimes: dict[Path, float] = {}

    def should_restart(self) -> list[Path] | None:
        """The first file that has changed since the last call."""
        self.pause()
        for path in self.iter_py_files():
            try:
                time = path.stat().st_mtime
            except OSError:
                continue  # the file is gone by now
            if self.mtimes.setdefault(path, time) < time:
                return [path]
        return None

    def restart(self) -> None:
        """Restart the child, and forget the times."""
        self.mtimes = {}
        super().restart()

    def iter_py_files(self) -> Iterator[Path]:
        """All Python files in the directories that are watched."""
        for folder in self.config.reload_dirs:
            for path in sorted(folder.rglob("*.py")):
                yield path.resolve()
