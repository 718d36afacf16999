"""How far a run has come: a bar on a terminal, lines for logs; and a mouth that no listener holds up."""

import sys
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from queue import Full, Queue
from threading import Thread
from typing import Protocol

from autohedge.core.clock import monotonic_ns
from autohedge.core.units import CENTS
from autohedge.engine.engine import Engine

FIRST_LINE_NS = 1_000_000_000
LONGEST_PAUSE_NS = 60_000_000_000
BAR_PAUSE_NS = 500_000_000
OPEN_SHOWN_MAX = 3
QUEUED_LINES_MAX = 10_000
FLUSH_TIMEOUT_S = 2.0


class ProgressView(Protocol):
    """How far a run has come, and a place for lines beside that."""

    def refresh(self) -> None:
        """Show it, if it is time."""
        ...

    def write(self, line: str) -> None:
        """Say a line beside it."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


def _status_text(engine: Engine) -> str:
    """Equity, what is open, how many fills."""
    result = engine.result()
    held = [f"{quantity} {symbol}" for symbol, quantity in result["open_positions"].items()]
    shown = ", ".join(held) if len(held) <= OPEN_SHOWN_MAX else f"{len(held)} symbols"
    equity = Decimal(result["equity"]).quantize(CENTS)
    return f"equity {equity:,} · {len(engine.stats.fill_lines)} fills · open: {shown or 'nothing'}"


class OutputThread:
    """Speaks from a thread: a full pipe or a stopped terminal must not hold up an order.

    Where more is to be said than is heard, a run on a clock drops lines and counts them; in virtual
    time (`patient`) the run waits instead.
    """

    def __init__(self, *, patient: bool) -> None:
        self._patient = patient
        self._dropped_lines = 0
        self._queue: Queue[Callable[[], None] | None] = Queue(QUEUED_LINES_MAX)
        self._thread = Thread(target=self._run, name="narrator", daemon=True)
        self._thread.start()

    def write(self, action: Callable[[], None]) -> None:
        """Put something to be said behind what is still unsaid."""
        try:
            self._queue.put(action, block=self._patient)
        except Full:
            self._dropped_lines += 1

    def close(self) -> None:
        """Say the rest, for as long as someone hears it."""
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
            with suppress(OSError, ValueError):
                action()


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class LineProgress:
    """For logs and pipes: a line after a second, then after twice as long, up to once a minute."""

    def __init__(self, engine: Engine, rows: int, output: OutputThread) -> None:
        self._engine = engine
        self._output = output
        self._rows = max(rows, 1)
        self._begun_ns = monotonic_ns()
        self._begun_pos = -1
        self._pause_ns = FIRST_LINE_NS
        self._next_ns = self._begun_ns + self._pause_ns

    def refresh(self) -> None:
        """Show how far the run has come, if it is time."""
        now_ns = monotonic_ns()
        if self._begun_pos < 0:
            self._begun_pos, self._begun_ns = self._engine.pos, now_ns
        if now_ns < self._next_ns:
            return
        self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)
        self._next_ns = now_ns + self._pause_ns
        self.write(self._line(now_ns))

    def _line(self, now_ns: int) -> str:
        pos = self._engine.pos
        rate = (pos - self._begun_pos) / max(now_ns - self._begun_ns, 1) * 1e9
        left_s = (self._rows - pos) / rate if rate else 0
        how = f"{pos / self._rows:.1%} · {rate:,.0f} rows/s · ETA {left_s:,.0f} s"
        return f"[PROGRESS] {how} · {_status_text(self._engine)}"

    def write(self, line: str) -> None:
        """Say a line beside it."""
        self._output.write(partial(_write, line))

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._output.close()


class BarProgress:
    """For a terminal: one bar at its foot, lines above it."""

    def __init__(self, engine: Engine, rows: int, output: OutputThread) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.table import Column

        self._engine = engine
        self._output = output
        self._next_ns = 0
        self._progress = Progress(
            BarColumn(bar_width=10),
            TaskProgressColumn(table_column=Column(min_width=4, no_wrap=True)),
            TextColumn("{task.fields[rate]}", table_column=Column(min_width=12, no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(min_width=5, no_wrap=True)),
            TextColumn("{task.fields[stands]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            console=Console(stderr=True, highlight=False),
            expand=True,
            transient=True,
            auto_refresh=False,
        )
        self._task = self._progress.add_task("", total=rows, rate="", stands="")
        self._progress.start()

    def refresh(self) -> None:
        """Show how far the run has come, if it is time."""
        now_ns = monotonic_ns()
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + BAR_PAUSE_NS
        self._output.write(partial(self._draw, self._engine.pos, _status_text(self._engine)))

    def _draw(self, pos: int, stands: str) -> None:
        rate = self._progress.tasks[0].speed or 0.0
        self._progress.update(self._task, completed=pos, rate=f"{rate:,.0f} rows/s", stands=stands)
        self._progress.refresh()

    def write(self, line: str) -> None:
        """Say a line beside it."""
        self._output.write(partial(self._progress.console.print, line, markup=False, soft_wrap=True))

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._output.write(self._progress.stop)
        self._output.close()
