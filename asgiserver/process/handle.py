"""A worker as the supervisor sees it: its process, its channels, and what is known of its health.

It decides nothing (see `plan`) and contains none of the logic that the worker itself executes.
"""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

from asgiserver.errors import BROKEN_OFF, ApplicationLoadError
from asgiserver.process.control import Beat, Failed, Lines, Message, Stop, encode
from asgiserver.process.plan import Phase, View

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from asgiserver.config.fields import Config

__all__ = ["WorkerHandle", "exit_text", "size_text"]

# Samples of memory in a row that must be above the limit.
RSS_SAMPLES = 3
MAX_STACKS = 1 << 20  # bytes kept of what a worker writes about itself


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
        self.stacks_channel = stacks_channel
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
        self.stacks = bytearray()
        self.flush_at = float("inf")  # log the stacks then: no more of them came for a while

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
        """What the worker has reported; nothing when there is nothing. Raises `EOFError`."""
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
        """The text of what it reported as its failure; empty when there is none."""
        try:
            messages = self.read_control()
        except EOFError:
            return ""
        return next((message.text for message in messages if isinstance(message, Failed)), "")

    def read_stacks(self, now: float) -> bool:
        """Gather what the worker wrote about its stacks; False at the end of the channel."""
        try:
            data = self.stacks_channel.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if data and len(self.stacks) < MAX_STACKS:
            self.stacks += data
            self.flush_at = now + 0.2
        return bool(data)

    def take_stacks(self) -> str:
        """The text gathered so far, which is then forgotten."""
        text = self.stacks.decode("utf-8", "replace").strip()
        self.stacks.clear()
        self.flush_at = float("inf")
        return text

    def close(self) -> None:
        """Close both channels."""
        self.control.close()
        self.stacks_channel.close()

    # Orders ----------------------------------------------------------------------------------

    def leave(self, order: Stop, kill_at: float) -> None:
        """Begin its end: killed at `kill_at` if it is still there."""
        self.phase = Phase.LEAVING
        self.reason = self.reason or order.reason
        self.kill_at = kill_at
        if self.ready_at is None:
            self.signal(signal.SIGTERM)  # it reads orders only when it has started
            return
        try:
            self.control.send(encode(order))
        except OSError:
            self.signal(signal.SIGTERM)  # its socket is full or gone

    def signal(self, signum: int) -> None:
        """Send a signal; quiet when the process has just ended."""
        if self.exit_code is None:
            try:
                os.kill(self.pid, signum)
            except OSError:  # on Windows that is no ProcessLookupError
                pass

    def has_ended(self) -> bool:
        """Reap the process if it is over."""
        if self.exit_code is None:
            self.exit_code = self._poll()
        return self.exit_code is not None

    @property
    def failure(self) -> Failed:
        """Why it could not start, by its own account if it gave one."""
        text = f"it ended with {exit_text(self.exit_code or 0)}"
        return self.failed or Failed(ApplicationLoadError.exit_code, text)

    @property
    def told_to_end(self) -> bool:
        """Whether SIGTERM broke off its start-up: nothing is wrong with the application."""
        by_signal = (-signal.SIGTERM, BROKEN_OFF + signal.SIGTERM)
        return self.failed is None and self.exit_code in by_signal

    # Recycling -------------------------------------------------------------------------------

    def set_limits(self, config: Config) -> None:
        """Its lifetime, with the requests drawn at random within the jitter."""
        if config.limit_max_requests is not None:
            jitter = random.randint(0, config.limit_max_requests_jitter)
            self._max_requests = config.limit_max_requests + jitter
        self._max_age = config.max_worker_age
        self._max_rss = config.max_worker_rss
        self.longest_stop = config.timeout_graceful_shutdown + config.timeout_lifespan_shutdown

    def on_beat(self, beat: Beat, now: float) -> None:
        """The loop is alive; see whether the worker has had its time."""
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
    """Bytes for people."""
    return f"{size / (1 << 20):.1f} MiB"
