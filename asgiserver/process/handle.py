"""A worker as the supervisor sees it: its process, its channels, and what is known of its health.

This module decides nothing (see `plan`), and no code of it runs in the worker.
"""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

from asgiserver.errors import BROKEN_OFF, ApplicationLoadError
from asgiserver.process.control import Beat, Failed, Lines, Message, Stop, encode
from asgiserver.process.plan import Phase, View
from asgiserver.process.told import Told

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from asgiserver.config.fields import Config

__all__ = ["WorkerHandle", "exit_text", "size_text"]

RSS_SAMPLES = 3  # a worker is recycled after so many samples in a row above the limit of memory
# Causes of a restart by how the reason of the worker's end begins.
_CAUSES = {
    "restart": "restart",
    "blocked": "stuck",
    "it has served": "max_requests",
    "it is": "max_age",
    "its memory is": "max_rss",
    "an operator": "operator",
}


class WorkerHandle:
    """One worker process. Times are seconds of the supervisor's clock."""

    def __init__(
        self,
        pid: int,
        poll: Callable[[], int | None],
        control: socket.socket,
        stacks_channel: socket.socket,
        *,
        slot: int = 0,
        generation: int = 0,
        now: float = 0.0,
    ) -> None:
        self.pid = pid
        self.slot = slot
        self.generation = generation
        self.control = control
        self.told = Told(stacks_channel)
        self._poll = poll
        self._lines = Lines()

        self.phase = Phase.BOOTING
        self.born = now
        self.ready_at: float | None = None
        self.exit_code: int | None = None  # negative: the signal that ended it
        self.failed: Failed | None = None
        self.reason = ""  # why it leaves
        self.kill_at = float("inf")
        self.killed = False

        self.beat_at = now
        self.last = Beat()
        self.stacks_at: float | None = None

        self.retire = ""
        self.cell = 0  # on the load board
        self.forked = False
        self.longest_stop = 0.0  # seconds that its own staged stop may take
        self._max_requests: int | None = None
        self._max_age = float("inf")
        self._max_rss = float("inf")
        self._rss_above = 0

    def __repr__(self) -> str:
        return f"<WorkerHandle {self.slot} pid={self.pid} {self.phase.value} {self.reason}>"

    def __str__(self) -> str:
        return f"Worker {self.slot} (pid {self.pid})"

    def view(self) -> View:
        """What `plan` needs to know."""
        return View(
            pid=self.pid,
            slot=self.slot,
            generation=self.generation,
            phase=self.phase,
            beat=self.beat_at,
            retire=self.retire,
            stacks_at=self.stacks_at,
            kill_at=self.kill_at,
            killed=self.killed,
        )

    # Channels --------------------------------------------------------------------------------

    def read_control(self) -> list[Message]:
        """What the worker has reported so far, without waiting.

        Raises `EOFError` when the worker has closed its end.
        """
        try:
            data = self.control.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            raise EOFError
        return self._lines.feed(data)

    def read_failure(self) -> str:
        """The text of the failure that the worker reported; empty when it reported none."""
        try:
            messages = self.read_control()
        except EOFError:
            return ""
        return next((message.text for message in messages if isinstance(message, Failed)), "")

    def close(self) -> None:
        """Close both channels."""
        self.control.close()
        self.told.close()

    # Orders ----------------------------------------------------------------------------------

    def leave(self, order: Stop, kill_at: float) -> None:
        """Tell the worker to end; it is to be killed if it still runs at `kill_at`."""
        self.phase = Phase.LEAVING
        self.reason = self.reason or order.reason
        self.kill_at = kill_at
        if self.ready_at is None:
            self.signal(signal.SIGTERM)  # a worker reads orders only once it has started
            return
        try:
            self.control.send(encode(order))
        except OSError:
            self.signal(signal.SIGTERM)  # the socket is full or closed

    def tell(self, message: Message) -> None:
        """Send an order that may be lost: the worker may be stuck, or end."""
        try:
            self.control.send(encode(message))
        except OSError:
            pass

    def signal(self, signum: int) -> None:
        """Send a signal; no error when the process has just ended."""
        if self.exit_code is None:
            try:
                os.kill(self.pid, signum)
            except OSError:  # on Windows the error is no ProcessLookupError
                pass

    def has_ended(self) -> bool:
        """Reap the process if it has ended, and tell whether it has."""
        if self.exit_code is None:
            self.exit_code = self._poll()
        return self.exit_code is not None

    @property
    def failure(self) -> Failed:
        """Why the worker could not start: its own report, or else its exit code."""
        text = f"it ended with {exit_text(self.exit_code or 0)}"
        return self.failed or Failed(ApplicationLoadError.exit_code, text)

    @property
    def told_to_end(self) -> bool:
        """Whether SIGTERM broke off the start-up, so that the application is not at fault."""
        by_signal = (-signal.SIGTERM, BROKEN_OFF + signal.SIGTERM)
        return self.failed is None and self.exit_code in by_signal

    @property
    def cause(self) -> str:
        """Why the worker that has ended is to be replaced, as a word; empty when it is not."""
        if self.phase is Phase.BOOTING:
            return "failed_start"
        if self.phase is Phase.READY:
            return "died"
        for reason, cause in _CAUSES.items():
            if self.reason.startswith(reason):
                return cause
        return "" if self.reason in ("stop", "scale down") else "other"

    # Recycling -------------------------------------------------------------------------------

    def set_limits(self, config: Config) -> None:
        """Set the limits after which the worker is recycled; the jitter of requests is random."""
        if config.limit_max_requests is not None:
            jitter = random.randint(0, config.limit_max_requests_jitter)
            self._max_requests = config.limit_max_requests + jitter
        self._max_age = config.max_worker_age
        self._max_rss = config.max_worker_rss
        self.longest_stop = config.timeout_graceful_shutdown + config.timeout_lifespan_shutdown

    def on_beat(self, beat: Beat, now: float) -> None:
        """Note that the worker's loop turns, and whether the worker is to be recycled."""
        self.last = beat
        self.beat_at = now
        self.stacks_at = None
        self._rss_above = self._rss_above + 1 if beat.rss > self._max_rss else 0
        if self.retire:
            return
        age = now - self.born
        if self._max_requests is not None and beat.requests >= self._max_requests:
            self.retire = f"it has served {beat.requests} requests"
        elif age >= self._max_age:
            self.retire = f"it is {age:.0f} s old"
        elif self._rss_above >= RSS_SAMPLES:
            self.retire = f"its memory is {size_text(beat.rss)}"


def exit_text(code: int) -> str:
    """How a process ended: ``exit code 1`` or ``SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def size_text(size: int) -> str:
    """A number of bytes in a unit for people, such as ``1.5 MiB``."""
    return f"{size / (1 << 20):.1f} MiB"
