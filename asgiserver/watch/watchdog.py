"""One thread of a process that serves: it notices event loops that are blocked, and says by what.

The thread asks each loop to call a function, four times a second by default, and so needs no timer
on the loop. When the call does not come, it looks at the stack of the loop's thread. The same
thread answers those who ask what the process is doing: it runs while the loop is blocked.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from asgiserver.config.values import OFF
from asgiserver.log.loggers import logger
from asgiserver.metrics.histogram import Histogram
from asgiserver.watch.frames import stack_of
from asgiserver.watch.measure import Clocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asgiserver.context import ServerContext
    from asgiserver.watch.door import Door
    from asgiserver.watch.frames import Stack
    from asgiserver.watch.stall import Stall

__all__ = ["ANSWER", "ASK", "Watchdog", "WatchedLoop", "blocked_for", "take_dump", "watchdog"]

LOOKS = 2
"""Looks at a loop in the time after which it counts as blocked."""

SAMPLES = 5
"""Looks at the stack of a loop that does not answer, in the time between two looks otherwise."""

PAUSED = 1.0
"""Seconds for which a process has to be paused to be worth a line."""

LATE = 0.1
"""Seconds by which a thread may be late on a busy machine."""

COMPUTED = 0.5
"""The part of a pause for which a process has computed, or waited for the CPU, if it was none."""

HELD = 1000
"""The weight of the stack that is seen when code in C lets go of the interpreter lock."""

LONGEST_PAUSE = 86400.0
"""Seconds between two looks at the most; selectors cannot wait for as long as options allow."""

END_WAIT = 2.0
"""Seconds to wait for the end of the thread, which may wait for a handler of `logging`."""

ASK = b"dump\n"
"""What the supervisor writes to the channel of a worker that shall tell what it does."""

ANSWER = b"\x1e"
"""What precedes the answer, a line of JSON. No text that `faulthandler` writes contains it."""


class WatchedLoop:
    """An event loop, as the watchdog sees it. Times are seconds of `time.monotonic`."""

    def __init__(self, context: ServerContext) -> None:
        self.context = context
        self.warn = OFF  # until the start-up is complete
        self.while_blocked: Callable[[], None] | None = None
        self.thread = threading.get_ident()
        self.stall: Stall | None = None
        self.asked_at = 0.0
        self.answered_at: float | None = 0.0  # None: not yet
        self.clocks = Clocks()
        self._lag = Histogram()
        context.stats.lag = self._lag.numbers
        self._before = self.clocks.read()

    def __repr__(self) -> str:
        return f"<WatchedLoop {self.stall or 'turning'}>"

    def blocked(self, now: float) -> float:
        """Seconds for which it has been blocked; 0 if it turns, or has not missed much."""
        seconds = now - self.asked_at if self.answered_at is None else 0.0
        return seconds if seconds >= self.warn else 0.0

    def answer(self) -> None:
        """Called by the loop itself."""
        self.answered_at = time.monotonic()

    def look(self, now: float) -> bool:
        """Ask the loop, or look why it has not answered; true when it has not."""
        if self.answered_at is not None:
            self.on_answered(self.answered_at)
            self._before = self.clocks.read()
            self.ask(now)
            return False
        stall = self.sample(self.stack())
        if now - self.asked_at >= self.warn:
            stall.tell(now - self.asked_at, self.clocks)
            if self.while_blocked is not None:
                self.while_blocked()
        return True

    def on_answered(self, answered_at: float) -> None:
        """The loop has answered then: what has blocked it, if anything, is over."""
        if self.asked_at:
            self._lag.add(max(0.0, answered_at - self.asked_at))
        stall, self.stall = self.stall, None
        if stall is not None and answered_at - self.asked_at >= self.warn:
            stall.end(answered_at - self.asked_at, self.clocks)

    def stack(self) -> Stack:
        """The stack of the loop's thread at this moment."""
        return stack_of(sys._current_frames().get(self.thread))

    def sample(self, stack: Stack, weight: int = 1) -> Stall:
        """Note that the loop's thread was seen there; `weight` is how many looks that counts for.

        What takes longer comes after the look: the thread may go on meanwhile.
        """
        if self.stall is None:
            from asgiserver.watch.stall import Stall

            self.stall = Stall(self.context, self._before)
        self.stall.sample(stack, weight)
        return self.stall

    def ask(self, since: float) -> None:
        """Ask the loop for an answer; it counts as silent since `since`."""
        self.asked_at, self.answered_at = since, None
        try:
            self.context.loop.call_soon_threadsafe(self.answer)
        except RuntimeError:  # it is closed
            self.answered_at = since

    def excuse(self, seconds: float, due: float) -> None:
        """The process did not run for so long, which is not the application's fault.

        An answer that came after `due` may have waited for that, too.
        """
        if self.answered_at is None or self.answered_at > due:
            self.asked_at += seconds
        if self.stall is not None:
            self.stall.excused += seconds


class Watchdog:
    """The thread, what it watches, and whom it answers; it runs while there is any of these."""

    def __init__(self) -> None:
        self._begin_anew()

    def __repr__(self) -> str:
        return f"<Watchdog {self.loops} users={self._users}>"

    def _begin_anew(self) -> None:
        self.loops: list[WatchedLoop] = []
        self._left: list[WatchedLoop] = []  # and their last look is to come
        self._lock = threading.Lock()
        self._users = 0  # loops, a door and a channel
        self._runs: _Run | None = None
        self._doors: list[tuple[object, Door, Callable[[], None]]] = []  # each with its owner

    # Called in other threads -------------------------------------------------------------------

    def watch(self, context: ServerContext) -> None:
        """Watch the loop of this thread, until `leave`."""
        with self._lock:
            self.loops = [*self.loops, WatchedLoop(context)]
            self._use()

    def heed(self, context: ServerContext) -> None:
        """Its start-up is complete: name what blocks that loop from now on."""
        with self._lock:
            for one in self.loops:
                if one.context is context:
                    one.warn = context.config.loop_stall_warn
            if self._runs is not None:
                self._runs.wake()

    def call_while_blocked(self, context: ServerContext, callback: Callable[[], None]) -> None:
        """Call `callback` in the watchdog's thread, several times a second while it is blocked."""
        for one in self.loops:
            if one.context is context:
                one.while_blocked = callback

    def leave(self, context: ServerContext) -> None:
        """Called by the loop: watch it no more; nothing if it is not watched."""
        with self._lock:
            gone = [one for one in self.loops if one.context is context]
            self.loops = [one for one in self.loops if one.context is not context]
            for one in gone:
                if one.answered_at is None:
                    one.answer()
            self._left += gone
        for _ in gone:
            self._disuse()

    def open_door(
        self, owner: object, listening: socket.socket, closed: Callable[[], None]
    ) -> None:
        """Answer whoever connects to `listening` until `close_door`, which calls `closed`."""
        from asgiserver.watch.door import Door

        with self._lock:
            door = Door(listening, self._use().selector, _answer_client)
            self._doors.append((owner, door, closed))

    def close_door(self, owner: object) -> None:
        """Answer nobody any more at the door of `owner`, if it has one."""
        with self._lock:
            gone = [one for one in self._doors if one[0] is owner]
            self._doors = [one for one in self._doors if one[0] is not owner]
        for _, door, closed in gone:
            door.close()
            closed()
            self._disuse()

    def attach(self, channel: socket.socket) -> None:
        """Answer the supervisor at the other end of `channel`, as long as the process lives."""
        with self._lock:
            selector = self._use().selector

        def on_ask() -> None:
            try:
                asked = channel.recv(4096)
            except OSError:
                asked = b""
            if not asked:
                selector.unregister(channel)  # the supervisor has gone
                return
            try:
                channel.sendall(ANSWER + take_json() + b"\n")
            except OSError:
                pass  # it does not read, or has gone

        selector.register(channel, selectors.EVENT_READ, on_ask)

    @contextlib.contextmanager
    def waker(self) -> Iterator[int]:
        """A descriptor for the block: whatever is written to it, a NUL apart, makes the thread log.

        What is written is not used, because the thread looks for itself.
        """
        with self._lock:
            waker = self._use().waker
        try:
            yield waker.fileno()
        finally:
            self._disuse()

    def _use(self) -> _Run:
        self._users += 1
        if self._runs is not None:
            self._runs.wake()
            return self._runs
        self._runs = run = _Run(self)
        try:
            run.start()
        except RuntimeError as error:  # the limit of processes and threads is reached
            logger.warning("Nothing watches the event loop, and dumps get no answer: %s", error)
        return run

    def _disuse(self) -> None:
        ended = None
        with self._lock:
            self._users -= 1
            if not self._users:
                ended, self._runs = self._runs, None
        if ended is not None:
            ended.end()

    def forget(self) -> None:
        """In a forked child: there is no such thread."""
        if self._runs is not None:
            self._runs.close()
        self._begin_anew()

    # Called in its own thread ------------------------------------------------------------------

    def look(self, now: float) -> bool:
        """Look at all loops; true when one of them has not answered."""
        waiting = [one.look(now) for one in self.loops if one.warn != OFF]
        return any(waiting)

    def look_at_the_left(self) -> None:
        """Tell the end of what blocked loops that have left since the last look."""
        with self._lock:
            left, self._left = self._left, []
        for one in left:
            if one.answered_at is not None:
                one.on_answered(one.answered_at)

    def on_late(self, late: float, used: float) -> None:
        """This thread was woken `late` seconds too late; for `used` of them the process ran."""
        due = time.monotonic() - late
        watched = [one for one in self.loops if one.warn != OFF]
        if used >= late * COMPUTED:  # code in C has held the interpreter lock, so this is a stall
            for one in watched:
                if one.answered_at is not None and one.stall is None:
                    stack = one.stack()  # before all else, because the thread has the lock soon
                    one.ask(due)
                    one.sample(stack, HELD)
            return
        for one in watched:
            one.excuse(late, due)
        if late >= PAUSED and watched:
            from asgiserver.watch.stall import tell_pause

            tell_pause(late, watched[0].thread)

    def log(self) -> None:
        """Log what this process does."""
        from asgiserver.watch.stall import say_all

        say_all(take_dump(), [one.thread for one in self.loops])


class _Run(threading.Thread):
    """One run of the thread."""

    def __init__(self, dog: Watchdog) -> None:
        super().__init__(name="asgiserver watchdog", daemon=True)
        self._dog = dog
        self._ended = False
        self.selector = selectors.DefaultSelector()
        self._woken, self.waker = socket.socketpair()
        self._woken.setblocking(False)
        self.waker.setblocking(False)
        self.selector.register(self._woken, selectors.EVENT_READ, self._on_wake)

    def wake(self) -> None:
        """Let the thread look at what has changed."""
        try:
            self.waker.send(b"\0")
        except OSError:
            pass  # it is awake

    def end(self) -> None:
        """End the thread, and wait for its end."""
        self._ended = True
        self.wake()
        if self.is_alive():
            self.join(END_WAIT)
        if not self.is_alive():
            self._dog.look_at_the_left()
            self.close()

    def close(self) -> None:
        """Close the descriptors."""
        self.selector.close()
        self._woken.close()
        self.waker.close()

    def run(self) -> None:
        dog, waits = self._dog, False
        while True:
            loops = dog.loops
            pause = min((one.warn for one in loops), default=OFF) / LOOKS
            if waits:
                pause /= SAMPLES
            begun, before = time.monotonic(), [one.clocks.read() for one in loops]
            events = self.selector.select(None if pause == OFF else min(pause, LONGEST_PAUSE))
            if self._ended:
                return
            now = time.monotonic()
            late = now - begun - pause
            if late > pause and late > LATE:
                used = (one.clocks.used(then) for one, then in zip(loops, before, strict=True))
                dog.on_late(late, max(used, default=0.0))
            for key, _ in events:
                key.data()
            dog.look_at_the_left()
            waits = dog.look(time.monotonic())

    def _on_wake(self) -> None:
        try:
            data = self._woken.recv(1 << 20)
        except OSError:
            return
        if data.strip(b"\0"):  # a signal's handler has written the stacks of all threads
            self._dog.log()


def take_dump() -> dict[str, Any]:
    """What this process does; see `watch.dump`."""
    from asgiserver.watch.dump import take

    now = time.monotonic()
    servers = [(one.context, one.thread, one.blocked(now)) for one in watchdog.loops]
    return take(servers, threading.get_ident() if _in_watchdog() else 0)


def _in_watchdog() -> bool:
    return isinstance(threading.current_thread(), _Run)


def take_json() -> bytes:
    """The same as JSON, in one line."""
    import json

    return json.dumps(take_dump()).encode()


def _answer_client(reply: Callable[[bytes], None]) -> None:
    reply(take_json())


def blocked_for(context: ServerContext) -> float:
    """Seconds for which the loop of a server has been blocked; 0 when it turns."""
    now = time.monotonic()
    return max((one.blocked(now) for one in watchdog.loops if one.context is context), default=0.0)


watchdog = Watchdog()

if sys.platform != "win32":
    os.register_at_fork(after_in_child=watchdog.forget)
