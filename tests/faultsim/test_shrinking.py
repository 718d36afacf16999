"""Shrinking finds the faults and the part of the market that a failure needs."""

from pathlib import Path

import pytest

from autohedge.faultsim import shrinking
from autohedge.faultsim.history import read_history
from autohedge.faultsim.random_history import random_history
from autohedge.faultsim.row_faults import RowFault
from autohedge.faultsim.scenario import run_history
from autohedge.faultsim.shrinking import ended_at, shrink
from tests.faultsim.mutants.planted_bugs import crash_point_skipped
from tests.faultsim.mutants.reverted_mends import flat_account_not_reconciled, second_exit_forgotten
from tests.faultsim.mutants.row_bugs import bad_trade_shown

pytestmark = pytest.mark.process

FOLDER = Path(__file__).with_name("histories")


def test_history_that_holds_is_not_shrunk() -> None:
    assert shrink(read_history(FOLDER / "flat_account.json")) is None


def test_failure_without_any_fault_shrinks_to_none(monkeypatch: pytest.MonkeyPatch) -> None:
    crash_point_skipped(monkeypatch)
    history = read_history(FOLDER / "flat_account.json")
    shrunk = shrink(history)
    assert shrunk and shrunk.note.startswith("4: ") and shrunk.strikes == []
    quotes = sum(len(each.after_ns) for each in shrunk.market)
    assert len(shrunk.market) == 1 and quotes < 400
    assert run_history(shrunk).violation == shrunk.note


def test_double_sale_keeps_three_faults_and_loses_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking, "TRIES", 2)
    second_exit_forgotten(monkeypatch)
    shrunk = shrink(read_history(FOLDER / "double_sale.json"))
    assert shrunk and len(shrunk.strikes) <= 3
    assert run_history(shrunk).violation == shrunk.note


def test_bad_trade_that_is_shown_keeps_its_fault_and_the_feeds_of_its_symbol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad_trade_shown(monkeypatch)
    shrunk = shrink(random_history(4))
    assert shrunk and shrunk.note.startswith("33: ") and shrunk.commands == []
    assert [strike.fault for strike in shrunk.strikes] == [RowFault.BAD_ROWS]
    assert len(shrunk.market) == 1 and {feed.symbol for feed in shrunk.feeds} == {shrunk.market[0].symbol}
    assert run_history(shrunk).violation == shrunk.note


def test_market_ends_two_minutes_after_its_faults() -> None:
    history = read_history(FOLDER / "flat_account.json")
    calm_ns = history.start_ns + 20 * 10**9
    ended = ended_at(history, calm_ns)
    assert ended.calm_ns == calm_ns
    assert all(quotes.after_ns[-1] <= 140 * 10**9 for quotes in ended.market)
    assert all(strike.at_ns < calm_ns for strike in ended.strikes)


def test_feeds_end_and_begin_with_the_market() -> None:
    history = random_history(4)
    half_ns = (history.calm_ns - history.start_ns) // 2
    ended = ended_at(history, history.start_ns + half_ns)
    begun = shrinking._started_at(ended, history.start_ns + half_ns // 2)
    for whole, part in zip(history.feeds, begun.feeds, strict=True):
        first = next(at for at, ns in enumerate(whole.after_ns) if ns >= half_ns // 2)
        count = len(part.after_ns)
        assert part.after_ns == [ns - half_ns // 2 for ns in whole.after_ns[first : first + count]]
        assert part.after_ns[-1] < 120 * 10**9 + half_ns // 2
        assert part.levels == whole.levels[first : first + count]
        assert all(part.columns[name] == whole.columns[name][first : first + count] for name in whole.columns)


@pytest.mark.soak
def test_whole_history_of_an_unreconciled_account_keeps_three_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    flat_account_not_reconciled(monkeypatch)
    shrunk = shrink(read_history(FOLDER / "seed_9100868.json"))
    assert shrunk and 0 < len(shrunk.strikes) <= 3
    assert run_history(shrunk).violation == shrunk.note
