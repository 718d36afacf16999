"""Finishes bars on time while no row comes."""

from collections.abc import Callable

from autohedge.core.clock import monotonic_ns
from autohedge.core.events import ClockReached
from autohedge.market.cursor import ClockedMarket
from autohedge.runtime.virtual import VirtualRuntime


class BarClock:
    """The clock of a market whose rows come: it is at the newest row, and goes on from the time when that came.

    `now_ns` is any time that never decreases. A run that must have the record of the finished tape has no such clock.
    """

    def __init__(self, market: ClockedMarket, now_ns: Callable[[], int] = monotonic_ns) -> None:
        self._market, self._now_ns = market, now_ns
        self._row_ns, self._came_ns = market.clock_ns, now_ns()

    def finish_bars(self, runtime: VirtualRuntime) -> int:
        """Finishes the bars whose time has come, unless rows wait to be taken; returns the time of the last, else 0.

        Each is an input of the run, so that a replay has the bar's row at the same place.
        """
        reached_ns, market = 0, self._market
        while runtime.awaits_rows and (due_ns := market.next_bar_ns) <= self._reached_ns():
            reached_ns = due_ns
            runtime.interrupt(ClockReached(due_ns, market.count))
            market.reach_clock(due_ns)
            self._came_ns, self._row_ns = self._came_ns + due_ns - self._row_ns, due_ns
            runtime.advance(due_ns)
        return reached_ns

    def _reached_ns(self) -> int:
        if self._market.clock_ns != self._row_ns:
            self._row_ns, self._came_ns = self._market.clock_ns, self._now_ns()
        return self._row_ns + self._now_ns() - self._came_ns
