"""Bugs of a market whose rows come in batches, planted by a monkeypatch that the simulation must catch."""

import pytest

from autohedge.core.events import TapeSealed
from autohedge.core.units import NS_PER_S
from autohedge.market.bar_rings import BarRings
from autohedge.market.recent_quotes import RecentQuotes
from autohedge.market.rows import Rows
from autohedge.runtime.virtual import VirtualRuntime
from tests.faultsim.mutants.planted_bugs import Plant


def last_quote_looked_up_in_the_last_batch(patch: pytest.MonkeyPatch) -> None:
    """The last quote of an instrument is looked up in the rows of the last batch instead of kept."""
    original = RecentQuotes.extend

    def extend(self: RecentQuotes, rows: Rows, start: int, end: int) -> None:
        if rows is not self._rows:
            self._rows, self._start, self._end = rows, start, start
            self._counts[:] = 0
        original(self, rows, start, end)

    patch.setattr(RecentQuotes, "extend", extend)


def rows_of_the_last_batch_in_no_bar(patch: pytest.MonkeyPatch) -> None:
    """The bars that agents see lack the rows of a batch that were not asked for before the next one came."""

    def extend(self: BarRings, rows: Rows, start: int, end: int) -> None:
        if rows is not self._rows or start != self._end:
            self._rows, self._start = rows, start
        self._end = end

    patch.setattr(BarRings, "extend", extend)


def rows_skipped_that_repeat_the_last_time(patch: pytest.MonkeyPatch) -> None:
    """The next batch is read from the first row later than the last one, as a reader by time does."""
    original = VirtualRuntime.refresh

    def refresh(self: VirtualRuntime) -> None:
        original(self)
        rows, outbox = self._market.rows, self._engine.outbox
        if 0 < outbox.pos < len(rows):
            outbox.pos = rows.end_until(rows.next_ts(outbox.pos - 1))

    patch.setattr(VirtualRuntime, "refresh", refresh)


def due_without_a_later_row(patch: pytest.MonkeyPatch) -> None:
    """What is due happens although rows of an earlier time may still come."""
    original = VirtualRuntime.advance

    def advance(self: VirtualRuntime, until_ns: int) -> None:
        original(self, until_ns)
        while self._engine.pos and self._due_next_ns <= min(until_ns, self._last_row_ns + NS_PER_S):
            self._run_next_due()

    patch.setattr(VirtualRuntime, "advance", advance)


def block_sealed_again(patch: pytest.MonkeyPatch) -> None:
    """A seal covers the rows from the start on instead of those since the last seal."""

    def seal(self: VirtualRuntime, end: int) -> None:
        self.inject(TapeSealed(self._market.rows.next_ts(end - 1), end, self._market.block_hash(0, end)))

    patch.setattr(VirtualRuntime, "_seal", seal)


GROWING_TAPE_BUGS: tuple[Plant, ...] = (
    last_quote_looked_up_in_the_last_batch,
    rows_of_the_last_batch_in_no_bar,
    rows_skipped_that_repeat_the_last_time,
    due_without_a_later_row,
    block_sealed_again,
)
