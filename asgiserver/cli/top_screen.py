"""The terminal view of ``asgiserver top``, made with Textual.

It shows readings (`top_model`), and knows the server only through its `Remote`.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from rich.text import Text
from textual import work
from textual.app import App
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable, Footer, RichLog, Sparkline, Static

from asgiserver.cli.top_model import Reading, events_between, reading_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult

    from asgiserver.cli.top_model import WorkerRow

__all__ = ["Remote", "TopApp"]

HISTORY = 120  # readings of which the line of requests is drawn
COLORS = {"ready": "green", "starting": "yellow", "draining": "yellow", "stalled": "bold red"}

SORTS: dict[str, Callable[[WorkerRow], Any]] = {
    "number": lambda row: row.index,
    "CPU": lambda row: -row.cpu,
    "memory": lambda row: -row.memory,
    "running": lambda row: -row.running,
}


class Remote(Protocol):
    """The server that is watched. Methods block; each raises `OSError` when there is no answer."""

    @property
    def address(self) -> str:
        """Where it is."""
        ...

    def status(self) -> dict[str, Any]:
        """What ``/status`` says."""
        ...

    def restart(self, index: int) -> str:
        """Replace a worker; the server's answer."""
        ...

    def dump(self) -> str:
        """Write what the server does to a file; where that is."""
        ...


class TopApp(App[None]):
    """A live view of one server, once every `interval` seconds."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "asgiserver top"
    CSS = """
    #summary { height: 3; padding: 0 1; }
    #workers { height: auto; max-height: 40%; }
    #running { height: 1fr; }
    #events { height: 5; border-top: solid $surface-lighten-2; padding: 0 1; }
    #history { height: 3; width: 30%; margin: 0 1; display: none; }
    #texts { width: 1fr; height: 3; }
    #head { height: 3; }
    TopApp.-wide #history { display: block; }
    TopApp.-wide #body { layout: horizontal; }
    TopApp.-wide #workers { width: 1fr; max-height: 100%; height: 1fr; }
    TopApp.-wide #running { width: 1fr; }
    """
    BINDINGS: ClassVar = [
        ("q", "quit", "Quit"),
        ("s", "sort", "Sort"),
        ("f", "freeze", "Freeze"),
        ("r", "restart", "Restart worker"),
        ("d", "dump", "Dump"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 (as in the base class)

    def __init__(self, remote: Remote, interval: float = 1.0) -> None:
        super().__init__()
        self._remote = remote
        self._interval = interval
        self._before: tuple[float, dict[str, Any]] | None = None
        self._reading: Reading | None = None
        self._rates: deque[float] = deque([0.0], HISTORY)
        self._sort = 0
        self._frozen = False
        self._problem = ""

    def compose(self) -> ComposeResult:
        """The widgets, from top to bottom."""
        with Horizontal(id="head"):
            with Vertical(id="texts"):
                yield Static(id="summary")
            yield Sparkline([0.0], id="history")
        with Vertical(id="body"):
            yield DataTable(id="workers", cursor_type="row", zebra_stripes=True)
            yield DataTable(id="running", cursor_type="none", show_cursor=False)
        yield RichLog(id="events", markup=True, max_lines=500)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        workers = self.query_one("#workers", DataTable)
        workers.add_columns("#", "pid", "state", "age", "req/s", "run", "conn", "CPU", "memory")
        running = self.query_one("#running", DataTable)
        running.add_columns("age", "#", "method", "path", "state")
        workers.focus()
        self.look()
        self.set_interval(self._interval, self.look)

    # Looking ------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True)
    def look(self) -> None:
        """Ask the server, in a thread."""
        if self._frozen:
            return
        try:
            status = self._remote.status()
        except (OSError, ValueError) as error:
            self.call_from_thread(self.show_problem, str(error))
        else:
            self.call_from_thread(self.show, status, time.monotonic(), time.time())

    def show_problem(self, text: str) -> None:
        """The server does not answer."""
        if text != self._problem:
            self._say(f"[red]no answer: {text}[/red]")
        self._problem = text
        self._summarise()

    def show(self, status: dict[str, Any], at: float, now: float) -> None:
        """Show a status that came at `at`, seconds of a monotonic clock; `now` since 1970."""
        before = None if self._before is None else self._before[1]
        seconds = 0.0 if self._before is None else at - self._before[0]
        self._problem = ""
        self._reading = reading = reading_of(status, before, seconds, now)
        self._before = at, status
        for event in events_between(status, before):
            self._say(event, now)
        if reading.requests is not None:
            self._rates.append(reading.requests)
        self._summarise()
        self._show_workers(reading)
        self._show_running(reading)
        self.query_one("#history", Sparkline).data = list(self._rates)

    def _summarise(self) -> None:
        reading = self._reading
        text = Text()
        text.append(f"{self._remote.address}  ", style="bold")
        if self._problem:
            text.append("no answer", style="bold red")
        elif reading is not None:
            text.append(reading.why.upper(), style="bold green" if reading.ready else "bold red")
        if reading is not None:
            text.append(f"  up {span(reading.age)}  asgiserver {reading.version}")
        if self._frozen:
            text.append("  FROZEN", style="bold reverse")
        if reading is not None:
            text.append("\n" + _rates_text(reading))
            text.append("\n" + _counts_text(reading))
        self.query_one("#summary", Static).update(text)

    def _show_workers(self, reading: Reading) -> None:
        table: DataTable[Any] = self.query_one("#workers", DataTable)
        selected = table.cursor_row
        table.clear()
        for row in self._sorted(reading):
            state = f"{row.phase} {row.silence:.0f} s" if row.phase == "stalled" else row.phase
            table.add_row(
                str(row.index),
                str(row.pid),
                Text(state, style=COLORS.get(row.phase, "")),
                span(row.age),
                f"{row.requests:,.0f}",
                str(row.running),
                str(row.connections),
                f"{row.cpu:.0%}",
                size(row.memory),
            )
        table.move_cursor(row=min(selected, max(0, table.row_count - 1)))

    def _sorted(self, reading: Reading) -> list[WorkerRow]:
        return sorted(reading.workers, key=list(SORTS.values())[self._sort])

    def _show_running(self, reading: Reading) -> None:
        table: DataTable[Any] = self.query_one("#running", DataTable)
        table.clear()
        for one in reading.running:
            age = Text(span(one["age"]), style="red" if one["age"] >= 10 else "")
            path = Text(one["path"], no_wrap=True)
            table.add_row(age, str(one["worker"]), one["method"], path, one["state"])

    def _say(self, text: str, now: float | None = None) -> None:
        at = time.strftime("%H:%M:%S", time.localtime(time.time() if now is None else now))
        self.query_one("#events", RichLog).write(f"[dim]{at}[/dim] {text}")

    # Keys ---------------------------------------------------------------------------------------

    def action_sort(self) -> None:
        """Sort the workers by the next column."""
        self._sort = (self._sort + 1) % len(SORTS)
        self._say(f"sorted by {list(SORTS)[self._sort]}")
        if self._reading is not None:
            self._show_workers(self._reading)

    def action_freeze(self) -> None:
        """Keep what is shown, or go on."""
        self._frozen = not self._frozen
        self._summarise()

    def action_restart(self) -> None:
        """Replace the worker that is selected."""
        table = self.query_one("#workers", DataTable)
        if self._reading is not None and self._reading.workers:
            index = self._sorted(self._reading)[table.cursor_row].index
            self.call_remote(lambda: self._remote.restart(index))

    def action_dump(self) -> None:
        """Write what the server does to a file."""
        self.call_remote(self._remote.dump)

    @work(thread=True)
    def call_remote(self, call: Callable[[], str]) -> None:
        """Give an order, and show its answer."""
        try:
            answer = call()
        except (OSError, ValueError) as error:
            answer = f"[red]{error}[/red]"
        self.call_from_thread(self._say, answer)


def _rates_text(reading: Reading) -> str:
    if reading.requests is None:
        return "…"
    times = "  ".join(
        f"p{name} {'-' if value is None else milliseconds(value)}"
        for name, value in zip((50, 95, 99), reading.percentiles, strict=True)
    )
    return (
        f"{reading.requests:,.1f} req/s  {times}  errors {reading.errors:,.1f}/s"
        f"  refused {reading.refused:,.1f}/s"
    )


def _counts_text(reading: Reading) -> str:
    ready = sum(row.phase == "ready" for row in reading.workers)
    queued = f"  queued {reading.queued}" if reading.queued else ""
    return (
        f"workers {ready}/{reading.wanted}  in flight {reading.in_flight}{queued}"
        f"  connections {reading.connections}  WebSockets {reading.websockets}"
    )


def milliseconds(seconds: float) -> str:
    """A duration as people read it: ``12 ms``, ``1.5 s``."""
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def span(seconds: float) -> str:
    """A time span as people read it: ``3.2 s``, ``12 min``, ``5 h``, ``9 d``."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    for unit, length in (("d", 86400), ("h", 3600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 60:.0f} min"


def size(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / (1 << 20):,.0f} MiB"
