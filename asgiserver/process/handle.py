"""A worker as the supervisor sees it: its process, its channels, and what is known of its health.

This module decides nothing (see `plan`), and no code of it runs in the worker.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from asgiserver.errors import BROKEN_OFF, ApplicationLoadError
from asgiserver.process.child import exit_text
from asgiserver.process.control import Beat, ControlSocket, Failed, Message, Stop
from asgiserver.process.plan import Phase, View
from asgiserver.process.recycling import Recycling
from asgiserver.process.told import Told

if TYPE_CHECKING:
    import socket

    from asgiserver.config.fields import Config
    from asgiserver.process.child import ChildProcess

__all__ = ["WorkerHandle"]

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
        process: ChildProcess,
        control: socket.socket,
        stacks_channel: socket.socket,
        *,
        slot: int = 0,
        generation: int = 0,
        now: float = 0.0,
    ) -> None:
        self.process = process
        self.slot = slot
        self.generation = generation
        self.control = ControlSocket(control)
        self.told = Told(stacks_channel)

        self.phase = Phase.BOOTING
        self.born = now
        self.ready_at: float | None = None
        self.failed: Failed | None = None
        self.reason = ""  # why it leaves
        self.kill_at = float("inf")
        self.killed = False

        self.beat_at = now
        self.last = Beat()
        self.stacks_at: float | None = None

        self.retire = ""
        self.cell = 0  # on the load board
        self.longest_stop = 0.0  # seconds that its own staged stop may take
        self._recycling = Recycling()

    def __repr__(self) -> str:
        return f"<WorkerHandle {self.slot} pid={self.pid} {self.phase.value} {self.reason}>"

    def __str__(self) -> str:
        return f"Worker {self.slot} (pid {self.pid})"

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self.process.pid

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

    def read_failure(self) -> Failed | None:
        """The failure that the worker reported; None when it reported none."""
        try:
            messages = self.control.read()
        except EOFError:
            return None
        return next((message for message in messages if isinstance(message, Failed)), None)

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
            self.process.signal(signal.SIGTERM)  # a worker reads orders only once it has started
            return
        try:
            self.control.send(order)
        except OSError:
            self.process.signal(signal.SIGTERM)  # the socket is full or closed

    def tell(self, message: Message) -> None:
        """Send an order that may be lost: the worker may be stuck, or end."""
        try:
            self.control.send(message)
        except OSError:
            pass

    # Its health ------------------------------------------------------------------------------

    def use(self, config: Config) -> None:
        """Note what of `config`, with which the worker was started, its supervisor has to heed."""
        self._recycling = Recycling(config)
        self.longest_stop = config.timeout_graceful_shutdown + config.timeout_lifespan_shutdown

    def on_beat(self, beat: Beat, now: float) -> None:
        """Note that the worker's loop turns, and whether the worker is to be recycled."""
        self.last = beat
        self.beat_at = now
        self.stacks_at = None
        self.retire = self.retire or self._recycling.reason(beat, now - self.born)

    # Its end ---------------------------------------------------------------------------------

    @property
    def failure(self) -> Failed:
        """Why the worker could not start: its own report, or else its exit code."""
        text = f"it ended with {exit_text(self.process.exit_code or 0)}"
        return self.failed or Failed(ApplicationLoadError.exit_code, text)

    @property
    def told_to_end(self) -> bool:
        """Whether SIGTERM broke off the start-up, so that the application is not at fault."""
        by_signal = (-signal.SIGTERM, BROKEN_OFF + signal.SIGTERM)
        return self.failed is None and self.process.exit_code in by_signal

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
