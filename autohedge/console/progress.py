"""Progress of a run: a bar on a terminal, lines in a log; and a thread that keeps output off the engine."""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Full, Queue
from threading import Thread
from typing import Protocol

from autohedge.console.formatting import amount_text, quantity_text
from autohedge.core.clock import monotonic_ns
from autohedge.runtime.run_view import RunView

# The first line comes early, to show that the run is alive; later ones are rare, to keep logs short.
FIRST_LINE_NS = 1_000_000_000
LONGEST_PAUSE_NS = 60_000_000_000
BAR_PAUSE_NS = 500_000_000
OPEN_SHOWN_MAX = 3
WIDE_COLUMNS = 70  # with the bar, the rate and the remaining time
QUEUED_LINES_MAX = 10_000  # bounds memory while a pipe is blocked
FLUSH_TIMEOUT_S = 2.0


class ProgressView(Protocol):
    """A display of progress that also takes log lines."""

    def refresh(self) -> None:
        """Updates the display if it is due."""
        ...

    def write(self, line: str) -> None:
        """Writes a log line without disturbing the display."""
        ...

    def close(self) -> None:
        """Writes pending lines and restores the terminal."""
        ...


def _status_text(view: RunView) -> str:
    """Formats equity, fill count and open positions."""
    result = view.result()
    positions = result.open_positions.items()
    held = [f"{quantity_text(quantity)} {symbol}" for symbol, quantity in positions]
    shown = ", ".join(held) if len(held) <= OPEN_SHOWN_MAX else f"{len(held)} symbols"
    equity = amount_text(result.equity)
    return f"equity {equity} · {result.buys + result.sells} fills · open: {shown or 'none'}"


class OutputThread:
    """Runs output in a thread of its own, so that a full pipe or a stopped terminal delays no order.

    When the queue is full, a run on a clock drops lines and counts them; a run in virtual time (`patient`)
    waits instead.
    """

    def __init__(self, *, patient: bool) -> None:
        self._patient = patient
        self._dropped_lines = 0
        self._queue: Queue[Callable[[], None] | None] = Queue(QUEUED_LINES_MAX)
        # A daemon, so that a terminal that stays blocked cannot keep the process from ending.
        self._thread = Thread(target=self._run, name="narrator", daemon=True)
        self._thread.start()

    def write(self, action: Callable[[], None]) -> None:
        """Queues an output action."""
        try:
            self._queue.put(action, block=self._patient)
        except Full:
            self._dropped_lines += 1

    def close(self) -> None:
        """Reports dropped lines and flushes the queue, for at most `FLUSH_TIMEOUT_S` each."""
        if self._dropped_lines:
            self._write_last(
                partial(_write, f"[RUN] {self._dropped_lines} lines could not be written in time")
            )
        self._write_last(None)
        self._thread.join(FLUSH_TIMEOUT_S)

    def _write_last(self, action: Callable[[], None] | None) -> None:
        with suppress(Full):
            self._queue.put(action, timeout=FLUSH_TIMEOUT_S)

    def _run(self) -> None:
        while action := self._queue.get():
            # A closed pipe or stream must not end the thread; later lines fail in the same way.
            with suppress(OSError, ValueError):
                action()


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class LineProgress:
    """Progress for logs and pipes: a line after one second, then at doubling intervals up to a minute."""

    def __init__(self, view: RunView, output: OutputThread) -> None:
        self._view = view
        self._output = output
        self._begun_ns = monotonic_ns()
        self._begun_pos = -1
        self._pause_ns = FIRST_LINE_NS
        self._next_ns = self._begun_ns + self._pause_ns

    def refresh(self) -> None:
        """Writes a progress line if it is due."""
        now_ns = monotonic_ns()
        # The rate counts from the first call: a restart begins in the middle of the tape.
        if self._begun_pos < 0:
            self._begun_pos, self._begun_ns = self._view.pos, now_ns
        if now_ns < self._next_ns:
            return
        self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)
        self._next_ns = now_ns + self._pause_ns
        self.write(self._line(now_ns))

    def _line(self, now_ns: int) -> str:
        pos, rows = self._view.pos, self._view.row_count
        rate = (pos - self._begun_pos) / max(now_ns - self._begun_ns, 1) * 1e9
        how = f"{pos:,} rows" if rows is None else f"{pos / max(rows, 1):.1%}"
        if rate:  # none is known before a second look
            how += f" · {rate:,.0f} rows/s"
            how += f" · ETA {(rows - pos) / rate:,.0f} s" if rows is not None else ""
        return f"[PROGRESS] {how} · {_status_text(self._view)}"

    def write(self, line: str) -> None:
        """Writes a log line."""
        self._output.write(partial(_write, line))

    def close(self) -> None:
        """Writes pending lines."""
        self._output.close()


class BarProgress:
    """Progress for a terminal: one bar at the bottom, log lines above it."""

    def __init__(self, view: RunView, output: OutputThread) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.table import Column

        from autohedge.core.terminal import PrintableConsole

        console = PrintableConsole(stderr=True)
        self._view = view
        self._output = output
        self._next_ns = 0
        columns = (
            BarColumn(bar_width=10),
            TaskProgressColumn(table_column=Column(min_width=4, no_wrap=True)),
            TextColumn("{task.fields[rate]}", table_column=Column(min_width=12, no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(min_width=5, no_wrap=True)),
            TextColumn("{task.fields[stands]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
        )
        self._progress = Progress(
            # On a narrow terminal the share and the equity alone: a cut amount is a wrong amount.
            *(columns if console.width >= WIDE_COLUMNS else columns[1::3]),
            console=console,
            expand=True,
            transient=True,
            auto_refresh=False,
        )
        self._task = self._progress.add_task("", total=view.row_count, rate="", stands="")
        self._progress.start()

    def refresh(self) -> None:
        """Redraws the bar if it is due."""
        now_ns = monotonic_ns()
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + BAR_PAUSE_NS
        # Position and status are read here: the output thread must not touch the engine while it runs.
        self._output.write(partial(self._draw, self._view.pos, _status_text(self._view)))

    def _draw(self, pos: int, stands: str) -> None:
        rate = self._progress.tasks[0].speed or 0.0
        self._progress.update(self._task, completed=pos, rate=f"{rate:,.0f} rows/s", stands=stands)
        self._progress.refresh()

    def write(self, line: str) -> None:
        """Prints a log line above the bar."""
        self._output.write(partial(self._progress.console.print, line, markup=False, soft_wrap=True))

    def close(self) -> None:
        """Writes pending lines and removes the bar."""
        self._output.write(self._progress.stop)
        self._output.close()
