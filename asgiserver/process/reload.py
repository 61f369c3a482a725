"""Watch files during development, and tell which one has changed.

This module knows patterns and modification times, but not what is restarted because of them.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from asgiserver.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asgiserver.config.fields import Config

__all__ = ["FileFilter", "Watcher", "short_path"]

logger = logging.getLogger("asgiserver")

INCLUDES = ("*.py",)
EXCLUDES = (".*", "*.py[cod]", "*.sw?", "*~", "__pycache__", "node_modules", "site-packages")
ENVIRONMENT_MARK = "pyvenv.cfg"  # a file that every virtual environment has at its top
CPU_SHARE = 0.005  # looking at the files costs at most this part of one CPU
# Changes are reported after so many seconds without another one, because an editor or a checkout
# writes several files.
SETTLE = 0.05


class FileFilter:
    """Which files below which directories are watched, by patterns of names or relative paths."""

    def __init__(self, config: Config) -> None:
        """Raises `ConfigError` when the current directory is to be watched, but was deleted."""
        names = config.reload_dirs or (".", config.app_dir or ".")
        # A pattern to include may name a directory, which is watched as well.
        folders = [*names, *filter(os.path.isdir, config.reload_includes)]
        try:
            self.directories = [
                Path(name) for name in dict.fromkeys(map(os.path.realpath, folders))
            ]
            excluded = map(os.path.realpath, filter(os.path.isdir, config.reload_excludes))
            self._excluded_dirs = set(map(Path, excluded))
        except OSError as error:
            text = f"reload_dir: the current directory is gone ({error.strerror}); name another one"
            raise ConfigError(text) from None
        self._includes = tuple(pattern.removeprefix("./") for pattern in config.reload_includes)
        self._excludes = config.reload_excludes

    def __repr__(self) -> str:
        return f"<FileFilter {', '.join(map(str, self.directories))}>"

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every watched file, with its status."""
        for top in self.directories:
            yield from self._below(top, top, (*INCLUDES, *self._includes))

    def _below(
        self, folder: Path, top: Path, patterns: tuple[str, ...]
    ) -> Iterator[tuple[str, os.stat_result]]:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return  # the folder is gone by now, or this process may not read it
        if folder != top and any(entry.name == ENVIRONMENT_MARK for entry in entries):
            return
        for entry in entries:
            path = Path(entry.path)
            left = self._narrowed(patterns, path, top)
            if not left:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    yield from self._below(path, top, left)
                elif _matches(path, top, left):
                    yield entry.path, entry.stat()
            except OSError:
                continue

    def counts(self, name: str) -> bool:
        """Whether the file `name` is watched."""
        path = Path(name)
        return any(path.is_relative_to(top) and self._counts(path, top) for top in self.directories)

    def _counts(self, path: Path, top: Path) -> bool:
        inside = path.relative_to(top).parts
        parents = [top.joinpath(*inside[: count + 1]) for count in range(len(inside))]
        patterns = (*INCLUDES, *self._includes)
        for parent in parents:
            patterns = self._narrowed(patterns, parent, top)
        return _matches(path, top, patterns) and not any(
            (parent / ENVIRONMENT_MARK).exists() for parent in parents[:-1]
        )

    def _narrowed(self, patterns: tuple[str, ...], path: Path, top: Path) -> tuple[str, ...]:
        """The patterns that may match `path` or a file below it."""
        if path in self._excluded_dirs or _matches(path, top, self._excludes):
            return ()
        if any(fnmatch.fnmatch(path.name, exclude) for exclude in EXCLUDES):
            return tuple(pattern for pattern in patterns if _is_meant(path, top, pattern))
        return patterns

    def warnings(self, config: Config) -> list[str]:
        """One line for each directory that does not exist and each pattern that matches nothing."""
        lines = [
            f"reload_dir {top} is not a directory" for top in self.directories if not top.is_dir()
        ]
        given = (
            ("include", config.reload_includes, self._finds_file),
            ("exclude", config.reload_excludes, self._finds),
        )
        for kind, patterns, finds in given:
            lines += [
                f"reload_{kind} {pattern!r} matches nothing below {self.directories[0]}"
                for pattern in patterns
                if not os.path.isdir(pattern) and not finds(pattern.removeprefix("./"))
            ]
        return lines

    def _finds_file(self, pattern: str) -> bool:
        """Whether a file is watched because of `pattern`."""
        return any(
            _matches(Path(name), top, (pattern,))
            for top in self.directories
            for name, _ in self._below(top, top, (pattern,))
        )

    def _finds(self, pattern: str) -> bool:
        for top in self.directories:
            for folder, dirs, files in os.walk(top):
                dirs[:] = [d for d in dirs if not _matches(Path(folder, d), top, EXCLUDES)]
                if any(_matches(Path(folder, name), top, (pattern,)) for name in (*dirs, *files)):
                    return True
        return False


def _matches(path: Path, top: Path, patterns: tuple[str, ...]) -> bool:
    relative = path.relative_to(top).as_posix()
    return any(
        fnmatch.fnmatch(path.name, pattern) or fnmatch.fnmatch(relative, pattern)
        for pattern in patterns
    )


def _is_meant(path: Path, top: Path, pattern: str) -> bool:
    """Whether `pattern` includes `path`, or a folder above it, which the defaults exclude.

    As a wildcard in a shell does not stand for the dot of a hidden name, the pattern has to spell
    out what the defaults exclude: ``.env``, ``.env*`` and ``*.swp`` do so, ``*`` does not.
    """
    parts = pattern.split("/")
    depth = len(path.relative_to(top).parts)
    if len(parts) == 1:
        part = pattern
    elif depth <= len(parts):
        part = parts[depth - 1]
    else:
        return False
    return fnmatch.fnmatch(path.name, part) and all(
        fnmatch.fnmatch(part, exclude)
        for exclude in EXCLUDES
        if fnmatch.fnmatch(path.name, exclude)
    )


def short_path(path: str) -> str:
    """`path` relative to the current directory, or unchanged where that is impossible."""
    try:
        return os.path.relpath(path)
    except (ValueError, OSError):  # the path is on another drive, or the directory was deleted
        return path


class Watcher:
    """A thread that calls `on_change` when a file has changed; `changed` holds paths of such files.

    The thread uses watchfiles where that is installed, and else compares modification times.
    """

    def __init__(self, config: Config, on_change: Callable[[], None]) -> None:
        self.changed: deque[str] = deque()
        self._filter = FileFilter(config)
        self._delay = config.reload_delay
        self._on_change = on_change
        self._stop = threading.Event()
        self._config = config
        self._known: dict[str, tuple[int, int]] = {}
        self._thread = threading.Thread(target=self._run, name="asgiserver-reload", daemon=True)

    def __repr__(self) -> str:
        return f"<Watcher {self._filter!r} {'stopped' if self._stop.is_set() else 'watching'}>"

    def start(self, *, warn: bool = True) -> None:
        """Begin to watch; no change after the return of this method is missed.

        Without `warn`, nothing is said of patterns that match no file.
        """
        for line in self._filter.warnings(self._config) if warn else ():
            logger.warning("%s", line)
        self._known = self._look()
        self._thread.start()
        logger.info("Watching for changes in %s", ", ".join(map(str, self._filter.directories)))

    def take_changed(self) -> str:
        """The path of the first of the files that have changed; all of them are forgotten."""
        path = self.changed[0]
        self.changed.clear()
        return path

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            import watchfiles
        except ImportError:
            self._poll()
            return
        first = True
        for changes in watchfiles.watch(
            *(path for path in self._filter.directories if path.is_dir()),
            watch_filter=lambda _change, path: self._filter.counts(path),
            stop_event=self._stop,
            step=int(SETTLE * 1000),
            debounce=int(max(SETTLE, self._delay) * 1000),
            rust_timeout=500,
            yield_on_timeout=True,
        ):
            # The first comparison finds the changes from before watchfiles had begun to watch.
            if changes or first:
                first = False
                self._compare(self._look())

    def _poll(self) -> None:
        pause = self._delay
        while not self._stop.wait(pause):
            began = time.thread_time()
            seen = self._look()
            pause = max(self._delay, (time.thread_time() - began) / CPU_SHARE)
            if seen == self._known:
                continue
            before = None
            while seen != before and not self._stop.wait(SETTLE):
                before, seen = seen, self._look()
            self._compare(seen)

    def _look(self) -> dict[str, tuple[int, int]]:
        return {name: (stat.st_mtime_ns, stat.st_size) for name, stat in self._filter.files()}

    def _compare(self, seen: dict[str, tuple[int, int]]) -> None:
        changed = sorted(dict(seen.items() ^ self._known.items()))
        self._known = seen
        if changed:
            self.changed.append(changed[0])
            self._on_change()
